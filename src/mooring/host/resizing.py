"""Changing how many VFs a card shows (sriov_numvfs; Linux drivers/pci/pci-sysfs.c, drivers/pci/iov.c)."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from mooring.errors import KernelRefused, NotClean
from mooring.host.failures import kernel_errors
from mooring.pci.device import PhysicalFunction

# Slow drivers were seen to take half a second for each VF; a card with 64 may take two minutes.
_BATCH, _SECONDS_FOR_BATCH = 16, 30.0

_REMEDIES = {
    errno.ERANGE: "the card cannot have so many; see sriov_totalvfs, and its settings in the firmware",
    errno.EBUSY: "somebody else changes its VFs at the same time; try again",
    errno.ENOMEM: "the firmware left it too little memory or too few bus numbers; start Linux with pci=realloc",
    errno.ENOENT: "it has left the host, or has no driver that makes VFs",
    errno.EPERM: "mooring needs root and a writable /sys, and no VF may be in a virtual machine",
    errno.ETIMEDOUT: "the kernel is still at it; wait until sriov_numvfs changes, and see the kernel's log",
}


class VfCount(Protocol):
    """A card's number of VFs. Both methods raise OSError as the kernel does."""

    def read(self) -> int:
        """Return how many VFs the card shows."""
        ...

    def write(self, vfs: int) -> None:
        """Make or remove VFs. Linux goes from some to others by way of none only (EBUSY)."""
        ...


def resize(count: VfCount, pf: PhysicalFunction, vfs: int) -> None:
    """Make the card show this many VFs; see Kernel.resize."""
    doing = f"changing the number of VFs to {vfs}"
    with kernel_errors(doing, pf.address, _REMEDIES):
        now = count.read()
    if now == vfs:
        return
    if not 0 <= vfs <= pf.total_vfs:  # told before the VFs that there are have gone
        raise KernelRefused(doing, pf.address, errno.ERANGE, f"the card can have {pf.total_vfs} at most")
    if now and vfs:
        with kernel_errors(f"removing its {now} VFs", pf.address, _REMEDIES):
            count.write(0)
        doing = f"making {vfs} VFs, after its {now} were removed,"
    with kernel_errors(doing, pf.address, _REMEDIES):
        count.write(vfs)
        now = count.read()
    if now != vfs:
        raise NotClean(pf.address, f"it has {now} VFs after it was given {vfs}; the kernel's log may tell why")


class CountFile:
    """VfCount, kept by the file sriov_numvfs below a device."""

    def __init__(self, device: Path) -> None:
        self._path = device / "sriov_numvfs"

    def read(self) -> int:
        """Return how many VFs the card shows."""
        return int(self._path.read_text())

    def write(self, vfs: int) -> None:
        """Make or remove VFs, in 30 seconds for every 16 of them, or raise OSError (ETIMEDOUT).

        In a thread of its own: a write that does not end, as while a program holds a VF by vfio-pci, can only be left.
        """
        batches = 1 + max(vfs, self.read()) // _BATCH
        outcome: SimpleQueue[OSError | None] = SimpleQueue()
        threading.Thread(target=self._write, args=(vfs, outcome), daemon=True, name=f"resize to {vfs} VFs").start()
        try:
            failure = outcome.get(timeout=batches * _SECONDS_FOR_BATCH)
        except Empty:
            raise TimeoutError(errno.ETIMEDOUT, "the write does not end") from None
        if failure:
            raise failure

    def _write(self, vfs: int, outcome: SimpleQueue[OSError | None]) -> None:
        try:
            self._path.write_text(str(vfs))
        except OSError as exc:
            outcome.put(exc)
        else:
            outcome.put(None)
