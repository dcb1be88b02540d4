"""The port driver for vnic_type direct: a VF of its own for the container.

The VF's interface goes into the container; or, for a VF that is to be bound to vfio-pci, no interface but the device
itself, for a program that drives it (DPDK).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from mooring.attach.cleaning import interface_name
from mooring.attach.devices import Devices
from mooring.attach.drivers.vfs import LeasedVfs
from mooring.attach.readings import CardReadings
from mooring.attach.types import AttachRequest, Lease, Placement, Sight, Whereabouts
from mooring.errors import DeviceGone
from mooring.host.kernel import VFIO, VFIO_NODE, VfSettings
from mooring.neutron.model import DIRECT
from mooring.pci.device import VirtualFunction


class SriovPortDriver:
    """Serves a port by leasing a VF on its physical network and giving the VF to the container."""

    vnic_types: ClassVar[frozenset[str]] = frozenset({DIRECT})
    reports_status: ClassVar[bool] = True
    outlives_reboot: ClassVar[bool] = False

    def __init__(self, devices: Devices) -> None:
        self._kernel = devices.kernel
        self._vfs = LeasedVfs(devices)

    def choose(self, request: AttachRequest) -> Iterator[Placement]:
        """Yield the VF that the port's profile names, or else the free ones on the port's physical network."""
        return self._vfs.choose(request)

    def plan(self, lease: Lease) -> VfSettings:
        """Take MAC, VLAN, spoof checking, trust, rates and link state from the bound port."""
        return self._vfs.settings(lease)

    def create_host_iface(self, lease: Lease) -> frozenset[str]:
        """Program the PF's side of the VF; let its network driver adopt the MAC, or bind it to vfio-pci."""
        vf = self._vfs.now(lease)
        missing = self._vfs.program(lease, vf)
        if lease.vf_driver == VFIO:
            self._kernel.bind_vfio(vf)
            return missing
        netdev = self._kernel.adopt_mac(vf, lease.port.mac, name=interface_name(vf.address))
        if netdev.mtu != lease.network.mtu:
            self._kernel.set_mtu(self._vfs.now(lease), lease.network.mtu)
        return missing

    def adjust(self, lease: Lease) -> frozenset[str]:
        """Program the PF's side of a VF that is in its container."""
        return self._vfs.adjust(lease)

    def delete_host_iface(self, lease: Lease) -> None:
        """Fetch the VF back from wherever it is and restore its baseline."""
        self._vfs.give_back(lease)

    def get_container_iface_name(self, lease: Lease) -> str:
        """Return the VF's name in the host's namespace; a VF that is bound to vfio-pci has no interface."""
        return "" if lease.vf_driver == VFIO or lease.device is None else interface_name(lease.device)

    def get_device_nodes(self, lease: Lease) -> tuple[str, ...]:
        """Return the nodes of VFIO itself and of the VF's group; none for a VF that has an interface."""
        if lease.vf_driver != VFIO:
            return ()
        vf = self._vfs.now(lease)
        group = self._kernel.vfio_group(vf)
        if group is None:
            raise DeviceGone("handing it over", vf.address, f"it is bound to {vf.driver or 'no driver'}, not to {VFIO}")
        return (VFIO_NODE, group)

    def look(self, lease: Lease, cards: CardReadings) -> Sight:
        """Tell where the VF is: with its container its interface is not in the host's namespace."""
        vf = self._vfs.find(lease)
        if vf is None:
            return Sight(whereabouts=Whereabouts.GONE, link_up=False, detail="it has left the host")
        where, detail = self._whereabouts(lease, vf)
        return Sight(
            whereabouts=where,
            link_up=where is not Whereabouts.TAKEN and self._vfs.link_up(vf, cards),
            differences=self._vfs.differences(lease, vf, cards),
            detail=detail,
            # What the kernel brings home keeps the name that it had in the container.
            forsaken=where is Whereabouts.HOME and vf.netdev != interface_name(vf.address),
        )

    @staticmethod
    def _whereabouts(lease: Lease, vf: VirtualFunction) -> tuple[Whereabouts, str]:
        if lease.vf_driver == VFIO and vf.driver == VFIO:
            return Whereabouts.AWAY, ""
        if lease.vf_driver != VFIO and vf.netdev is not None:
            return Whereabouts.HOME, f"its interface {vf.netdev} is in the host's namespace"
        if lease.vf_driver != VFIO and vf.elsewhere:
            return Whereabouts.AWAY, ""
        return Whereabouts.TAKEN, f"driver {vf.driver}" if vf.driver else "no driver"
