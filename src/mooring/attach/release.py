"""Takes attachments back, from whatever step they have reached."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import structlog
from structlog.contextvars import bound_contextvars

from mooring.attach.devices import Devices
from mooring.attach.drivers.registry import PortDrivers
from mooring.attach.journal import Debt, DebtKind
from mooring.attach.locks import KeyedLocks, card_of
from mooring.attach.observer import Observer, observed
from mooring.attach.settlement import Settlement
from mooring.attach.types import Lease, LeaseStep, short_id
from mooring.errors import MooringError

log = structlog.get_logger(__name__)


class Releaser:
    """Brings devices home and gives ports back. Whoever calls holds the attachment.

    ``host`` is this host's name in Neutron. ``publish`` is told of each lease that has ended.
    """

    def __init__(
        self,
        *,
        devices: Devices,
        drivers: PortDrivers,
        settlement: Settlement,
        host: str,
        card_locks: KeyedLocks,
        publish: Callable[[Lease], None],
        observer: Observer,
    ) -> None:
        self._journal = devices.journal
        self._pool = devices.pool
        self._drivers = drivers
        self._settlement = settlement
        self._host = host
        self._card_locks = card_locks
        self._publish = publish
        self._observer = observer
        self._problems: dict[str, str] = {}

    def undo(self, lease: Lease, *, rebooted: bool, put_off: bool) -> None:
        """Undo a lease that a crash or a reboot left behind; ``put_off`` only writes down that it is to be undone."""
        doubtful = lease.doubtful or lease.step is LeaseStep.BINDING
        with log_facts(lease):
            if rebooted and not self._drivers[lease.driver].outlives_reboot:
                # VFs do not outlive a boot: they were created anew, at their driver's defaults.
                self._forget(lease, self._owed(lease, lease.step, doubtful=doubtful), quarantine=None)
            elif put_off:
                self._journal.save(replace(lease, step=LeaseStep.RELEASING, doubtful=doubtful))
            else:
                self.release(lease, doubtful=doubtful)

    def release(self, lease: Lease, *, doubtful: bool = False, may_wait: bool = True) -> None:
        """Undo an attachment from whatever step it reached. What cannot be undone now is kept in mind, never lost.

        ``doubtful`` says that Neutron may still be about to carry out the binding; ``may_wait`` whether to wait for
        Neutron's answer.
        """
        current = self._journal.current(lease)
        if current is None:
            return
        reached = current.step
        doubtful |= current.doubtful
        current = self._journal.save(replace(current, step=LeaseStep.RELEASING, doubtful=doubtful))
        problem = None
        if reached in (LeaseStep.PROGRAMMING, LeaseStep.READY, LeaseStep.RELEASING):
            problem = self._take_back(current)
            if problem is not None and not current.holds_vf:
                return  # the lease stays as it is, and the reconciler tries again: it alone knows what to undo
        owed = self._owed(current, reached, doubtful=doubtful)
        with observed(self._observer, "detach", "settle"):
            self._forget(current, owed, quarantine=problem, may_wait=may_wait)
        self._publish(current)

    def _take_back(self, lease: Lease) -> str | None:
        """Bring the device home and clean it; return why it may not be handed out, if it may not."""
        try:
            with observed(self._observer, "detach", "clean"), card_of(self._card_locks, lease):
                self._drivers[lease.driver].delete_host_iface(lease)
        except MooringError as exc:
            problem = str(exc)
        except Exception as exc:
            log.exception("device.not-clean")
            return f"{type(exc).__name__}: {exc}"
        else:
            self._problems.pop(lease.id, None)
            return None
        if problem != self._problems.get(lease.id):
            log.error("device.not-clean", error=problem)
        # A lease without a VF is tried again under its id; one that has ended is not.
        if not lease.holds_vf:
            self._problems[lease.id] = problem
        return problem

    def _forget(self, lease: Lease, owed: Debt | None, *, quarantine: str | None, may_wait: bool = True) -> None:
        """Forget the lease, and settle with Neutron now if Neutron is there and waited for, soon if it is not."""
        remains = None if quarantine is None or lease.device is None else self._pool.remains_on(lease.device)
        debt = self._journal.end(lease, owed=owed, quarantine=quarantine, remains=remains)
        if owed is not None and (owed.kind is DebtKind.REPORT_DOWN or not may_wait):
            self._settlement.nudge()
        elif debt is not None:
            self._settlement.pay(debt)

    def _owed(self, lease: Lease, reached: LeaseStep, *, doubtful: bool) -> Debt | None:
        """Return what Neutron is owed for an attachment that has come as far as ``reached``."""
        if lease.is_bound:
            is_reported = self._drivers[lease.driver].reports_status and reached in (
                LeaseStep.READY,
                LeaseStep.RELEASING,
            )
            return Debt(kind=DebtKind.REPORT_DOWN, port=lease.port, former=lease.former) if is_reported else None
        if reached is LeaseStep.LEASED and not lease.created:
            # A port that was taken over before an earlier attachment of this host's was settled is still bound to that.
            is_taken_over = lease.former.host == self._host and lease.former.device_owner == lease.device_owner
            return Debt(kind=DebtKind.UNBIND, port=lease.former, former=lease.former) if is_taken_over else None
        # What was meant to be bound counts as bound: the answer may have been lost on the way. This host may have had
        # another name when it was.
        host = self._host if lease.port.device_id != lease.attachment else lease.port.host
        port = replace(lease.port, host=host, device_id=lease.attachment)
        if lease.created:
            return Debt(kind=DebtKind.DELETE, port=port, former=lease.former)
        return Debt(kind=DebtKind.UNBIND, port=port, former=lease.former, doubtful=doubtful)


def log_facts(lease: Lease) -> AbstractContextManager[None]:
    """Say in every line of the body which attachment, port and device it is about."""
    facts = {"attachment": short_id(lease.attachment), "port": lease.port.id}
    return bound_contextvars(**facts if lease.device is None else {**facts, "device": str(lease.device)})
