"""What Neutron is told outside the containers' way: devices up, and debts of attachments that have ended."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from mooring.attach.drift import nature
from mooring.attach.drivers.registry import PortDrivers
from mooring.attach.journal import Debt, DebtEntry, DebtKind, Journal
from mooring.attach.lasting import Lasting, Paced
from mooring.attach.types import Lease, LeaseStep
from mooring.errors import EdgeFailure, NeutronUnreachable, PortBusy, PortNotFound
from mooring.neutron.api import OWN_KEYS, NeutronBus, NeutronPorts
from mooring.neutron.model import ACTIVE, Port

_ASK_AGAIN_S = 1.0
_REPORT_AGAIN_S = 20.0
# More ports than a host gives back between the two halves of a container's start.
_REMEMBERED = 256
# Longer than Neutron keeps a request waiting whose client has gone.
_DOUBT_S = 60.0

log = structlog.get_logger(__name__)


class Settlement:
    """Pays Neutron what the journal says it is owed. A failure leaves the debt for the next round."""

    def __init__(
        self,
        *,
        ports: NeutronPorts,
        bus: NeutronBus | None,
        journal: Journal,
        host: str,
        drivers: PortDrivers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ports = ports
        self._bus = bus
        self._journal = journal
        self._host = host
        self._drivers = drivers
        self._dark: frozenset[str] = frozenset()
        self._lost: frozenset[str] | None = None
        self._nudged = threading.Event()
        self._round = threading.Lock()
        # Nobody waits for a Neutron that has not answered yet: a host that boots has its door to open.
        self._reachable = False
        self._news = threading.Condition()
        self._awaited: set[str] = set()
        self._doubts: Lasting[int] = Lasting(clock)
        self._reported: Paced[str] = Paced(clock, every_s=_REPORT_AGAIN_S)
        self._given_back: OrderedDict[str, Port] = OrderedDict()

    def debt_of(self, port_id: str) -> DebtEntry | None:
        """Return what is owed for a port, if something is; raise PortBusy when it is the port's deletion."""
        for entry in self._bills():
            if entry.debt.port.id == port_id:
                if entry.debt.kind is DebtKind.DELETE:
                    raise PortBusy(port_id, "its own deletion, which Neutron has not confirmed yet")
                return entry
        return None

    def as_the_user_left_it(self, port: Port, device_owner: str) -> Port:
        """Return a port, which may read as an earlier attachment of this host's, without what that has written in it.

        ``device_owner`` is what such an attachment writes. What mooring wrote is nobody's wish.
        """
        if port.host != self._host or port.device_owner != device_owner:
            return port
        # Owed still, or given back since the port was read: the profile as it was is known.
        debt = self.debt_of(port.id)
        former = debt.debt.former if debt is not None else self._given_back.get(port.id)
        if former is not None:
            return replace(port, profile=former.profile)
        # The journal that knew it is gone.
        return replace(port, profile={key: value for key, value in port.profile.items() if key not in OWN_KEYS})

    def note_links(self, *, dark: frozenset[str], lost: frozenset[str]) -> None:
        """Take note of the leases, by id, whose device or link is down: no port of theirs is reported up.

        Those of ``lost`` are down for good, as far as one can tell: their ports are reported down.
        """
        if (dark, lost) != (self._dark, self._lost):
            self._dark, self._lost = dark, lost
            self.nudge()

    def nudge(self) -> None:
        """Ask for a round soon: something new is owed or to be reported."""
        self._nudged.set()

    def wait(self, timeout_s: float) -> None:
        """Return when nudged, or after a while in any case."""
        self._nudged.wait(timeout_s)
        self._nudged.clear()

    def await_active(self, attachment: str, timeout_s: float) -> bool:
        """Wait until Neutron has confirmed an attachment's port ACTIVE, asking it each second; tell whether it did."""

        def is_active() -> bool:
            lease = self._journal.find(attachment)
            return lease is not None and lease.port.status == ACTIVE

        deadline = time.monotonic() + timeout_s
        with self._news:
            self._awaited.add(attachment)
            try:
                while not is_active() and (left := deadline - time.monotonic()) > 0:
                    self.nudge()
                    self._news.wait(min(left, _ASK_AGAIN_S))
            finally:
                self._awaited.discard(attachment)
        return is_active()

    def settle(self) -> None:
        """Pay all debts, and report every ready attachment whose port's status is not what its device is."""
        with self._round:
            # Silence may be about one port only: what was tried least often comes first, and all have their turn.
            paid = self._pay_all(sorted(self._bills(), key=lambda entry: entry.attempts))
            # Paid in every round for long enough, so that no request of ours can be under way still.
            for debt_id in self._doubts.seen((entry.id for entry in paid if entry.debt.doubtful), for_s=_DOUBT_S):
                self._journal.paid(debt_id)
            self._report()
            self._read_awaited()

    def note_silence(self) -> None:
        """Take note that Neutron did not answer somebody else: nobody waits for it again on a container's way."""
        self._reachable = False

    def pay(self, debt_id: int) -> None:
        """Try one debt now, unless Neutron was away a moment ago: nobody waits for a neighbour twice."""
        if not (self._reachable and self._round.acquire(blocking=False)):
            self.nudge()
            return
        try:
            self._pay_all(entry for entry in self._bills() if entry.id == debt_id)
        finally:
            self._round.release()

    def _bills(self) -> list[DebtEntry]:
        """Return the debts that are paid one by one; what is owed of devices goes with the other reports."""
        return [entry for entry in self._journal.debts() if entry.debt.kind is not DebtKind.REPORT_DOWN]

    def _pay_all(self, entries: Iterable[DebtEntry]) -> list[DebtEntry]:
        """Pay debts in their order, and stop when Neutron does not answer one: it would not answer the next.

        Returns those that were paid; doubtful ones stay in the journal all the same.
        """
        paid = []
        self._reachable = True
        for entry in entries:
            if self._pay(entry):
                paid.append(entry)
            if not self._reachable:
                break
        return paid

    def _pay(self, entry: DebtEntry) -> bool:
        try:
            _settle_port(self._ports, entry.debt)
        except EdgeFailure as exc:
            self._journal.not_paid(entry.id, str(exc))
            if entry.attempts == 0:
                log.warning("debt.deferred", port=entry.debt.port.id, kind=entry.debt.kind.value, error=str(exc))
            self._reachable = not isinstance(exc, NeutronUnreachable)
            return False
        self._remember(entry.debt.former)
        if entry.debt.doubtful:
            return True
        self._journal.paid(entry.id)
        log.info("debt.paid", port=entry.debt.port.id, kind=entry.debt.kind.value)
        return True

    def _remember(self, former: Port) -> None:
        self._given_back[former.id] = former
        self._given_back.move_to_end(former.id)
        while len(self._given_back) > _REMEMBERED:
            self._given_back.popitem(last=False)

    def _report(self) -> None:
        """Report devices that are up and whose ports are not ACTIVE, and those that are down and whose ports are.

        Down is also one whose port was set down, as neutron-sriov-nic-agent has it, and one that has gone from a port
        which stays bound.
        """
        # Read before the leases: one that is seen then is newer than what is owed of its port.
        gone = [entry for entry in self._journal.debts() if entry.debt.kind is DebtKind.REPORT_DOWN]
        leases = self._journal.leases()
        steps = {lease.port.id: lease.step for lease in leases}
        idle = [entry for entry in gone if entry.debt.port.id not in steps]
        up, down = self._misreported(leases)
        if self._bus is not None and (up or down or idle):
            ids = _port_ids(up), [*_port_ids(down), *sorted({entry.debt.port.id for entry in idle})]
            try:
                self._bus.report_devices(self._host, up=ids[0], down=ids[1])
            except EdgeFailure as exc:
                log.warning("ports.not-reported", ports=[*ids[0], *ids[1]], error=str(exc))
                for entry in idle:
                    self._journal.not_paid(entry.id, str(exc))
                return
        for entry in gone:
            # A port that is in a container again is reported as what it is there; one that may yet fail to is not.
            if steps.get(entry.debt.port.id, LeaseStep.READY) is LeaseStep.READY:
                self._journal.paid(entry.id)
        for lease in (*up, *down):
            self._confirm(lease)

    def _misreported(self, leases: Iterable[Lease]) -> tuple[list[Lease], list[Lease]]:
        """Return the leases whose ports are to be reported up, and down; none before the devices were looked at."""
        dark, lost = self._dark, self._lost
        if lost is None:
            return [], []
        ours = [lease for lease in leases if self._is_ours_to_report(lease)]
        waiting = [lease for lease in ours if lease.id not in dark | lost and _waits_for_active(lease)]
        # What keeps a port from becoming ACTIVE may be no business of ours: Neutron is not asked about it all the time.
        up = [lease for lease in waiting if lease.attachment in self._awaited or self._reported.is_due(lease.id)]
        down = [lease for lease in ours if lease.port.status == ACTIVE and (lease.id in lost or _is_set_down(lease))]
        return up, down

    def _read_awaited(self) -> None:
        """Read the ports that somebody waits for and that others report: an L2 agent of Neutron's, for normal ports."""
        for lease in self._journal.leases():
            if lease.attachment not in self._awaited or lease.step is not LeaseStep.READY:
                continue
            if self._is_ours_to_report(lease):
                continue
            self._confirm(lease)

    def _is_ours_to_report(self, lease: Lease) -> bool:
        return self._bus is not None and lease.step is LeaseStep.READY and self._drivers[lease.driver].reports_status

    def _confirm(self, lease: Lease) -> None:
        """Read the port: the bus answers the same whether or not a report had any effect."""
        try:
            port = self._ports.port(lease.port.id)
        except PortNotFound:
            return  # the follower sees to it
        except EdgeFailure as exc:
            log.warning("port.not-read", port=lease.port.id, error=str(exc))
            return
        # What the device has yet to follow must go on being news to the follower.
        is_followed = lease.has(port) and nature(port) == nature(lease.port)
        self._journal.note_port(lease, port if is_followed else replace(lease.port, status=port.status))
        with self._news:
            self._news.notify_all()
        if port.status == ACTIVE:
            self._reported.forget(lease.id)
        log.info("port.read", port=port.id, status=port.status)


def _waits_for_active(lease: Lease) -> bool:
    return lease.port.status != ACTIVE and not _is_set_down(lease)


def _is_set_down(lease: Lease) -> bool:
    return not lease.port.admin_state_up


def _port_ids(leases: Iterable[Lease]) -> list[str]:
    return [lease.port.id for lease in leases]


def _settle_port(ports: NeutronPorts, debt: Debt) -> None:
    match debt.kind:
        case DebtKind.UNBIND:
            ports.unbind(debt.port, restore=debt.former.profile)
        case DebtKind.DELETE:
            ports.delete_port(debt.port.id)
