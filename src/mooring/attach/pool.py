"""The host's VFs that may serve ports: which there are, whose they are, and which one is next."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from mooring.attach.cleaning import Cleaner
from mooring.attach.journal import Journal, Remains, container_words, holder_words
from mooring.attach.readings import CardReadings
from mooring.attach.types import Lease
from mooring.errors import DeviceBusy, DeviceUnusable, EdgeFailure, NoFreeDevice
from mooring.host.kernel import VFIO, DeviceUser, Kernel
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, VirtualFunction
from mooring.pci.device_spec import DeviceSpec, first_match


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledVf:
    """A VF that the device spec admits, with its PF and what the spec says of it.

    ``physical_network`` is the one it is on; ``trusted`` allows ports to have it trusted; ``vf_driver`` is the driver
    that it is to be bound to, None for its network driver.
    """

    vf: VirtualFunction
    pf: PhysicalFunction
    physical_network: str
    trusted: bool
    vf_driver: str | None = None

    @property
    def address(self) -> PciAddress:
        """What identifies the VF."""
        return self.vf.address


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledPf:
    """A PF that the device spec admits itself, so that it may be handed out as a whole."""

    pf: PhysicalFunction
    physical_network: str

    @property
    def address(self) -> PciAddress:
        """What identifies the PF."""
        return self.pf.address


class VfState(StrEnum):
    """Why a VF may or may not be handed out."""

    FREE = "free"
    LEASED = "leased"
    ASSIGNED = "assigned"
    QUARANTINED = "quarantined"
    TAKEN = "taken"
    DIRTY = "dirty"
    PF_SICK = "pf-sick"
    PF_DOWN = "pf-down"
    PF_LENT = "pf-lent"

    @property
    def is_unclean(self) -> bool:
        """Tell whether cleaning may make the VF free."""
        return self in (VfState.DIRTY, VfState.QUARANTINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class VfStatus:
    """A pooled VF's state, with the words that explain it and the lease that holds it, if one does.

    ``container`` is the one that has it for a program, without a port and so without a lease.
    """

    pooled: PooledVf
    state: VfState
    reason: str = ""
    lease: Lease | None = None
    container: str | None = None


class VfPool:
    """The admitted VFs of this host. The journal says who holds one; the kernel says whether it is fit for use."""

    def __init__(self, *, kernel: Kernel, journal: Journal, cleaner: Cleaner, specs: tuple[DeviceSpec, ...]) -> None:
        self._kernel = kernel
        self._journal = journal
        self._cleaner = cleaner
        self._specs = specs
        self._lock = threading.Lock()
        self._members: tuple[PooledVf, ...] = ()
        self._cards: tuple[PooledPf, ...] = ()

    def rescan(self) -> tuple[PooledVf, ...]:
        """Look at the host afresh and return the admitted VFs, ordered by address."""
        pfs = self.physical_functions()
        members = tuple(member for pf in pfs for vf in pf.vfs if (member := self._admit(vf, pf)) is not None)
        cards = tuple(card for pf in pfs if (card := self._admit_card(pf)) is not None)
        with self._lock:
            self._members, self._cards = members, cards
        return members

    def members(self) -> tuple[PooledVf, ...]:
        """Return the admitted VFs as last seen."""
        with self._lock:
            return self._members

    def cards(self) -> tuple[PooledPf, ...]:
        """Return the PFs that may be handed out themselves, as last seen."""
        with self._lock:
            return self._cards

    def physical_functions(self) -> tuple[PhysicalFunction, ...]:
        """Return every PF of the host as it is now; one that is lent out keeps its name, by which it may be known."""
        names = self._journal.lent()
        return tuple(replace(pf, netdev=names.get(pf.address, pf.netdev)) for pf in self._kernel.physical_functions())

    def mappings(self) -> Mapping[str, tuple[str, ...]]:
        """Return the PF interfaces behind each physical network, as an SR-IOV agent reports them to Neutron."""
        mappings: dict[str, tuple[str, ...]] = {}
        places = [(member.physical_network, member.pf) for member in self.members()]
        places += [(card.physical_network, card.pf) for card in self.cards()]
        for physical_network, pf in places:
            known = mappings.setdefault(physical_network, ())
            if pf.netdev is not None and pf.netdev not in known:
                mappings[physical_network] = (*known, pf.netdev)
        return mappings

    def candidates(self, physical_network: str, *, numa_node: int | None = None) -> Iterator[PooledVf]:
        """Yield the free VFs of a physical network, best first: the wanted NUMA node, then the least used PF.

        Raises NoFreeDevice when they are exhausted, saying what became of the others.
        """
        for look in (self.members, self.rescan):
            statuses = []
            for status in self._survey(physical_network, look(), numa_node):
                if status.state is VfState.FREE:
                    yield status.pooled
                statuses.append(status)
        counts = Counter(status.state.value for status in statuses)
        detail = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
        raise NoFreeDevice(physical_network, total=len(statuses), detail=detail or "the device spec admits none")

    def _survey(
        self, physical_network: str, members: tuple[PooledVf, ...], numa_node: int | None
    ) -> Iterator[VfStatus]:
        """Yield the state of each VF of a physical network, the preferred ones first, reading no more than is asked."""
        used = Counter(lease.parent for lease in self._journal.leases())
        preferred = sorted(
            (member for member in members if member.physical_network == physical_network),
            key=lambda member: (
                numa_node is not None and member.vf.numa_node not in (numa_node, None),
                used[member.pf.address],
                member.address,
            ),
        )
        look = self._look()
        for member in preferred:
            yield self._status(member, look)

    def named(self, slot: PciAddress, physical_network: str) -> PooledVf:
        """Return the VF at an address that somebody named, if it may serve the physical network now.

        Raises DeviceUnusable when it never can as things are, DeviceBusy when something else uses it.
        """
        member = self._member_at(slot)
        if member.physical_network != physical_network:
            raise DeviceUnusable(
                slot, f"it is on {member.physical_network}, but the port's network is on {physical_network}"
            )
        status = self._status(member, self._look())
        if status.lease is not None:
            raise DeviceBusy(slot, *holder_words(status.lease))
        if status.state is not VfState.FREE:
            raise DeviceBusy(slot, status.reason, "free it, or name another VF")
        return member

    def strays(self, mac: str, physical_network: str) -> Iterator[PooledVf]:
        """Yield a physical network's VFs that no lease holds but that carry a MAC: their NIC would keep its frames."""
        look = self._look()
        for member in self.members():
            if member.physical_network != physical_network:
                continue
            with suppress(EdgeFailure):  # a card that is lent or sick: the VF's status says it
                settings = look.cards.settings(member.pf).get(member.vf.index)
                if settings is not None and settings.mac == mac and member.address not in look.leases:
                    yield member

    def record_baselines(self) -> None:
        """Record what clean means for each VF that was not seen before in this boot."""
        look = self._look()
        boot_id = self._kernel.boot_id()
        for member in self.members():
            if member.address in look.leases or self._journal.baseline(member.address, boot_id):
                continue
            with suppress(EdgeFailure):  # the VF's status says it
                settings = look.cards.settings(member.pf).get(member.vf.index)
                if settings is not None:
                    self._cleaner.record(member.vf, settings)

    def user_of(self, vf: VirtualFunction) -> DeviceUser | None:
        """Tell who uses a VF that no lease holds, or None: of one kept on vfio-pci, whoever has it open."""
        is_kept = vf.driver == VFIO and any(m.address == vf.address and m.vf_driver == VFIO for m in self.members())
        return self._kernel.vfio_user(vf) if is_kept else self._kernel.user_of(vf)

    def taker_of(self, vf: VirtualFunction) -> DeviceUser | None:
        """Tell who has taken a VF that no lease holds, or None; its last container's remains have not."""
        user = self.user_of(vf)
        if user is None:
            return None
        remains = self._journal.remains(vf.address, self._kernel.boot_id())
        return None if remains is not None and remains.include(user) else user

    def remains_on(self, address: PciAddress) -> Remains | None:
        """Tell what still uses a VF that was taken back and did not come clean, if that can be seen."""
        with suppress(EdgeFailure):
            vf = self._kernel.find(address)
            user = self.user_of(vf) if isinstance(vf, VirtualFunction) else None
            if user is not None:
                return Remains(kind=user.kind, boot_id=self._kernel.boot_id(), marks=user.marks)
        return None

    def statuses(self) -> tuple[VfStatus, ...]:
        """Return every admitted VF's state, freshly read."""
        look = self._look()
        return tuple(self._status(member, look) for member in self.rescan())

    def _admit(self, vf: VirtualFunction, pf: PhysicalFunction) -> PooledVf | None:
        spec = first_match(self._specs, vf, pf)
        if spec is None or spec.physical_network is None:
            return None
        return PooledVf(
            vf=vf,
            pf=pf,
            physical_network=spec.physical_network,
            trusted=spec.trusted,
            vf_driver=spec.vf_driver,
        )

    def _admit_card(self, pf: PhysicalFunction) -> PooledPf | None:
        spec = first_match(self._specs, pf, None)
        if spec is None or spec.physical_network is None:
            return None
        return PooledPf(pf=pf, physical_network=spec.physical_network)

    def _member_at(self, slot: PciAddress) -> PooledVf:
        device = self._kernel.find(slot)
        match device:
            case None:
                raise DeviceUnusable(slot, "there is no such device on this host")
            case VirtualFunction():
                for member in self.rescan():
                    if member.address == slot:
                        return member
                raise DeviceUnusable(slot, "[pci] device_spec of this host does not admit it")
            case PhysicalFunction():
                raise DeviceUnusable(slot, "it is a physical function, and a port of this kind takes a VF")
            case PciDevice():
                raise DeviceUnusable(slot, "it is not a virtual function")

    def _look(self) -> _Look:
        return _Look(
            cards=CardReadings(self._kernel),
            leases={lease.device: lease for lease in self._journal.leases() if lease.device is not None},
            assigned=self._journal.assigned(),
            quarantined=self._journal.quarantined(),
        )

    def _status(self, member: PooledVf, look: _Look) -> VfStatus:
        lease = look.leases.get(member.address)
        if lease is not None:
            return VfStatus(pooled=member, state=VfState.LEASED, lease=lease)
        if (container := look.assigned.get(member.address)) is not None:
            words = container_words(container)
            return VfStatus(pooled=member, state=VfState.ASSIGNED, reason=words, container=container)
        state, reason = self._fitness(member, look)
        # Leased since the look began, it has what its port wants by now.
        if state is not VfState.FREE and (lease := self._journal.holder(member.address)) is not None:
            return VfStatus(pooled=member, state=VfState.LEASED, lease=lease)
        return VfStatus(pooled=member, state=state, reason=reason)

    def _fitness(self, member: PooledVf, look: _Look) -> tuple[VfState, str]:
        """Judge a VF that no lease holds."""
        if (borrower := look.leases.get(member.pf.address)) is not None:
            return VfState.PF_LENT, f"nobody, but its PF is lent to {holder_words(borrower)[0]}"
        vf = self._kernel.find(member.address)
        if not isinstance(vf, VirtualFunction):
            return VfState.TAKEN, "nobody: it has left the host"
        try:
            if (taker := self.taker_of(vf)) is not None:
                return VfState.TAKEN, str(taker)
            if (reason := look.quarantined.get(member.address)) is not None:
                return VfState.QUARANTINED, f"quarantine ({reason})"
            return self._card_fitness(member, vf, look)
        except EdgeFailure as exc:
            # One sick card must not take the others with it.
            return VfState.PF_SICK, f"nobody, but its PF cannot be read ({exc})"

    def _card_fitness(self, member: PooledVf, vf: VirtualFunction, look: _Look) -> tuple[VfState, str]:
        """Judge a VF that nobody uses by its card."""
        uplink = look.cards.uplink(member.pf)
        if uplink is None or not uplink.up:
            return VfState.PF_DOWN, f"nobody, but its PF {member.pf.netdev or member.pf.address} is down"
        settings = look.cards.settings(member.pf).get(vf.index)
        if settings is None or not self._cleaner.is_clean(vf, settings):
            return VfState.DIRTY, "settings that are not its baseline"
        return VfState.FREE, ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one survey goes by: the cards and the journal as they are at its beginning."""

    cards: CardReadings
    leases: Mapping[PciAddress, Lease]
    assigned: Mapping[PciAddress, str]
    quarantined: Mapping[PciAddress, str]
