"""Takes away what is left over, when an operator asks for it instead of waiting for the rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog

from mooring.attach.devices import Devices
from mooring.attach.engine import Engine
from mooring.attach.journal import DebtEntry
from mooring.attach.leftovers import cut_off, orphans
from mooring.attach.pool import VfStatus
from mooring.attach.settlement import Settlement
from mooring.attach.types import Containers, Lease, LeaseStep, short_id
from mooring.errors import EdgeFailure, OperationRefused
from mooring.neutron.api import NeutronPorts
from mooring.neutron.model import Port

# A removal that is under way ends within it, and takes its attachment along in good order.
_LOOK_AGAIN_S = 5.0

log = structlog.get_logger(__name__)


class DeedKind(StrEnum):
    """What garbage collection does. The values are words for people and programs."""

    ENDED = "end attachment"
    UNBOUND = "unbind port"
    PAID = "pay debt"
    CLEANED = "clean VF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing that was done, or is to be done, and for what reason. ``failure`` says why it could not be."""

    kind: DeedKind
    subject: str
    reason: str
    failure: str = ""


class GarbageCollector:
    """Ends attachments that no container holds, unbinds ports without one, pays debts, and cleans free VFs.

    An attachment is ended when it is ready and the container engine does not know it, twice, five seconds apart: the
    engine knows an endpoint before mooring makes it ready, and until the container is gone. So what a living container
    holds is never ended, and neither is a start that is under way. Where no daemon runs, nobody carries a start or a
    removal on: those that have begun are undone, as by a daemon that starts, and those that have not are ended like
    ready ones. ``pause`` waits for so many seconds, ``owners`` are the values of device_owner that this host's front
    doors write.
    """

    def __init__(
        self,
        *,
        devices: Devices,
        engine: Engine,
        settlement: Settlement,
        ports: NeutronPorts,
        containers: Containers,
        owners: Collection[str],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._engine = engine
        self._settlement = settlement
        self._ports = ports
        self._containers = containers
        self._owners = frozenset(owners)
        self._pause = pause

    def collect(self, *, dry_run: bool, alone: bool = False) -> tuple[Deed, ...]:
        """Do all of it and tell what was done, or with ``dry_run`` only what there is to do.

        ``alone`` says that no daemon runs.

        What fails is told with the deed and hinders no other. Raises OperationRefused while the container engine does
        not answer.
        """
        self._living()
        undoing = self._undoing() if alone else _Work()
        deeds = _carried_out(undoing, dry_run=dry_run)
        try:
            bound = self._ports.ports(host=self._engine.host)
        except EdgeFailure as exc:
            bound = ()
            whose = f"ports of host {self._engine.host}"
            deeds.append(Deed(kind=DeedKind.UNBOUND, subject=whose, reason="not looked at", failure=str(exc)))
        dead, unheld = self._without_container(bound, alone=alone)
        deeds += _carried_out(self._ending([lease for lease in dead if lease.id not in undoing.deeds]), dry_run=dry_run)
        deeds += _carried_out(self._unbinding(unheld), dry_run=dry_run)
        deeds += _carried_out(self._paying(), dry_run=dry_run)
        deeds += _carried_out(self._cleaning(), dry_run=dry_run)
        return tuple(deeds)

    def _living(self) -> frozenset[str]:
        living = self._containers.living()
        if living is None:
            raise OperationRefused(
                "Docker does not answer, so nobody knows which containers live; start it ('systemctl start docker'), "
                "or see [DEFAULT] docker_url, and try again"
            )
        return living

    def _without_container(self, bound: Iterable[Port], *, alone: bool) -> tuple[tuple[Lease, ...], tuple[Port, ...]]:
        """Return the leases and the ports that no container holds, now and a while later."""
        dead, bound = self._unknown_to_the_engine(bound, alone=alone)
        if dead or bound:
            self._pause(_LOOK_AGAIN_S)
            before = {lease.id for lease in dead}
            dead, bound = self._unknown_to_the_engine(bound, alone=alone)
            dead = tuple(lease for lease in dead if lease.id in before)
        return dead, bound

    def _unknown_to_the_engine(
        self, bound: Iterable[Port], *, alone: bool
    ) -> tuple[tuple[Lease, ...], tuple[Port, ...]]:
        # In this order: what was ready before the engine was asked, it must know.
        leases = self._journal.leases()
        unknown = orphans(bound, self._engine.host, self._owners, leases, self._journal.debts())
        living = self._living()
        # A start that has not begun may yet do so where a daemon runs.
        idle = (lease for lease in leases if (lease.step.is_at_rest if alone else lease.step is LeaseStep.READY))
        dead = tuple(lease for lease in idle if lease.attachment not in living)
        return dead, tuple(port for port in unknown if port.device_id not in living)

    def _undoing(self) -> _Work:
        """Undo starts and removals that had begun, and leases of an earlier boot."""
        self._pool.rescan()
        found = tuple(cut_off(self._journal.leases(), self._kernel.boot_id()))
        deeds = {}
        for lease, rebooted in found:
            reason = "the host was started anew since" if rebooted else f"cut off at step {lease.step.value}"
            deeds[lease.id] = _ended(lease, reason)

        def undo() -> dict[str, str]:
            for lease, rebooted in found:
                self._engine.undo(lease, rebooted=rebooted)
            return self._not_ended()

        return _Work(deeds=deeds, do=undo)

    def _ending(self, leases: Collection[Lease]) -> _Work:
        def end() -> dict[str, str]:
            for lease in leases:
                self._engine.end(lease)
            return self._not_ended()

        return _Work(deeds={lease.id: _ended(lease, "no container has it") for lease in leases}, do=end)

    def _not_ended(self) -> dict[str, str]:
        why = "its device does not come home yet; mooring's log says why"
        return {lease.id: why for lease in self._journal.leases()}

    def _unbinding(self, ports: Iterable[Port]) -> _Work:
        def unbind() -> dict[str, str]:
            failures = {}
            for port in ports:
                try:
                    self._ports.unbind(port, restore={})
                except EdgeFailure as exc:
                    failures[port.id] = str(exc)
            return failures

        return _Work(deeds={port.id: _unbound(port) for port in ports}, do=unbind)

    def _paying(self) -> _Work:
        def settle() -> dict[str, str]:
            self._settlement.settle()
            return {str(entry.id): _why_left(entry) for entry in self._journal.debts()}

        return _Work(deeds={str(entry.id): _paid(entry) for entry in self._journal.debts()}, do=settle)

    def _cleaning(self) -> _Work:
        unclean = self._unclean()

        def clean() -> dict[str, str]:
            for status in unclean.values():
                self._engine.caretaker.clean(status.pooled)
            return {address: status.reason for address, status in self._unclean().items()}

        return _Work(deeds={address: _cleaned(status) for address, status in unclean.items()}, do=clean)

    def _unclean(self) -> dict[str, VfStatus]:
        return {str(status.pooled.address): status for status in self._pool.statuses() if status.state.is_unclean}


def _nothing() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What is to be done, by some key, and how; ``do`` tells by the same keys why something could not be."""

    deeds: Mapping[str, Deed] = field(default_factory=dict)
    do: Callable[[], Mapping[str, str]] = _nothing


def _carried_out(work: _Work, *, dry_run: bool) -> list[Deed]:
    """Do the work, but for a dry run, and tell the deeds."""
    failures = work.do() if work.deeds and not dry_run else {}
    return [replace(deed, failure=failures.get(key, "")) for key, deed in work.deeds.items()]


def _ended(lease: Lease, reason: str) -> Deed:
    why = f"{reason} (port {lease.port.id}, {lease.place})"
    return Deed(kind=DeedKind.ENDED, subject=short_id(lease.attachment), reason=why)


def _unbound(port: Port) -> Deed:
    return Deed(kind=DeedKind.UNBOUND, subject=port.id, reason=f"attachment {short_id(port.device_id)} has no lease")


def _paid(entry: DebtEntry) -> Deed:
    return Deed(kind=DeedKind.PAID, subject=entry.debt.port.id, reason=f"{entry.debt.kind.value} is owed")


def _cleaned(status: VfStatus) -> Deed:
    return Deed(kind=DeedKind.CLEANED, subject=str(status.pooled.address), reason=status.reason)


def _why_left(entry: DebtEntry) -> str:
    if entry.debt.doubtful and not entry.last_error:
        return "kept for another minute: Neutron may still be about to carry the binding out"
    return entry.last_error or "not paid yet"
