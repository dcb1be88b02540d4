"""Keeps the VFs clean that nobody holds, and ends the attachments that nobody will end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import structlog

from mooring.attach.devices import Devices
from mooring.attach.lasting import Lasting
from mooring.attach.locks import KeyedLocks
from mooring.attach.pool import PooledVf, VfState
from mooring.attach.types import Lease, LeaseStep
from mooring.errors import EdgeFailure
from mooring.pci.device import VirtualFunction

# Docker moves a VF into its container within seconds of Join, and ends an endpoint within seconds of fetching it home.
_HOME_ALONE_S = 120.0
_UNFINISHED_S = 300.0
# An operator who prepares a VF by hand does so in one go.
_DIRTY_S = 60.0

log = structlog.get_logger(__name__)


class Ends(Protocol):
    """Who can end an attachment."""

    def detach(self, attachment: str) -> None:
        """Take the device back and give the port back."""
        ...


class Caretaker:
    """Puts in order, round after round, what no call of Docker's will put in order.

    ``cards`` are the locks that keep all changes to one card in series; ``clock`` tells seconds.
    """

    def __init__(
        self, devices: Devices, cards: KeyedLocks, ends: Ends, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._cleaner = devices.cleaner
        self._cards = cards
        self._ends = ends
        self._home_alone: Lasting[str] = Lasting(clock)
        self._unfinished: Lasting[str] = Lasting(clock)
        self._dirty: Lasting[PooledVf] = Lasting(clock)

    def sweep(self) -> None:
        """End dead attachments; record what clean means for new VFs; clean the free ones that stay dirty."""
        self._end_the_dead()
        statuses = self._pool.statuses()
        self._pool.record_baselines()
        stale = self._dirty.seen((s.pooled for s in statuses if s.state is VfState.DIRTY), for_s=_DIRTY_S)
        for status in statuses:
            if status.state is VfState.QUARANTINED:
                self._clean(status.pooled, ours=True)
            elif status.pooled in stale:
                self._clean(status.pooled, ours=False)

    def clear_strays(self, mac: str, physical_network: str) -> None:
        """Clean the free VFs that carry a MAC: their NIC would keep that MAC's frames to itself."""
        for stray in tuple(self._pool.strays(mac, physical_network)):
            log.warning("vf.stale-mac", vf=str(stray.address), mac=mac)
            self._clean(stray, ours=False)

    def _end_the_dead(self) -> None:
        """End attachments whose end Docker did not tell, because mooring or Docker was not there to hear or to say it.

        A VF that is home although its container should have it says that the container is gone; a lease that never
        became ready, or whose release was cut off, is waited for no more.
        """
        leases = self._journal.leases()
        home = self._home_alone.seen((lease.id for lease in leases if self._is_home(lease)), for_s=_HOME_ALONE_S)
        unfinished = self._unfinished.seen(
            (lease.id for lease in leases if lease.step is not LeaseStep.READY), for_s=_UNFINISHED_S
        )
        for lease in leases:
            if lease.id in home | unfinished or lease.step is LeaseStep.RELEASING:
                log.warning(
                    "lease.ended-unasked", attachment=lease.attachment, port=lease.port.id, step=lease.step.value
                )
                self._ends.detach(lease.attachment)

    def _is_home(self, lease: Lease) -> bool:
        if lease.step is not LeaseStep.READY:
            return False
        vf = self._kernel.find(lease.device)
        return isinstance(vf, VirtualFunction) and vf.netdev is not None

    def _clean(self, member: PooledVf, *, ours: bool) -> None:
        """Clean a VF that nobody holds. One that is not ours from an ended lease may be in use by hand: let it be."""
        with self._cards.holding(member.pf.address):
            vf = self._kernel.find(member.address)
            if self._journal.holder(member.address) is not None or not isinstance(vf, VirtualFunction):
                return
            if not ours and self._kernel.user_of(vf) is not None:
                return
            try:
                self._cleaner.clean(vf)
            except EdgeFailure as exc:
                self._quarantine(member, str(exc))
                return
            self._journal.acquit(member.address)
            log.info("vf.cleaned", vf=str(member.address))

    def _quarantine(self, member: PooledVf, reason: str) -> None:
        if self._journal.quarantined().get(member.address) != reason:
            log.error("vf.quarantined", vf=str(member.address), error=reason)
        self._journal.quarantine(member.address, reason)
