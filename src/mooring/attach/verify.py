"""Compares what the journal says with what the kernel and Neutron show, attribute by attribute. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mooring.attach.devices import Devices
from mooring.attach.drift import differences_of_port
from mooring.attach.drivers.registry import PortDrivers
from mooring.attach.journal import DebtEntry
from mooring.attach.leftovers import orphans
from mooring.attach.pool import VfState, VfStatus
from mooring.attach.readings import CardReadings, PolicyReadings
from mooring.attach.sights import look_at
from mooring.attach.types import Difference, Lease, LeaseStep, Sight, Whereabouts, short_id
from mooring.errors import EdgeFailure, InvalidRequest, PortNotFound
from mooring.neutron.api import NeutronPorts
from mooring.neutron.model import Port
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction, VirtualFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """Where a device, or a port as Neutron has it, is not as wanted. ``lease`` is the id of the lease that says so."""

    subject: str
    difference: Difference
    lease: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """What could not be looked at, and why."""

    subject: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The outcome: what differs, what was not seen, and how many leases, other VFs and bound ports were compared."""

    discrepancies: tuple[Discrepancy, ...]
    unseen: tuple[Unseen, ...]
    leases: int
    vfs: int
    ports: int


_Notes = Iterator[Discrepancy | Unseen]


class Verifier:
    """Looks at the host of a journal, whether or not its daemon runs.

    ``owners`` are the values of device_owner that this host's front doors write.
    """

    def __init__(
        self, *, devices: Devices, drivers: PortDrivers, ports: NeutronPorts, host: str, owners: Collection[str]
    ) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._drivers = drivers
        self._ports = ports
        self._host = host
        self._owners = frozenset(owners)

    def verify(self) -> Comparison:
        """Compare every lease, every VF that no lease holds, the ports that are bound to this host, and debts.

        What starts or ends meanwhile is not judged.
        """
        leases, debts = self._journal.leases(), self._journal.debts()
        notes = list(self._in_kernel(leases))
        statuses = [status for status in self._pool.statuses() if status.state is not VfState.LEASED]
        notes += _of_free_vfs(statuses)
        ports: dict[str, Port] = {}
        try:
            ports = {port.id: port for port in self._ports.ports(host=self._host)}
            notes += self._in_neutron(leases, ports)
            # What the journal knew before the ports were read, or knows now, is none.
            known = (*leases, *self._journal.leases()), (*debts, *self._journal.debts())
            notes += map(_orphaned, orphans(ports.values(), self._host, self._owners, *known))
        except EdgeFailure as exc:
            notes.append(Unseen(subject="Neutron", why=str(exc)))
        notes += map(_owed, debts)
        return self._compared(notes, leases, vfs=len(statuses), ports=len(ports))

    def verify_only(self, selectors: Collection[str]) -> Comparison:
        """Compare the leases of these ports or attachments, by the port's id or the beginning of the attachment's.

        Raises InvalidRequest for one that no lease knows.
        """
        leases = self._journal.leases()
        chosen = {lease.id: lease for selector in selectors for lease in _selected(selector, leases)}
        notes = list(self._in_kernel(chosen.values()))
        try:
            notes += self._in_neutron(chosen.values(), {})
        except EdgeFailure as exc:
            notes.append(Unseen(subject="Neutron", why=str(exc)))
        return self._compared(notes, tuple(chosen.values()))

    def _in_kernel(self, leases: Iterable[Lease]) -> _Notes:
        cards = CardReadings(self._kernel)
        for lease, seen in look_at(leases, self._drivers, cards):
            subject = _device(lease)
            if seen is None:
                step = Difference(what="step", found=lease.step.value, wanted=LeaseStep.READY.value)
                yield Discrepancy(subject=subject, difference=step, lease=lease.id)
            elif isinstance(seen, Sight):
                for difference in (*_of_sight(lease, seen), *self._of_mtu(lease, seen)):
                    yield Discrepancy(subject=subject, difference=difference, lease=lease.id)
            else:
                yield Unseen(subject=subject, why=str(seen))

    def _of_mtu(self, lease: Lease, sight: Sight) -> Iterator[Difference]:
        """Compare the MTU of what the host can see of a VF: the PF's, and the VF's own below a macvtap."""
        if not lease.holds_vf or lease.parent is None or sight.whereabouts is not Whereabouts.AWAY:
            return
        wanted = lease.network.mtu
        for what, address, at_least in (("MTU", lease.device, False), ("MTU of its PF", lease.parent, True)):
            mtu = self._mtu(address)
            if mtu is not None and (mtu < wanted if at_least else mtu != wanted):
                yield Difference(what=what, found=str(mtu), wanted=f"at least {wanted}" if at_least else str(wanted))

    def _mtu(self, address: PciAddress | None) -> int | None:
        device = None if address is None else self._kernel.find(address)
        netdev = self._kernel.netdev(device) if isinstance(device, (PhysicalFunction, VirtualFunction)) else None
        return None if netdev is None else netdev.mtu

    def _in_neutron(self, leases: Iterable[Lease], ports: Mapping[str, Port]) -> _Notes:
        """Compare the ports of ready leases; those that are not given are read."""
        policies = PolicyReadings(self._ports)
        for lease in leases:
            if lease.step is not LeaseStep.READY:
                continue
            try:
                port = ports.get(lease.port.id) or self._ports.port(lease.port.id)
            except PortNotFound:
                found = [Difference(what="port", found="not in Neutron", wanted=f"bound to {lease.place}")]
            else:
                driver = self._drivers[lease.driver]
                found = list(differences_of_port(lease, port, policies.limits(port), self._host, driver))
            for difference in found:
                yield Discrepancy(subject=f"port {lease.port.id}", difference=difference, lease=lease.id)

    def _compared(
        self, notes: Iterable[Discrepancy | Unseen], before: tuple[Lease, ...], *, vfs: int = 0, ports: int = 0
    ) -> Comparison:
        """Sum up, without what is said of leases that have ended or moved on since they were looked at."""
        steps = {lease.id: (lease.step, lease.wanted) for lease in self._journal.leases()}
        moved = {lease.id for lease in before if steps.get(lease.id) != (lease.step, lease.wanted)}
        discrepancies = [note for note in notes if isinstance(note, Discrepancy)]
        return Comparison(
            discrepancies=tuple(note for note in discrepancies if note.lease not in moved),
            unseen=tuple(note for note in notes if isinstance(note, Unseen)),
            leases=len(before) - len(moved),
            vfs=vfs,
            ports=ports,
        )


def _selected(selector: str, leases: Iterable[Lease]) -> tuple[Lease, ...]:
    found = tuple(lease for lease in leases if selector == lease.port.id or lease.attachment.startswith(selector))
    if not found or not selector:
        raise InvalidRequest(f"no lease is of a port or an attachment {selector!r}; 'mooring leases' lists them")
    return found


def _device(lease: Lease) -> str:
    return f"port {lease.port.id}" if lease.device is None else str(lease.device)


def _of_sight(lease: Lease, sight: Sight) -> Iterator[Difference]:
    if sight.whereabouts is not Whereabouts.AWAY:
        found = f"{sight.whereabouts.value} ({sight.detail})" if sight.detail else sight.whereabouts.value
        yield Difference(what="whereabouts", found=found, wanted="with its container")
    elif not sight.link_up:
        yield Difference(what="link of its card", found="down", wanted="up")
    yield from sight.differences
    for name in sorted(lease.missing):
        wanted = getattr(lease.wanted, name, "set")
        yield Difference(what=name, found="not set, for its driver cannot", wanted=str(wanted))


def _of_free_vfs(statuses: Iterable[VfStatus]) -> _Notes:
    """Tell which VFs are unfit, and, once for each card, that it is."""
    cards: dict[PciAddress, Discrepancy | Unseen] = {}
    for status in statuses:
        card = status.pooled.pf
        if status.state.is_unclean or status.state is VfState.TAKEN:
            state = Difference(what="state", found=f"{status.state.value}: {status.reason}", wanted="free")
            yield Discrepancy(subject=str(status.pooled.address), difference=state)
        elif status.state is VfState.PF_SICK:
            cards[card.address] = Unseen(subject=str(card.address), why=status.reason)
        elif status.state is VfState.PF_DOWN:
            link = Difference(what=f"interface {card.netdev or 'of the PF'}", found="down", wanted="up")
            cards[card.address] = Discrepancy(subject=str(card.address), difference=link)
    yield from cards.values()


def _orphaned(port: Port) -> Discrepancy:
    found = f"to attachment {short_id(port.device_id)}, which has no lease"
    return Discrepancy(subject=f"port {port.id}", difference=Difference(what="binding", found=found, wanted="none"))


def _owed(entry: DebtEntry) -> Discrepancy:
    found = f"not yet ({entry.last_error})" if entry.last_error else "not yet"
    owed = Difference(what=f"{entry.debt.kind.value} in Neutron", found=found, wanted="done")
    return Discrepancy(subject=f"port {entry.debt.port.id}", difference=owed)
