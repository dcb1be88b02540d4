"""What a port asks of its device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from mooring.errors import DeviceUnusable, InvalidPciAddress, PortUnusable
from mooring.neutron.model import Port
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a port's binding:profile asks of a device. Any tenant's service may have written it: trust nothing."""

    slot: PciAddress | None
    vendor_info: str | None

    @classmethod
    def of(cls, port: Port, physical_network: str) -> Self:
        """Read the profile of a port that Neutron puts on a physical network; raise PortUnusable for a wrong one."""
        asked = _text(port, "physical_network")
        if asked not in (None, physical_network):
            raise PortUnusable(
                port.id, f"its binding:profile asks for {asked}, but Neutron puts it on {physical_network}"
            )
        slot = _text(port, "pci_slot")
        try:
            address = None if slot is None else PciAddress.parse(slot)
        except InvalidPciAddress as exc:
            raise PortUnusable(port.id, f"binding:profile pci_slot: {exc}") from exc
        vendor_info = _text(port, "pci_vendor_info")
        return cls(slot=address, vendor_info=None if vendor_info is None else vendor_info.lower())

    def misfit(self, device: PciDevice) -> DeviceUnusable | None:
        """Say why a device is not of the kind that the port asks for, or None when it is."""
        if self.vendor_info in (None, device.vendor_info):
            return None
        return DeviceUnusable(
            device.address,
            f"it is a {device.vendor_info}, but the port asks for pci_vendor_info {self.vendor_info}",
        )


def _text(port: Port, key: str) -> str | None:
    value = port.profile.get(key)
    if value is None or isinstance(value, str):
        return value
    raise PortUnusable(port.id, f"binding:profile {key} must be text, not {value!r}")
