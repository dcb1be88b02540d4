"""What Neutron is told outside the containers' way: devices up, and debts of attachments that have ended."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog

from mooring.attach.journal import Debt, DebtEntry, DebtKind, Journal
from mooring.attach.lasting import Lasting
from mooring.attach.types import Lease, LeaseStep
from mooring.errors import EdgeFailure, NeutronUnreachable, PortNotFound
from mooring.neutron.api import NeutronBus, NeutronPorts
from mooring.neutron.model import Port

ACTIVE = "ACTIVE"
_ASK_AGAIN_S = 1.0
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ports = ports
        self._bus = bus
        self._journal = journal
        self._host = host
        self._nudged = threading.Event()
        self._round = threading.Lock()
        self._reachable = True
        self._news = threading.Condition()
        self._doubts: Lasting[int] = Lasting(clock)
        self._given_back: OrderedDict[str, Port] = OrderedDict()

    def former(self, port_id: str) -> Port | None:
        """Return a port as it was before an attachment of this host's that was settled of late."""
        return self._given_back.get(port_id)

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
            while not is_active() and (left := deadline - time.monotonic()) > 0:
                self.nudge()
                self._news.wait(min(left, _ASK_AGAIN_S))
        return is_active()

    def settle(self) -> None:
        """Pay all debts and report every ready attachment whose port is not ACTIVE yet."""
        with self._round:
            paid = self._pay_all(self._journal.debts())
            # Paid in every round for long enough, so that no request of ours can be under way still.
            for debt_id in self._doubts.seen((entry.id for entry in paid if entry.debt.doubtful), for_s=_DOUBT_S):
                self._journal.paid(debt_id)
            waiting = [lease for lease in self._journal.leases() if _waits_for_active(lease)]
            if waiting:
                self._report_up(waiting)

    def pay(self, debt_id: int) -> None:
        """Try one debt now, unless Neutron was away a moment ago: nobody waits for a neighbour twice."""
        if not (self._reachable and self._round.acquire(blocking=False)):
            self.nudge()
            return
        try:
            self._pay_all(tuple(entry for entry in self._journal.debts() if entry.id == debt_id))
        finally:
            self._round.release()

    def _pay_all(self, entries: tuple[DebtEntry, ...]) -> list[DebtEntry]:
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

    def _report_up(self, leases: list[Lease]) -> None:
        if self._bus is None:
            return
        try:
            self._bus.report_devices(self._host, up=[lease.port.id for lease in leases])
            for lease in leases:
                self._confirm(lease)
        except EdgeFailure as exc:
            log.warning("ports.not-reported", ports=[lease.port.id for lease in leases], error=str(exc))

    def _confirm(self, lease: Lease) -> None:
        """Read the port back: the bus answers the same whether or not the report had any effect."""
        try:
            port = self._ports.port(lease.port.id)
        except PortNotFound:
            log.warning("port.deleted-behind-our-back", port=lease.port.id)
            return
        self._journal.note_port(lease, port)
        with self._news:
            self._news.notify_all()
        log.info("port.reported", port=port.id, status=port.status)


def _waits_for_active(lease: Lease) -> bool:
    return lease.step is LeaseStep.READY and lease.port.status != ACTIVE and lease.port.admin_state_up


def _settle_port(ports: NeutronPorts, debt: Debt) -> None:
    match debt.kind:
        case DebtKind.UNBIND:
            ports.unbind(debt.port, restore=debt.former.profile)
        case DebtKind.DELETE:
            ports.delete_port(debt.port.id)
