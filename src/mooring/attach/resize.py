"""Changes how many VFs a card shows (sriov_numvfs), when no container can lose its interface by it."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from mooring.attach.devices import Devices
from mooring.attach.journal import container_words
from mooring.attach.locks import KeyedLocks
from mooring.attach.types import short_id
from mooring.errors import DeviceBusy, DeviceUnusable, EdgeFailure, KernelRefused
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """A card that shows another number of VFs now, or still the same."""

    card: PciAddress
    before: int
    after: int


class CardResizer:
    """Makes a card's VFs anew, while nobody has one and nobody can get one.

    The VFs are quarantined first, so that the journal gives none away. Killed half-way, mooring finds them in
    quarantine, and the reconciler cleans and acquits them. ``card_locks`` are those that keep changes to one card in
    series.
    """

    def __init__(self, devices: Devices, card_locks: KeyedLocks) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._card_locks = card_locks

    def resize(self, name: str, vfs: int) -> Resized:
        """Make the card with this interface or PCI address show this many VFs; one that does already is left alone.

        Raises DeviceUnusable for what is no card of this host, DeviceBusy while a lease is of the card or somebody else
        uses one of its VFs, and what ``Kernel.resize`` does; then the card shows as many VFs as before, if it can.
        """
        with self._card_locks.holding(self._find(name).address):
            pf = self._find(name)
            if len(pf.vfs) == vfs:
                return Resized(card=pf.address, before=vfs, after=vfs)
            self._require_unleased(pf)
            self._require_unused(pf)
            with self._withheld(pf, vfs):
                # Whoever came first has a lease by now, and whoever comes later is refused.
                self._require_unleased(pf)
                self._kernel.resize(pf, vfs)
                self._take_over(pf)
            log.info("card.resized", card=str(pf.address), before=len(pf.vfs), after=vfs)
            return Resized(card=pf.address, before=len(pf.vfs), after=vfs)

    def _find(self, name: str) -> PhysicalFunction:
        cards = self._pool.physical_functions()
        for pf in cards:
            if name.lower() == str(pf.address) or name == pf.netdev:
                return pf
        known = ", ".join(f"{pf.netdev} ({pf.address})" if pf.netdev else str(pf.address) for pf in cards)
        raise DeviceUnusable(name or "''", f"it is no SR-IOV card of this host, which has {known or 'none'}")

    def _require_unleased(self, pf: PhysicalFunction) -> None:
        if leases := self._journal.leased_from(pf.address):
            holders = ", ".join(f"attachment {short_id(lease.attachment)} ({lease.place})" for lease in leases)
            raise DeviceBusy(
                pf.address,
                holders,
                "remove their containers first, for they would lose their interfaces ('mooring leases' lists them)",
            )
        if assigned := self._journal.assigned(parent=pf.address):
            holders = ", ".join(f"{container_words(container)} ({device})" for device, container in assigned.items())
            raise DeviceBusy(pf.address, holders, "delete these containers of the service first")

    def _require_unused(self, pf: PhysicalFunction) -> None:
        self._pool.rescan()
        for vf in pf.vfs:
            if (user := self._pool.user_of(vf)) is not None:
                raise DeviceBusy(pf.address, f"{user}: its VF {vf.address}", "free the VF first")

    @contextmanager
    def _withheld(self, pf: PhysicalFunction, vfs: int) -> Iterator[None]:
        """Keep the card's VFs from being leased; on a failure make them as many as before, and let them go again."""
        already = self._journal.quarantined()
        withheld = [vf.address for vf in pf.vfs if vf.address not in already]
        for address in withheld:
            self._journal.quarantine(address, f"card {pf.address} is being given {vfs} VFs")
        try:
            yield
        except BaseException as exc:
            # The kernel has not ended then, so what the card will show is for the reconciler to see.
            if not (isinstance(exc, KernelRefused) and exc.errno == errno.ETIMEDOUT):
                self._undo(pf, withheld)
            raise

    def _undo(self, pf: PhysicalFunction, withheld: Iterable[PciAddress]) -> None:
        try:
            now = self._kernel.find(pf.address)
            if isinstance(now, PhysicalFunction) and len(now.vfs) != len(pf.vfs):
                self._kernel.resize(now, len(pf.vfs))
                self._take_over(pf)
        except EdgeFailure as exc:
            log.error("card.not-as-before", card=str(pf.address), vfs=len(pf.vfs), error=str(exc))
            return
        self._acquit(withheld)

    def _take_over(self, pf: PhysicalFunction) -> None:
        """Record what clean means for the VFs that were made in the place of the card's former ones."""
        for vf in pf.vfs:
            self._journal.forget_baseline(vf.address)
        self._pool.rescan()
        self._pool.record_baselines()
        self._acquit(vf.address for vf in pf.vfs)

    def _acquit(self, addresses: Iterable[PciAddress]) -> None:
        for address in addresses:
            self._journal.acquit(address)
