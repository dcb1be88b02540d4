"""Names for kinds of devices: Nova's and Zun's ``[pci] alias``."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.pci.requests import DeviceKind, NumaPolicy, ProductSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A kind of device that containers ask for by name. An entry repeated under one name adds to its ``products``."""

    name: str
    products: tuple[ProductSpec, ...]
    kind: DeviceKind
    numa_policy: NumaPolicy = NumaPolicy.LEGACY
