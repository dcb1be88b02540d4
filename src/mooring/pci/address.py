"""The PCI address, which identifies a device on its host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from mooring.errors import InvalidPciAddress

# The domain has four digits on most machines, but Intel VMD and Hyper-V number domains beyond 16 bits.
_ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class PciAddress:
    """Domain (32 bits), bus (8), device (5) and function (3) of a PCI device.

    The text form is the kernel's (``%04x:%02x:%02x.%d``, Linux drivers/pci/probe.c) and orders like the value.
    """

    domain: int
    bus: int
    device: int
    function: int

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, text: str) -> Self:
        """Read ``0000:3b:02.1``; raise InvalidPciAddress on anything else, paths and blanks included."""
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise InvalidPciAddress(text)
        domain, bus, device, function = (int(part, 16) for part in match.groups())
        return cls(domain, bus, device, function)

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.device:02x}.{self.function}"
