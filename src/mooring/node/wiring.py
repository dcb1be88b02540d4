"""The one place where real edges meet the core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mooring.attach.cleaning import Cleaner
from mooring.attach.journal import Journal
from mooring.attach.pool import VfPool
from mooring.config.settings import NodeSettings
from mooring.host.linux import LinuxKernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The host's side of a node: kernel, journal, and the pool between them."""

    kernel: LinuxKernel
    journal: Journal
    cleaner: Cleaner
    pool: VfPool


@contextmanager
def open_host(settings: NodeSettings) -> Iterator[Host]:
    """Open the host's side alone, as far as it takes to look at it; the daemon may be running beside."""
    kernel = LinuxKernel()
    journal = Journal(settings.state_dir / "node.sqlite")
    try:
        cleaner = Cleaner(kernel=kernel, journal=journal)
        pool = VfPool(kernel=kernel, journal=journal, cleaner=cleaner, specs=settings.device_specs)
        yield Host(kernel=kernel, journal=journal, cleaner=cleaner, pool=pool)
    finally:
        journal.close()
