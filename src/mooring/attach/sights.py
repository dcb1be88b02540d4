"""What the kernel shows of each lease."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mooring.attach.drivers.registry import PortDrivers
from mooring.attach.readings import CardReadings
from mooring.attach.types import Lease, LeaseStep, Sight
from mooring.errors import EdgeFailure
from mooring.host.kernel import Kernel


def look_at(
    leases: Iterable[Lease], drivers: PortDrivers, cards: CardReadings
) -> Iterator[tuple[Lease, Sight | EdgeFailure | None]]:
    """Yield each lease with its sight, the error that kept it from being seen, or None while it is not ready."""
    for lease in leases:
        if lease.step is not LeaseStep.READY:
            yield lease, None
            continue
        try:
            yield lease, drivers[lease.driver].look(lease, cards)
        except EdgeFailure as exc:
            yield lease, exc


def is_forsaken(lease: Lease, drivers: PortDrivers, kernel: Kernel) -> bool:
    """Tell whether the kernel shows that no container has the device any more; see Sight."""
    ((_, seen),) = look_at((lease,), drivers, CardReadings(kernel))
    return isinstance(seen, Sight) and seen.forsaken
