"""The one place where real edges meet the core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mooring.attach.cleaning import Cleaner
from mooring.attach.drivers import DriverTools
from mooring.attach.drivers.registry import load_port_drivers
from mooring.attach.engine import Engine, Patience
from mooring.attach.journal import Journal
from mooring.attach.pool import VfPool
from mooring.attach.settlement import Settlement
from mooring.config.session import neutron_session
from mooring.config.settings import NodeSettings
from mooring.host.linux import LinuxKernel
from mooring.neutron.agent import AgentDuty
from mooring.neutron.bus import NeutronMessageBus
from mooring.neutron.rest import NeutronGateway

# Docker's user waits for an answer; a Neutron that has not begun one by then will not.
_NEUTRON_CONNECT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The host's side of a node: kernel, journal, and the pool between them."""

    kernel: LinuxKernel
    journal: Journal
    cleaner: Cleaner
    pool: VfPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The host's side together with Neutron's: all that a front door needs."""

    host: Host
    neutron: NeutronGateway
    engine: Engine
    settlement: Settlement
    agent_duty: AgentDuty | None


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


@contextmanager
def open_core(settings: NodeSettings) -> Iterator[Core]:
    """Open the core of a daemon. Without a message bus, Neutron is told of neither agent nor devices."""
    neutron = NeutronGateway(
        neutron_session(settings.neutron),
        connect_timeout=_NEUTRON_CONNECT_S,
        read_timeout=settings.neutron.timeout_s,
    )
    bus = NeutronMessageBus(settings.neutron.transport_url) if settings.neutron.transport_url else None
    try:
        with open_host(settings) as host:
            yield _core(settings, host, neutron, bus)
    finally:
        if bus is not None:
            bus.close()


def _core(settings: NodeSettings, host: Host, neutron: NeutronGateway, bus: NeutronMessageBus | None) -> Core:
    settlement = Settlement(ports=neutron, bus=bus, journal=host.journal, host=settings.host)
    tools = DriverTools(kernel=host.kernel, pool=host.pool, cleaner=host.cleaner)
    engine = Engine(
        kernel=host.kernel,
        ports=neutron,
        journal=host.journal,
        pool=host.pool,
        cleaner=host.cleaner,
        drivers=load_port_drivers(settings.port_drivers, tools),
        settlement=settlement,
        host=settings.host,
        patience=Patience(
            active_timeout_s=settings.neutron.active_timeout_s, active_required=settings.neutron.active_required
        ),
    )
    duty = None
    if bus is not None:
        duty = AgentDuty(host=settings.host, agents=neutron, bus=bus, mappings=host.pool.mappings)
    return Core(host=host, neutron=neutron, engine=engine, settlement=settlement, agent_duty=duty)
