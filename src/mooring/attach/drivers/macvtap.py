"""The port driver for vnic_type macvtap: a macvtap over a VF that stays on the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from mooring.attach.cleaning import interface_name
from mooring.attach.devices import Devices
from mooring.attach.drivers.vfs import LeasedVfs
from mooring.attach.readings import CardReadings
from mooring.attach.types import AttachRequest, Difference, Lease, Placement, Sight, Whereabouts
from mooring.host.kernel import VfSettings
from mooring.pci.address import PciAddress
from mooring.pci.device import VirtualFunction


def macvtap_name(address: PciAddress) -> str:
    """Return the name of the macvtap over a VF while it is on the host; it follows from the VF's address alone."""
    return "mt" + interface_name(address).removeprefix("vf")


class MacvtapPortDriver:
    """Serves a port by leasing a VF on its physical network and giving the container a macvtap that has it alone."""

    vnic_types: ClassVar[frozenset[str]] = frozenset({"macvtap"})
    reports_status: ClassVar[bool] = True
    outlives_reboot: ClassVar[bool] = False

    def __init__(self, devices: Devices) -> None:
        self._kernel = devices.kernel
        self._links = devices.links
        self._vfs = LeasedVfs(devices)

    def choose(self, request: AttachRequest) -> Iterator[Placement]:
        """Yield the VF that the port's profile names, or else the free ones on the port's physical network."""
        return self._vfs.choose(request)

    def plan(self, lease: Lease) -> VfSettings:
        """Take MAC, VLAN, spoof checking, trust, rates and link state from the bound port."""
        return self._vfs.settings(lease)

    def create_host_iface(self, lease: Lease) -> frozenset[str]:
        """Program the PF's side of the VF, let its driver adopt the MAC, and make the macvtap over it."""
        vf = self._vfs.now(lease)
        missing = self._vfs.program(lease, vf)
        self._kernel.adopt_mac(vf, lease.port.mac, name=interface_name(vf.address))
        self._links.create_macvtap(
            self._vfs.now(lease), macvtap_name(vf.address), mac=lease.port.mac, mtu=lease.network.mtu
        )
        return missing

    def adjust(self, lease: Lease) -> frozenset[str]:
        """Program the PF's side of the VF, and set the VF's interface up, without which nothing passes it."""
        missing = self._vfs.adjust(lease)
        self._kernel.set_up(self._vfs.now(lease), up=True)
        return missing

    def delete_host_iface(self, lease: Lease) -> None:
        """Delete the macvtap and restore the VF's baseline; to bind the VF anew ends a macvtap in any namespace."""
        self._links.delete_link(self.get_container_iface_name(lease))
        self._vfs.give_back(lease)

    def get_container_iface_name(self, lease: Lease) -> str:
        """Return the macvtap's name in the host's namespace."""
        return "" if lease.device is None else macvtap_name(lease.device)

    def get_device_nodes(self, lease: Lease) -> tuple[str, ...]:
        """Return none: the container has an interface."""
        del lease
        return ()

    def look(self, lease: Lease, cards: CardReadings) -> Sight:
        """Tell where the macvtap is, and where the VF below it differs.

        One that is not on the host is taken to be with its container: the host cannot see that it has died with it.
        """
        vf = self._vfs.find(lease)
        if vf is None:
            return Sight(whereabouts=Whereabouts.GONE, link_up=False, detail="it has left the host")
        where, detail = self._whereabouts(vf)
        if where is Whereabouts.TAKEN:
            return Sight(whereabouts=where, link_up=False, detail=detail)
        return Sight(
            whereabouts=where,
            link_up=self._vfs.link_up(vf, cards),
            differences=self._vfs.differences(lease, vf, cards) + self._down(vf),
            detail=detail,
        )

    def _whereabouts(self, vf: VirtualFunction) -> tuple[Whereabouts, str]:
        if vf.netdev is None:
            return Whereabouts.TAKEN, "another network namespace" if vf.elsewhere else f"driver {vf.driver}"
        name = macvtap_name(vf.address)
        if self._links.link(name) is not None:
            return Whereabouts.HOME, f"its interface {name} is in the host's namespace"
        return Whereabouts.AWAY, ""

    def _down(self, vf: VirtualFunction) -> tuple[Difference, ...]:
        netdev = self._kernel.netdev(vf)
        if netdev is None or netdev.up:
            return ()
        return (Difference(what=f"interface {netdev.name}", found="down", wanted="up"),)
