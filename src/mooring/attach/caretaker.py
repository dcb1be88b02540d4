"""Keeps the VFs clean that nobody holds."""

from __future__ import annotations

import structlog

from mooring.attach.devices import Devices
from mooring.attach.locks import KeyedLocks
from mooring.attach.pool import PooledVf
from mooring.errors import EdgeFailure
from mooring.host.kernel import VFIO
from mooring.pci.address import PciAddress
from mooring.pci.device import VirtualFunction

log = structlog.get_logger(__name__)


class Caretaker:
    """Cleans free VFs, and quarantines those that do not come clean.

    ``card_locks`` are those that keep all changes to one card in series. What becomes somebody's while it is cleaned
    loses nothing by that: a lease's device is programmed under the same lock, so after it, and a container is given a
    device without a lease under that lock only.
    """

    def __init__(self, devices: Devices, card_locks: KeyedLocks) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._cleaner = devices.cleaner
        self._card_locks = card_locks

    def clear_strays(self, mac: str, physical_network: str) -> None:
        """Clean the free VFs that carry a MAC: their NIC would keep that MAC's frames to itself."""
        for stray in tuple(self._pool.strays(mac, physical_network)):
            log.warning("vf.stale-mac", stray=str(stray.address), mac=mac)
            self.clean(stray)

    def take_back(self, member: PooledVf, container: str) -> None:
        """Clean a VF that a container has without a port, and let it be nobody's; one that is another's stays so."""
        # In one: what did not come clean would be acquitted if it were prepared while it still is the container's.
        with self._card_locks.holding(member.pf.address):
            # Taken back twice at once, it may have been given to another in between.
            if self._journal.assigned().get(member.address) != container:
                return
            self.clean(member, ours=True)
            self._journal.unassign(member.address, container)

    def clean(self, member: PooledVf, *, ours: bool = False) -> None:
        """Clean a VF that no lease holds, unless it is in use by hand; one that is ``ours`` is only now taken back."""
        with self._card_locks.holding(member.pf.address):
            vf = self._kernel.find(member.address)
            if self._journal.holder(member.address) is not None or not isinstance(vf, VirtualFunction):
                return
            try:
                if not ours and (member.address in self._journal.assigned() or self._pool.taker_of(vf) is not None):
                    return
                self._cleaner.clean(vf, driver=member.vf_driver)
            except EdgeFailure as exc:
                self._quarantine(member.address, str(exc))
                return
            self._journal.acquit(member.address)
            log.info("vf.cleaned", device=str(member.address))

    def prepare(self, member: PooledVf) -> None:
        """Bind a VF that no lease holds to the driver that the device spec names for it; a boot gives it another.

        One that is a container's and could not be prepared before is in quarantine no more.
        """
        with self._card_locks.holding(member.pf.address):
            vf = self._kernel.find(member.address)
            if member.vf_driver != VFIO or self._journal.holder(member.address) is not None:
                return
            if not isinstance(vf, VirtualFunction) or vf.driver == VFIO:
                return
            try:
                self._kernel.bind_vfio(vf)
            except EdgeFailure as exc:
                self._quarantine(member.address, str(exc))
                return
            # One that is nobody's has to come clean for that.
            if member.address in self._journal.assigned():
                self._journal.acquit(member.address)
            log.info("vf.prepared", device=str(member.address), driver=VFIO)

    def _quarantine(self, address: PciAddress, reason: str) -> None:
        if self._journal.quarantined().get(address) != reason:
            log.error("vf.quarantined", device=str(address), error=reason)
        self._journal.quarantine(address, reason, remains=self._pool.remains_on(address))
