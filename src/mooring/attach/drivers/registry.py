"""Finds the port drivers that the configuration enables."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mooring.attach.devices import Devices
from mooring.attach.drivers import PortDriver
from mooring.errors import InvalidConfiguration, UnsupportedVnicType
from mooring.plugins import installed_port_drivers


class PortDrivers:
    """The port drivers by name; those of ``enabled`` serve new ports, the others only leases that there are."""

    def __init__(self, drivers: Mapping[str, PortDriver], enabled: Collection[str]) -> None:
        self._drivers = dict(drivers)
        self._by_vnic_type = {kind: name for name in enabled for kind in drivers[name].vnic_types}

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


def load_port_drivers(names: Collection[str], devices: Devices) -> PortDrivers:
    """Load the named drivers that are installed; raise InvalidConfiguration for others.

    A driver that a lease needs is loaded, too, though it may not be enabled any more.
    """
    installed = installed_port_drivers()
    needed_by = {lease.driver: f"the lease of {lease.attachment} needs" for lease in devices.journal.leases()}
    needed_by |= dict.fromkeys(names, "[DEFAULT] enabled_port_drivers names")
    for name, who in needed_by.items():
        if name not in installed:
            raise InvalidConfiguration(
                f"{who} the port driver {name}, which is not installed (only {', '.join(sorted(installed))} are); "
                "install the package that it came with"
            )
    return PortDrivers({name: installed[name].load()(devices) for name in needed_by}, enabled=names)
