"""The port driver for vnic_type normal: a veth pair, plugged into the bridge where Neutron's L2 agent looks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from mooring.attach.devices import Devices
from mooring.attach.readings import CardReadings
from mooring.attach.types import AttachRequest, Difference, Lease, Placement, Sight, Whereabouts
from mooring.errors import PortBusy
from mooring.neutron.binding import verify_plugging

_OVS = "ovs"
# IFNAMSIZ leaves 15 characters. The L2 agents know a port's interface by 11 of its id (neutron_lib.constants).
_HOST_END, _HOST_DIGITS = "tap", 11
_CONTAINER_END, _CONTAINER_DIGITS = "t_c", 8


def host_end(lease: Lease) -> str:
    """Return the name of the pair's end that stays on the host, as kuryr and Neutron's L2 agents call it."""
    return _HOST_END + lease.port.id[:_HOST_DIGITS]


def container_end(lease: Lease) -> str:
    """Return the name of the pair's end that goes into the container, as kuryr calls it while it is on the host."""
    return _CONTAINER_END + lease.port.id[:_CONTAINER_DIGITS]


class VethPortDriver:
    """Serves a port by a pair of interfaces. The L2 agent gives it its VLAN and tells Neutron that it is up."""

    vnic_types: ClassVar[frozenset[str]] = frozenset({"normal"})
    reports_status: ClassVar[bool] = False
    outlives_reboot: ClassVar[bool] = True  # Open vSwitch keeps its ports in a database of its own

    def __init__(self, devices: Devices) -> None:
        self._links = devices.links
        self._switch = devices.switch

    def choose(self, request: AttachRequest) -> Iterator[Placement]:
        """Yield the one place there is: a veth pair needs no device."""
        yield Placement()
        raise PortBusy(request.port.id, "another container that asked in the same moment")

    def plan(self, lease: Lease) -> None:
        """Refuse a binding that is not to a bridge into which a veth can be plugged."""
        verify_plugging(lease.port)

    def create_host_iface(self, lease: Lease) -> frozenset[str]:
        """Make the pair, and plug its host end in."""
        self._links.create_veth(host_end(lease), container_end(lease), mac=lease.port.mac, mtu=lease.network.mtu)
        self._plug(lease)
        return frozenset()

    def adjust(self, lease: Lease) -> frozenset[str]:
        """Plug the host end in again; everything else of a normal port is its L2 agent's to follow."""
        self._plug(lease)
        return frozenset()

    def delete_host_iface(self, lease: Lease) -> None:
        """Unplug the pair and delete it, by the end that never leaves the host."""
        if lease.port.vif_type == _OVS:
            self._switch.unplug(host_end(lease))
        self._links.delete_link(host_end(lease))

    def get_container_iface_name(self, lease: Lease) -> str:
        """Return the name of the end that goes into the container."""
        return container_end(lease)

    def get_device_nodes(self, lease: Lease) -> tuple[str, ...]:
        """Return none: the container has an interface."""
        del lease
        return ()

    def look(self, lease: Lease, cards: CardReadings) -> Sight:
        """Tell where the container's end is, and whether the host's is plugged in where it belongs.

        A pair dies with the namespace that one of its ends is in, so none is left when its container has gone.
        """
        name = host_end(lease)
        if self._links.link(name) is None:
            return Sight(whereabouts=Whereabouts.HOME, detail=f"its interface {name} is no more", forsaken=True)
        if self._links.link(container_end(lease)) is not None:
            detail = f"its interface {container_end(lease)} is in the host's namespace"
            return Sight(whereabouts=Whereabouts.HOME, detail=detail)
        return Sight(whereabouts=Whereabouts.AWAY, differences=self._differences(lease, cards))

    def _plug(self, lease: Lease) -> None:
        plugging = verify_plugging(lease.port)
        if plugging.vif_type != _OVS:
            self._links.plug_bridge(plugging.bridge, host_end(lease))
            return
        external_ids = {
            "iface-id": lease.port.id,
            "iface-status": "active",
            "attached-mac": lease.port.mac,
            "vm-uuid": lease.attachment,
        }
        self._switch.plug(plugging.bridge, host_end(lease), external_ids)

    def _differences(self, lease: Lease, cards: CardReadings) -> tuple[Difference, ...]:
        """Tell how Open vSwitch has the host end; what a Linux bridge has is not read."""
        if lease.port.vif_type != _OVS:
            return ()
        plugged = cards.plugged(self._switch).get(host_end(lease))
        if plugged == lease.port.id:
            return ()
        return (Difference(what=f"iface-id of {host_end(lease)}", found=str(plugged), wanted=lease.port.id),)
