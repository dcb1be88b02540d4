"""Opens what the commands look with, beside a running daemon or without one. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mooring.attach.drivers.registry import load_port_drivers
from mooring.attach.verify import Verifier
from mooring.config.session import neutron_session
from mooring.config.settings import NodeSettings
from mooring.libnetwork.names import DEVICE_OWNER
from mooring.node.devices import look_at_devices

if TYPE_CHECKING:
    from mooring.neutron.rest import NeutronGateway


def neutron_to_read(settings: NodeSettings) -> NeutronGateway:
    """Return the way to Neutron; nobody is asked yet."""
    # Large, and of no use to the commands that only look at the host.
    from mooring.neutron.rest import NeutronGateway  # noqa: PLC0415

    return NeutronGateway(neutron_session(settings.neutron), read_timeout=settings.neutron.timeout_s)


@contextmanager
def open_verifier(settings: NodeSettings) -> Iterator[Verifier]:
    """Open the journal, the kernel and Neutron for a comparison."""
    neutron = neutron_to_read(settings)
    with look_at_devices(settings) as devices:
        yield Verifier(
            devices=devices,
            drivers=load_port_drivers(settings.port_drivers, devices),
            ports=neutron,
            host=settings.host,
            owners=[DEVICE_OWNER],
        )
