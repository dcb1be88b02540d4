"""Keeps the VFs that nobody holds clean."""

from __future__ import annotations

import structlog

from mooring.attach.devices import Devices
from mooring.attach.locks import KeyedLocks
from mooring.attach.pool import PooledVf, VfState
from mooring.errors import EdgeFailure
from mooring.pci.device import VirtualFunction

log = structlog.get_logger(__name__)


class Caretaker:
    """Cleans free VFs, quarantines those that do not come clean, and acquits those that do in the end.

    ``cards`` are the locks that keep all changes to one card in series.
    """

    def __init__(self, devices: Devices, cards: KeyedLocks) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._cleaner = devices.cleaner
        self._cards = cards

    def sweep(self) -> None:
        """Look at every VF: record what clean means for new ones, and clean the free ones that are not."""
        statuses = self._pool.statuses()
        self._pool.record_baselines()
        for status in statuses:
            if status.state in (VfState.DIRTY, VfState.QUARANTINED):
                self._clean(status.pooled, ours=status.state is VfState.QUARANTINED)

    def clear_strays(self, mac: str, physical_network: str) -> None:
        """Clean the free VFs that carry a MAC: their NIC would keep that MAC's frames to itself."""
        for stray in tuple(self._pool.strays(mac, physical_network)):
            log.warning("vf.stale-mac", vf=str(stray.address), mac=mac)
            self._clean(stray, ours=False)

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
                self._journal.quarantine(member.address, str(exc))
                log.error("vf.quarantined", vf=str(member.address), error=str(exc))
                return
            self._journal.acquit(member.address)
            log.info("vf.cleaned", vf=str(member.address))
