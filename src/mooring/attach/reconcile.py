"""Compares the journal with the kernel and with the containers, and puts in order what no call will put in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog

from mooring.attach.devices import Devices
from mooring.attach.drivers.registry import PortDrivers
from mooring.attach.engine import Engine
from mooring.attach.findings import Finding, FindingKind, Findings
from mooring.attach.lasting import Lasting, Paced
from mooring.attach.leftovers import cut_off
from mooring.attach.observer import Nobody, Observer
from mooring.attach.pool import VfState, VfStatus
from mooring.attach.readings import CardReadings
from mooring.attach.settlement import Settlement
from mooring.attach.sights import look_at
from mooring.attach.types import Containers, Lease, LeaseStep, Publisher, Sight, Whereabouts
from mooring.errors import EdgeFailure
from mooring.pci.address import PciAddress

# Docker moves a VF into its container within seconds of Join, and ends an endpoint within seconds of fetching it home.
_HOME_ALONE_S = 120.0
_NOT_LIVING_S = 60.0
_UNFINISHED_S = 300.0
# An operator who prepares a VF by hand does so in one go.
_DIRTY_S = 60.0
# A card that is given another number of VFs has none for a while.
_ABSENT_S = 300.0
# A card's link may flap.
_LINK_DOWN_S = 10.0
_RECOVERY_S = 10.0
# To clean or to repair is a change of the host, which asks for the next round: without a pace it would be at once.
_TRY_AGAIN_S = 30.0

_LOST: Mapping[Whereabouts, FindingKind] = {
    Whereabouts.GONE: FindingKind.DEVICE_GONE,
    Whereabouts.TAKEN: FindingKind.DEVICE_TAKEN,
}
_UNFIT: Mapping[VfState, FindingKind] = {
    VfState.DIRTY: FindingKind.VF_DIRTY,
    VfState.TAKEN: FindingKind.VF_TAKEN,
    VfState.QUARANTINED: FindingKind.VF_QUARANTINED,
    VfState.PF_DOWN: FindingKind.CARD_SICK,
    VfState.PF_SICK: FindingKind.CARD_SICK,
}

log = structlog.get_logger(__name__)


class Reconciler:
    """The host's side of reconciling: journal, kernel and containers. The Follower's is Neutron.

    ``containers`` is None where no engine can be asked; ``clock`` tells seconds.
    """

    def __init__(
        self,
        *,
        devices: Devices,
        drivers: PortDrivers,
        engine: Engine,
        settlement: Settlement,
        containers: Containers | None = None,
        publisher: Publisher | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._drivers = drivers
        self._engine = engine
        self._settlement = settlement
        self._containers = containers
        self._publisher = publisher
        self.findings = Findings(observer or Nobody())
        self._clock = clock
        self._home_alone: Lasting[str] = Lasting(clock)
        self._not_living: Lasting[str] = Lasting(clock)
        self._unfinished: Lasting[str] = Lasting(clock)
        self._down: Lasting[str] = Lasting(clock)
        self._lost: dict[str, tuple[FindingKind, str] | None] = {}
        self._dirty: Lasting[PciAddress] = Lasting(clock)
        self._absent: Lasting[PciAddress] = Lasting(clock)
        self._seen_away: set[str] = set()
        self._released: Paced[str] = Paced(clock, every_s=_TRY_AGAIN_S)
        self._cleaned: Paced[PciAddress] = Paced(clock, every_s=_TRY_AGAIN_S)
        self._repaired: Paced[str] = Paced(clock, every_s=_TRY_AGAIN_S)

    def recover(self) -> None:
        """Undo what a crash or a reboot left half done. Called once, before any door opens; sweep soon afterwards.

        Where nothing was begun yet, Docker may still be about to call. What a slow neighbour would hold up for longer
        than ten seconds is left to the sweep: Docker waits for the door.
        """
        self._pool.rescan()
        until = self._clock() + _RECOVERY_S
        for lease, rebooted in cut_off(self._journal.leases(), self._kernel.boot_id()):
            is_late = self._clock() >= until
            self._engine.undo(lease, rebooted=rebooted, put_off=is_late)
            event = "lease.put-off" if is_late else "lease.undone"
            log.warning(event, attachment=lease.attachment, step=lease.step.value, rebooted=rebooted)
        former = {lease.port.host for lease in self._journal.leases() if lease.port.host} - {self._engine.host}
        if former:
            log.warning("host.renamed", leases_of=sorted(former), now=self._engine.host)
        self._publish()

    def sweep(self, on_progress: Callable[[], None] = lambda: None) -> None:
        """Look at every lease and every free VF, and repair or tell what is wrong.

        ``on_progress`` is called at each, for it takes minutes where many of them do not do as they are told.
        """
        with self.findings.round():
            self._look_after_leases(on_progress)
            self._look_after_free_vfs(on_progress)
        self._publish()

    def _look_after_leases(self, on_progress: Callable[[], None]) -> None:
        leases = self._journal.leases()
        sights = self._sights(leases)
        living = None if self._containers is None else self._containers.living()
        self._end_the_dead(leases, sights, living, on_progress)
        leases = self._journal.leases()
        self._report_lost(leases, sights, living or frozenset())
        for lease in leases:
            sight = sights.get(lease.id)
            if sight is not None and sight.whereabouts is Whereabouts.AWAY:
                on_progress()
                self._repair(lease, sight)

    def _sights(self, leases: tuple[Lease, ...]) -> dict[str, Sight]:
        """Return what can be seen of the ready leases, by lease id. One sick card does not take the others with it."""
        sights = {}
        for lease, seen in look_at(leases, self._drivers, CardReadings(self._kernel)):
            if isinstance(seen, Sight):
                sights[lease.id] = seen
            elif seen is not None and lease.parent is None:
                self._note(FindingKind.HOST_UNSEEN, "virtual interfaces", str(seen))
            elif seen is not None:
                self._note(FindingKind.CARD_SICK, str(lease.parent), str(seen))
        return sights

    def _end_the_dead(
        self,
        leases: tuple[Lease, ...],
        sights: Mapping[str, Sight],
        living: frozenset[str] | None,
        on_progress: Callable[[], None],
    ) -> None:
        """End attachments whose end Docker did not tell, because mooring or Docker was not there to hear or to say it.

        A device that is home although its container should have it says that the container is gone, and so does an
        engine that does not know the attachment; a lease that never became ready, or whose release was cut off, is
        waited for no more.
        """
        # A start that waits for Neutron, say, has its device at home and no container yet.
        idle = [lease for lease in leases if not self._engine.is_busy(lease.attachment)]
        ready = [lease for lease in idle if lease.step is LeaseStep.READY]
        home = self._home_alone.seen(
            (lease.id for lease in ready if lease.id in sights and sights[lease.id].whereabouts is Whereabouts.HOME),
            for_s=_HOME_ALONE_S,
        )
        gone = self._not_living.seen(
            (lease.id for lease in idle if living is not None and lease.attachment not in living),
            for_s=_NOT_LIVING_S,
        )
        unfinished = self._unfinished.seen(
            (lease.id for lease in idle if lease.step is not LeaseStep.READY), for_s=_UNFINISHED_S
        )
        for lease in idle:
            on_progress()
            if lease.step is LeaseStep.RELEASING:
                self._release_again(lease)
                continue
            if lease.id in unfinished:
                kind, reason = FindingKind.UNFINISHED, f"at step {lease.step.value}"
            elif lease.id in home:
                kind, reason = FindingKind.CONTAINER_GONE, "its device is home"
            elif lease.id in gone:
                kind, reason = FindingKind.CONTAINER_GONE, "the engine has no container with it"
            else:
                continue
            if self._engine.end(lease):
                self._note_lease(kind, lease, reason)

    def _release_again(self, lease: Lease) -> None:
        self._note_lease(FindingKind.UNFINISHED, lease, f"at step {lease.step.value}")
        if self._released.is_due(lease.id):
            self._engine.end(lease)

    def _report_lost(self, leases: tuple[Lease, ...], sights: Mapping[str, Sight], living: frozenset[str]) -> None:
        """Tell what has lost its device or its link, and have Neutron told so.

        Of a card that cannot be read in this round nothing new is known. A device that a container had and that is home
        again is lost to it: mostly because the container has ended, which is told when the attachment is.
        """
        self._seen_away &= {lease.id for lease in leases}
        self._seen_away |= {key for key, sight in sights.items() if sight.whereabouts is Whereabouts.AWAY}
        back = {
            key for key, sight in sights.items() if sight.whereabouts is Whereabouts.HOME and key in self._seen_away
        }
        dark = {key for key, sight in sights.items() if not sight.link_up} | (self._lost.keys() - sights.keys()) | back
        lasting = self._down.seen(dark, for_s=_LINK_DOWN_S)
        lost: dict[str, tuple[FindingKind, str] | None] = {}
        for lease in leases:
            sight = sights.get(lease.id)
            if sight is None and lease.id in self._lost:
                lost[lease.id] = self._lost[lease.id]
            elif sight is not None and (kind := _LOST.get(sight.whereabouts)) is not None:
                lost[lease.id] = kind, sight.detail
            elif lease.id in lasting & back:
                taken = FindingKind.DEVICE_GONE, "it is home again, though its container lives"
                lost[lease.id] = taken if lease.attachment in living else None
            elif lease.id in lasting:
                lost[lease.id] = FindingKind.LINK_DOWN, f"of card {lease.parent}"
            if (told := lost.get(lease.id)) is not None:
                self._note_lease(told[0], lease, told[1])
        self._lost = lost
        self._settlement.note_links(dark=frozenset(dark), lost=frozenset(lost))

    def _repair(self, lease: Lease, sight: Sight) -> None:
        if lease.missing:
            self._note_lease(
                FindingKind.SETTINGS_LACKING, lease, f"its driver cannot set {', '.join(sorted(lease.missing))}"
            )
        if not sight.differences:
            return
        self._note_lease(FindingKind.SETTINGS_CHANGED, lease, "; ".join(map(str, sight.differences)))
        if not self._repaired.is_due(lease.id):
            return
        try:
            self._engine.repair(lease)
        except EdgeFailure as exc:
            log.error("vf.not-repaired", device=lease.place, port=lease.port.id, error=str(exc))

    def _look_after_free_vfs(self, on_progress: Callable[[], None]) -> None:
        """Record what clean means for new VFs; clean the free ones that stay dirty; prepare what is to be prepared."""
        statuses = self._pool.statuses()
        self._pool.record_baselines()
        stale = self._dirty.seen((s.pooled.address for s in statuses if s.state is VfState.DIRTY), for_s=_DIRTY_S)
        for status in statuses:
            on_progress()
            self._note_status(status)
            # A card may be busy for minutes, being given other VFs: the next round will do.
            if status.pooled.pf.address not in self._engine.card_locks:
                self._look_after(status, is_stale=status.pooled.address in stale)
        self._acquit_the_absent()

    def _look_after(self, status: VfStatus, *, is_stale: bool) -> None:
        if status.state is VfState.QUARANTINED:
            if self._cleaned.is_due(status.pooled.address):
                self._engine.caretaker.clean(status.pooled)
        elif is_stale:
            self._engine.caretaker.clean(status.pooled)
        elif status.state in (VfState.FREE, VfState.ASSIGNED) and status.pooled.vf_driver is not None:
            self._engine.caretaker.prepare(status.pooled)

    def _acquit_the_absent(self) -> None:
        """Forget the quarantine of VFs that have long left the host: what comes in their place is made anew."""
        absent = (address for address in self._journal.quarantined() if self._kernel.find(address) is None)
        for address in self._absent.seen(absent, for_s=_ABSENT_S):
            self._journal.acquit(address)

    def _publish(self) -> None:
        if self._publisher is not None:
            self._publisher.publish()

    def _note_status(self, status: VfStatus) -> None:
        if (kind := _UNFIT.get(status.state)) is not None:
            subject = status.pooled.pf if kind is FindingKind.CARD_SICK else status.pooled
            self._note(kind, str(subject.address), status.reason)

    def _note_lease(self, kind: FindingKind, lease: Lease, detail: str) -> None:
        self.findings.note(
            Finding(kind=kind, subject=lease.port.id, detail=f"{lease.place}: {detail}", attachment=lease.attachment)
        )

    def _note(self, kind: FindingKind, subject: str, detail: str) -> None:
        self.findings.note(Finding(kind=kind, subject=subject, detail=detail))
