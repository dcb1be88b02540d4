"""The one place where real edges meet the core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import structlog

from mooring.attach.devices import Devices
from mooring.attach.drivers.registry import load_port_drivers
from mooring.attach.engine import Engine, Patience
from mooring.attach.follower import Follower
from mooring.attach.observer import Observer
from mooring.attach.publishing import VfioPublisher
from mooring.attach.reconcile import Reconciler
from mooring.attach.settlement import Settlement
from mooring.attach.types import Containers
from mooring.config.session import neutron_session
from mooring.config.settings import NodeSettings
from mooring.libnetwork.names import DEVICE_OWNER
from mooring.neutron.agent import AgentDuty
from mooring.neutron.bus import NeutronMessageBus
from mooring.neutron.rest import NeutronGateway
from mooring.node.cdi import CdiFile
from mooring.node.devices import open_devices
from mooring.node.docker import DockerEngine
from mooring.node.host_metrics import HostMetrics, HostViews
from mooring.node.metrics import Metrics

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The host's devices together with Neutron: all that a front door needs."""

    devices: Devices
    neutron: NeutronGateway
    engine: Engine
    reconciler: Reconciler
    follower: Follower
    settlement: Settlement
    containers: Containers
    agent_duty: AgentDuty | None
    bus: NeutronMessageBus | None

    def listen(self) -> None:
        """Hear from now on what Neutron announces."""
        if self.bus is not None:
            self.bus.listen(self.engine.host, self.follower.hear)


@contextmanager
def open_core(
    settings: NodeSettings, metrics: Metrics, on_progress: Callable[[], None] = lambda: None
) -> Iterator[Core]:
    """Open the core of a daemon. Without a message bus, Neutron is told of neither agent nor devices.

    ``on_progress`` is called in whatever thread has had an answer of Neutron's, or none in time.
    """

    def note_call(operation: str, outcome: str, seconds: float) -> None:
        log.debug("neutron.call", operation=operation, outcome=outcome, ms=round(seconds * 1000))
        metrics.neutron_call(operation, outcome, seconds)
        on_progress()

    neutron = NeutronGateway(
        neutron_session(settings.neutron), read_timeout=settings.neutron.timeout_s, on_call=note_call
    )
    bus = NeutronMessageBus(settings.neutron.transport_url) if settings.neutron.transport_url else None
    containers = DockerEngine(settings.docker_url)
    try:
        with open_devices(settings) as devices, closing(containers):
            core = _core(settings, devices, neutron, bus, containers, metrics)
            metrics.register(HostMetrics(_views(core)))
            yield core
    finally:
        if bus is not None:
            bus.close()


def _core(
    settings: NodeSettings,
    devices: Devices,
    neutron: NeutronGateway,
    bus: NeutronMessageBus | None,
    containers: Containers,
    observer: Observer,
) -> Core:
    drivers = load_port_drivers(settings.port_drivers, devices)
    settlement = Settlement(ports=neutron, bus=bus, journal=devices.journal, host=settings.host, drivers=drivers)
    publisher = VfioPublisher(devices, CdiFile())
    engine = Engine(
        devices=devices,
        ports=neutron,
        drivers=drivers,
        settlement=settlement,
        host=settings.host,
        patience=Patience(
            active_timeout_s=settings.neutron.active_timeout_s, active_required=settings.neutron.active_required
        ),
        publisher=publisher,
        observer=observer,
    )
    follower = Follower(
        devices=devices,
        engine=engine,
        ports=neutron,
        owners=[DEVICE_OWNER],
        wake=settlement.nudge,
        containers=containers,
        observer=observer,
    )
    duty = None
    if bus is not None:
        duty = AgentDuty(host=settings.host, agents=neutron, bus=bus, mappings=devices.pool.mappings)
    return Core(
        devices=devices,
        neutron=neutron,
        engine=engine,
        reconciler=Reconciler(
            devices=devices,
            drivers=drivers,
            engine=engine,
            settlement=settlement,
            containers=containers,
            publisher=publisher,
            observer=observer,
        ),
        follower=follower,
        settlement=settlement,
        containers=containers,
        agent_duty=duty,
        bus=bus,
    )


def _views(core: Core) -> HostViews:
    journal = core.devices.journal
    return HostViews(
        vfs=core.devices.pool.statuses,
        leases=journal.leases,
        debts=journal.debts,
        quarantined=journal.quarantined,
        findings=lambda: Counter(core.reconciler.findings.counts()) + Counter(core.follower.findings.counts()),
        counters=core.devices.kernel.counters,
    )
