"""The host's devices as the core handles them."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.attach.cleaning import Cleaner
from mooring.attach.journal import Journal
from mooring.attach.plain import PlainDevices
from mooring.attach.pool import VfPool
from mooring.host.kernel import Kernel
from mooring.host.virtual import Switch, VirtualLinks
from mooring.pci.device_spec import DeviceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """The kernel, the journal that says who holds what, and between them the pool and the way back to clean.

    ``links`` and ``switch`` are for ports that are no VF's own interface, ``plain`` are devices that serve no port.
    """

    kernel: Kernel
    links: VirtualLinks
    switch: Switch
    journal: Journal
    cleaner: Cleaner
    pool: VfPool
    plain: PlainDevices


def devices_of(
    kernel: Kernel, links: VirtualLinks, switch: Switch, journal: Journal, specs: tuple[DeviceSpec, ...]
) -> Devices:
    """Put the parts together for the devices that the specs admit."""
    cleaner = Cleaner(kernel=kernel, journal=journal)
    pool = VfPool(kernel=kernel, journal=journal, cleaner=cleaner, specs=specs)
    plain = PlainDevices(kernel=kernel, journal=journal, specs=specs)
    return Devices(kernel=kernel, links=links, switch=switch, journal=journal, cleaner=cleaner, pool=pool, plain=plain)
