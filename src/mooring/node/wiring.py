"""The one place where real edges meet the core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from mooring.attach.devices import Devices
from mooring.attach.drivers.registry import load_port_drivers
from mooring.attach.engine import Engine, Patience
from mooring.attach.settlement import Settlement
from mooring.config.session import neutron_session
from mooring.config.settings import NodeSettings
from mooring.neutron.agent import AgentDuty
from mooring.neutron.bus import NeutronMessageBus
from mooring.neutron.rest import NeutronGateway
from mooring.node.devices import open_devices

log = structlog.get_logger(__name__)

# Docker's user waits for an answer; a Neutron that has not begun one by then will not.
_NEUTRON_CONNECT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The host's devices together with Neutron: all that a front door needs."""

    devices: Devices
    neutron: NeutronGateway
    engine: Engine
    settlement: Settlement
    agent_duty: AgentDuty | None


@contextmanager
def open_core(settings: NodeSettings) -> Iterator[Core]:
    """Open the core of a daemon. Without a message bus, Neutron is told of neither agent nor devices."""
    neutron = NeutronGateway(
        neutron_session(settings.neutron),
        connect_timeout=_NEUTRON_CONNECT_S,
        read_timeout=settings.neutron.timeout_s,
        on_call=_note_call,
    )
    bus = NeutronMessageBus(settings.neutron.transport_url) if settings.neutron.transport_url else None
    try:
        with open_devices(settings) as devices:
            yield _core(settings, devices, neutron, bus)
    finally:
        if bus is not None:
            bus.close()


def _note_call(operation: str, outcome: str, seconds: float) -> None:
    log.debug("neutron.call", operation=operation, outcome=outcome, ms=round(seconds * 1000))


def _core(settings: NodeSettings, devices: Devices, neutron: NeutronGateway, bus: NeutronMessageBus | None) -> Core:
    settlement = Settlement(ports=neutron, bus=bus, journal=devices.journal, host=settings.host)
    engine = Engine(
        devices=devices,
        ports=neutron,
        drivers=load_port_drivers(settings.port_drivers, devices),
        settlement=settlement,
        host=settings.host,
        patience=Patience(
            active_timeout_s=settings.neutron.active_timeout_s, active_required=settings.neutron.active_required
        ),
    )
    duty = None
    if bus is not None:
        duty = AgentDuty(host=settings.host, agents=neutron, bus=bus, mappings=devices.pool.mappings)
    return Core(devices=devices, neutron=neutron, engine=engine, settlement=settlement, agent_duty=duty)
