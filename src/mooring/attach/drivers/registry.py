"""Finds the port drivers that the configuration enables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points

from mooring.attach.devices import Devices
from mooring.attach.drivers import PortDriver
from mooring.errors import InvalidConfiguration, UnsupportedVnicType

_GROUP = "mooring.port_drivers"


class PortDrivers:
    """The enabled port drivers, by the kind of port they serve."""

    def __init__(self, drivers: Mapping[str, PortDriver]) -> None:
        self._drivers = dict(drivers)
        self._by_vnic_type = {kind: name for name, driver in drivers.items() for kind in driver.vnic_types}

    def for_port(self, port_id: str, vnic_type: str) -> str:
        """Return the name of the driver for a kind of port; raise UnsupportedVnicType when none is enabled."""
        if vnic_type not in self._by_vnic_type:
            served = ", ".join(sorted(self._by_vnic_type)) or "none"
            raise UnsupportedVnicType(
                port_id, vnic_type, f"this host's enabled_port_drivers serve {served}: use a port of such a vnic_type"
            )
        return self._by_vnic_type[vnic_type]

    def __getitem__(self, name: str) -> PortDriver:
        """Return a driver by name."""
        return self._drivers[name]


def load_port_drivers(names: Iterable[str], devices: Devices) -> PortDrivers:
    """Load the named drivers from the entry points ``mooring.port_drivers``; raise InvalidConfiguration for others."""
    installed = {entry.name: entry for entry in entry_points(group=_GROUP)}
    drivers: dict[str, PortDriver] = {}
    for name in names:
        if name not in installed:
            raise InvalidConfiguration(
                f"enabled_port_drivers names {name!r}, but only {', '.join(sorted(installed))} are installed"
            )
        drivers[name] = installed[name].load()(devices)
    return PortDrivers(drivers)
