"""The hands that move, break and restart things around mooring."""

from __future__ import annotations

import errno
from dataclasses import replace

from mooring.errors import DeviceGone, KernelRefused
from mooring.host.failures import kernel_errors
from mooring.host.kernel import VfCounters
from mooring.pci.device import PciDevice, PhysicalFunction, VirtualFunction
from mooring.testing.changes import change
from mooring.testing.host import FakeHost
from mooring.testing.igb import FakeInterface, FakeVf
from mooring.testing.links import FakeLinks


class Hands(FakeHost):
    """A FakeHost, and what dockerd, tenants, operators and accidents do to its cards."""

    @change
    def move_to_container(self, vf: VirtualFunction, name: str, *, container: str = "box") -> None:
        """Move the interface into a container's namespace, as dockerd does: the MAC and the MTU stay."""
        interface = self._interface(vf)
        if name in self._names(container):
            raise KernelRefused(f"moving it to {container} as {name}", vf.address, errno.EEXIST)
        interface.namespace, interface.name, interface.up, interface.addresses = container, name, True, ()

    @change
    def move_to_host(self, vf: VirtualFunction, name: str) -> None:
        """Move the interface back under this name, as dockerd does when it ends a container in good order."""
        _, fake = self._card(vf)
        interface = _existing(fake)
        with kernel_errors(f"moving it to the host as {name}", vf.address):
            self._rename(interface, name)
        interface.namespace, interface.up, interface.addresses = None, False, ()

    @change
    def container_dies(self, vf: VirtualFunction) -> None:
        """End the container around the VF: its interface comes back with the tenant's name, MAC and MTU."""
        interface = _existing(self._card(vf)[1])
        if interface.namespace is not None:
            self._links.die(interface.namespace)
        self._falls_home(interface)

    @change
    def set_mac(self, vf: VirtualFunction, mac: str) -> None:
        """Set the interface's own MAC, as root in its namespace can."""
        with kernel_errors(f"setting MAC {mac}", vf.address):
            self._card(vf)[1].set_mac(mac)

    def add_address(self, vf: VirtualFunction, address: str) -> None:
        """Give the interface an IP address."""
        self._interface(vf).addresses += (address,)

    @change
    def add_upper(self, vf: VirtualFunction, name: str) -> None:
        """Put a bond, a bridge or a macvtap on the interface."""
        self._interface(vf).uppers += (name,)

    @change
    def bind_driver(self, vf: VirtualFunction, driver: str | None) -> None:
        """Bind the VF to another driver, or to none."""
        pf, fake = self._card(vf)
        self._bind(pf, fake, pf.vf_driver) if driver == pf.vf_driver else self._unbind(fake, driver)

    @change
    def set_pf_up(self, pf: PhysicalFunction, *, up: bool) -> None:
        """Set the PF's interface up with carrier, or down."""
        self._pfs[pf.address].interface.up = up

    @change
    def set_vf_count(self, pf: PhysicalFunction, vfs: int) -> None:
        """Write sriov_numvfs by hand: without mercy for containers, and to another number by way of 0 only."""
        with kernel_errors(f"setting sriov_numvfs to {vfs}", pf.address):
            self._count(pf).write(vfs)

    def count_traffic(self, vf: VirtualFunction, counters: VfCounters) -> None:
        """Let the card have counted this for the VF."""
        self._card(vf)[1].counters = counters

    @change
    def move_pf_away(self, pf: PhysicalFunction) -> None:
        """Move the PF's interface into another network namespace."""
        self._pfs[pf.address].interface.namespace = "elsewhere"

    @change
    def unplug(self, device: PciDevice) -> None:
        """Take a PF with its VFs, a VF, or another device off the host."""
        if isinstance(device, VirtualFunction):
            self._unbind(self._pfs[device.parent].vfs.pop(device.index), None)
        elif pf := self._pfs.pop(device.address, None):
            for vf in pf.vfs.values():
                self._unbind(vf, None)
        else:
            del self._others[device.address]

    @change
    def reboot(self) -> None:
        """Start the host again: the VFs are made anew, with the drivers' defaults, and every PF is at home."""
        self._boots += 1
        self._links = FakeLinks()
        for pf in self._pfs.values():
            pf.interface = replace(self._as_booted[pf.address])
            self.make_vfs(pf, len(pf.vfs))


def _existing(vf: FakeVf) -> FakeInterface:
    if vf.interface is None:
        raise DeviceGone("moving its interface", vf.address, f"driver {vf.driver} gives it none")
    return vf.interface
