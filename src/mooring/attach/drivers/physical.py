"""The port driver for vnic_type direct-physical: a whole card, its PF's own interface, for one container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import structlog

from mooring.attach.devices import Devices
from mooring.attach.drivers.wish import Wish
from mooring.attach.journal import holder_words
from mooring.attach.pool import PooledPf
from mooring.attach.readings import CardReadings
from mooring.attach.types import AttachRequest, Lease, Placement, Sight, Whereabouts
from mooring.errors import BindingRefused, DeviceBusy, DeviceGone, DeviceUnusable, Refused
from mooring.host.kernel import VFIO, Netdev
from mooring.neutron.binding import physical_network_of, verify_binding
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction

_KIND = "direct-physical"

log = structlog.get_logger(__name__)


class PhysicalPortDriver:
    """Serves a port by lending the interface of a PF that nothing on the host depends on, and no VF of which is used.

    The port takes over the PF's MAC: Neutron gives it that at binding.
    """

    vnic_types: ClassVar[frozenset[str]] = frozenset({_KIND})
    reports_status: ClassVar[bool] = True
    outlives_reboot: ClassVar[bool] = False

    def __init__(self, devices: Devices) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool

    def choose(self, request: AttachRequest) -> Iterator[Placement]:
        """Yield the card that the port's profile names, or else the idle ones on the port's physical network."""
        self._pool.rescan()
        cards = self._pool.cards()
        served = {card.physical_network for card in cards}
        physical_network = str(physical_network_of(request.network, served, vnic_type=_KIND).physical_network)
        wish = Wish.of(request.port, physical_network)
        problem: Refused | None = None
        for card in self._candidates(cards, wish.slot, physical_network):
            uplink = self._kernel.netdev(card.pf)
            hindrance = wish.misfit(card.pf) or self._hindrance(card.pf, uplink)
            if uplink is not None and hindrance is None:
                yield _placement(card, uplink)
                hindrance = DeviceBusy(
                    card.address, "another container that asked in the same moment", "name another PF"
                )
            problem = problem or hindrance
        if problem is not None:
            raise problem

    def plan(self, lease: Lease) -> None:
        """Refuse a binding that is not to a PF, or that did not give the port the card's MAC."""
        verify_binding(lease.port, lease.network, str(lease.physical_network))
        mac = _former(lease).mac
        if lease.port.mac != mac:
            raise BindingRefused(
                lease.port.id,
                lease.port.host,
                f"Neutron answered MAC address {lease.port.mac}, but that of card {lease.place} is {mac}, which "
                "it must take over from device_mac_address of the binding:profile; see whether this Neutron is too old",
            )

    def create_host_iface(self, lease: Lease) -> frozenset[str]:
        """Give the PF's interface the network's MTU."""
        pf = self._find(lease)
        if pf is None:
            raise DeviceGone("preparing the PF", lease.place, "it has left the host")
        self._kernel.set_mtu(pf, lease.network.mtu)
        if lease.port.vlan:
            log.warning(
                "vlan.left-to-the-container",
                vlan=lease.port.vlan,
                reason="a PF tags no frames by itself: the container must, with a VLAN interface of its own",
            )
        return frozenset()

    def adjust(self, lease: Lease) -> frozenset[str]:
        """Do nothing: what a container has of a whole card is out of the host's reach."""
        del lease
        return frozenset()

    def delete_host_iface(self, lease: Lease) -> None:
        """Give the PF's interface, home again, its former name, MAC, MTU and state back.

        Raises NotClean as long as a container has it: it cannot be fetched without taking the card's VFs away.
        """
        pf = self._find(lease)
        if pf is None:
            log.warning("pf.gone-at-release", reason="the PF has left the host")
            return
        self._kernel.restore_uplink(pf, _former(lease))

    def get_container_iface_name(self, lease: Lease) -> str:
        """Return the name of the PF's interface."""
        return _former(lease).name

    def get_device_nodes(self, lease: Lease) -> tuple[str, ...]:
        """Return none: the container has an interface."""
        del lease
        return ()

    def look(self, lease: Lease, cards: CardReadings) -> Sight:
        """Tell where the PF's interface is; how it is there, the host cannot see."""
        del cards
        pf = self._find(lease)
        if pf is None:
            return Sight(whereabouts=Whereabouts.GONE, link_up=False, detail="it has left the host")
        if pf.netdev is not None:
            detail = f"its interface {pf.netdev} is in the host's namespace"
            # What the kernel brings home keeps the name that it had in the container.
            return Sight(whereabouts=Whereabouts.HOME, detail=detail, forsaken=pf.netdev != _former(lease).name)
        if pf.driver in (None, VFIO):
            return Sight(whereabouts=Whereabouts.TAKEN, link_up=False, detail=f"driver {pf.driver}")
        return Sight(whereabouts=Whereabouts.AWAY)

    def _candidates(
        self, cards: tuple[PooledPf, ...], slot: PciAddress | None, physical_network: str
    ) -> tuple[PooledPf, ...]:
        if slot is None:
            return tuple(card for card in cards if card.physical_network == physical_network)
        for card in cards:
            if card.address == slot and card.physical_network == physical_network:
                return (card,)
            if card.address == slot:
                raise DeviceUnusable(
                    slot, f"it is on {card.physical_network}, but the port's network is on {physical_network}"
                )
        match self._kernel.find(slot):
            case None:
                raise DeviceUnusable(slot, "there is no such device on this host")
            case PhysicalFunction():
                raise DeviceUnusable(slot, "[pci] device_spec of this host does not admit the PF itself")
            case _:
                raise DeviceUnusable(slot, f"a port of vnic_type {_KIND} takes a physical function, which it is not")

    def _hindrance(self, pf: PhysicalFunction, uplink: Netdev | None) -> Refused | None:
        """Say why a card cannot be lent now, or None when it can."""
        for lease in self._journal.leased_from(pf.address):
            holder, remedy = holder_words(lease)
            return DeviceBusy(pf.address, holder if lease.device == pf.address else f"{holder}: {lease.device}", remedy)
        if (user := self._kernel.user_of(pf)) is not None:
            return DeviceBusy(pf.address, str(user), "take it from there first, or use another card")
        for vf in pf.vfs:
            if (user := self._pool.user_of(vf)) is not None:
                return DeviceBusy(pf.address, f"{user}: its VF {vf.address}", "free the VF first, or use another card")
        return None if uplink else DeviceUnusable(pf.address, f"it has no network interface (driver {pf.driver})")

    def _find(self, lease: Lease) -> PhysicalFunction | None:
        device = None if lease.device is None else self._kernel.find(lease.device)
        return device if isinstance(device, PhysicalFunction) else None


def _former(lease: Lease) -> Netdev:
    """Return the PF's interface as it was before it was lent."""
    if lease.uplink is None:
        raise DeviceGone("looking up the former interface", lease.place, f"lease {lease.id} does not know it")
    return lease.uplink


def _placement(card: PooledPf, uplink: Netdev) -> Placement:
    return Placement(
        device=card.address,
        parent=card.address,
        physical_network=card.physical_network,
        profile={
            "pci_slot": str(card.address),
            "pci_vendor_info": card.pf.vendor_info,
            "physical_network": card.physical_network,
            "device_mac_address": uplink.mac,
        },
        mac=uplink.mac,
        uplink=uplink,
    )
