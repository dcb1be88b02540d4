"""All checks of one host, one after the other; what one of them cannot do, it says, and the next goes on."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path

from mooring.attach.devices import Devices
from mooring.cli.doctor import cards, cloud, engine, host
from mooring.cli.doctor.verdicts import Verdict, well, wrong
from mooring.config.load import Loaded
from mooring.config.session import neutron_session
from mooring.config.settings import NodeSettings
from mooring.errors import MooringError
from mooring.host.clock import is_synchronised
from mooring.host.kernel import VFIO
from mooring.neutron.account import roles_of
from mooring.neutron.bus import NeutronMessageBus
from mooring.node.client import call
from mooring.node.devices import look_at_devices
from mooring.node.docker import DockerEngine
from mooring.node.verifying import neutron_to_read

_ROOT = Path("/")
_ANSWER_S = 10.0

_Check = Callable[[], Verdict | Iterable[Verdict]]


def examine(loaded: Loaded[NodeSettings]) -> tuple[Verdict, ...]:
    """Look at everything that mooring needs on this host and around it; the order is that of an installation."""
    settings = loaded.settings
    verdicts = [well("configuration", told) for told in loaded.warnings]
    with look_at_devices(settings) as devices:
        devices.pool.rescan()
        for name, check in (
            *_of_cards(settings, devices),
            *_of_host(settings, devices),
            *_of_engine(settings),
            *_of_cloud(settings, devices),
        ):
            verdicts += told_by(name, check)
    return tuple(verdicts)


def told_by(name: str, check: _Check) -> tuple[Verdict, ...]:
    """Return what a check found; one that fails has found that, and its error says what to do."""
    try:
        found = check()
        return (found,) if isinstance(found, Verdict) else tuple(found)
    except MooringError as exc:
        return (wrong(name, str(exc)),)


def _of_cards(settings: NodeSettings, devices: Devices) -> Iterator[tuple[str, _Check]]:
    kernel, specs, lent = devices.kernel, settings.device_specs, devices.journal.lent()
    pfs = devices.pool.physical_functions()
    admitted = cards.admitted_cards(pfs, specs)
    at_home = [pf for pf in admitted if pf.address not in lent]
    needed = _serves_programs(settings)
    yield "device spec", lambda: cards.specs_match(pfs, specs)
    yield "VFs", lambda: cards.vfs_present(admitted, lends_cards="physical" in settings.port_drivers)
    yield "links", lambda: cards.links_up(at_home, kernel)
    yield "physical networks", lambda: cards.networks_served(devices.pool.mappings())
    yield "IOMMU", lambda: cards.iommu(_ROOT, needed=needed)
    yield VFIO, lambda: cards.vfio(_ROOT, needed=needed, release=os.uname().release)


def _of_host(settings: NodeSettings, devices: Devices) -> Iterator[tuple[str, _Check]]:
    yield "udev", lambda: host.udev_rules(_ROOT)
    yield "NetworkManager", lambda: host.network_manager(_ROOT)
    yield "state_dir", lambda: host.state_dir(_ROOT, settings.state_dir)
    yield "clock", lambda: host.clock(is_synchronised=is_synchronised())
    yield "socket unit", lambda: host.socket_unit(_ROOT, settings.plugin_socket)
    yield "Open vSwitch", lambda: host.switch_answers(devices.switch, needed="veth" in settings.port_drivers)


def _of_engine(settings: NodeSettings) -> Iterator[tuple[str, _Check]]:
    path = settings.plugin_socket
    yield "Docker", lambda: _docker(settings)
    yield "plugin directory", lambda: engine.plugin_found(path)
    yield "kuryr-libnetwork", lambda: engine.kuryr(_ROOT)
    yield "daemon", lambda: engine.plugin_answers(path, lambda where, name: call(where, name, timeout_s=_ANSWER_S))


def _of_cloud(settings: NodeSettings, devices: Devices) -> Iterator[tuple[str, _Check]]:
    name = settings.host
    neutron = cache(lambda: neutron_to_read(settings))
    aliases = (socket.gethostname(), socket.getfqdn(), socket.gethostname().partition(".")[0])
    yield "Neutron", lambda: cloud.answers(neutron(), name)
    yield "roles", lambda: cloud.roles(roles_of(neutron_session(settings.neutron)))
    yield "agent", lambda: cloud.agent(neutron(), name, aliases, devices.pool)
    yield "message bus", lambda: _bus(settings)


def _serves_programs(settings: NodeSettings) -> bool:
    """Tell whether containers may get VFs here that programs drive."""
    return any(spec.vf_driver == VFIO for spec in settings.device_specs)


def _docker(settings: NodeSettings) -> tuple[Verdict, ...]:
    with closing(DockerEngine(settings.docker_url)) as docker:
        return tuple(engine.docker(docker, needs_cdi=_serves_programs(settings)))


def _bus(settings: NodeSettings) -> Verdict:
    url = settings.neutron.transport_url
    with ExitStack() as stack:
        bus = stack.enter_context(closing(NeutronMessageBus(url, timeout=_ANSWER_S))) if url else None
        return cloud.bus_answers(bus, settings.host)
