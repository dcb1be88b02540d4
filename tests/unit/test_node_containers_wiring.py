"""An agent as the daemon opens it, with controllers in the same process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from attach_world import HOST
from containers_world import World

from mooring.config.settings import LibnetworkSettings, NeutronSettings, NodeSettings, ServiceSettings
from mooring.errors import EngineUnreachable
from mooring.node.containers.wiring import MEMORY_FILE, open_agent
from mooring.rpc.bus import NodesClient, serve_controller
from mooring.rpc.messages import LogQuery

# docker-py leaves the sockets of connections that fail to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

BUS = "fake://"


@dataclass(frozen=True)
class Core:
    """As much of the daemon's core as an agent needs."""

    devices: Any
    engine: Any


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def settings(state: Path, docker: Path) -> NodeSettings:
    return NodeSettings(
        host=HOST,
        state_dir=state,
        plugin_socket=Path("/run/docker/plugins/kuryr.sock"),
        docker_url=f"unix://{docker}",
        metrics_address=None,
        debug=False,
        port_drivers=(),
        device_specs=(),
        neutron=NeutronSettings(),
        libnetwork=LibnetworkSettings(),
    )


def test_it_answers_controllers_and_tells_nothing_while_docker_is_away(world: World, tmp_path: Path) -> None:
    service = ServiceSettings(transport_url=BUS, sync_interval_s=0.05)
    core = Core(devices=world.host.core.devices, engine=world.host.core.engine)
    state = tmp_path / "agent"
    listener = serve_controller(BUS, world.controller)
    nodes = NodesClient(BUS)

    with open_agent(settings(state, tmp_path / "none.sock"), service, core, world.plugin.bound_ports):  # type: ignore[arg-type]
        nodes.on(HOST).wake()
        with pytest.raises(EngineUnreachable, match="Docker does not answer"):
            nodes.on(HOST).logs("c1", LogQuery())

    assert (state / MEMORY_FILE).exists()
    assert world.controller.reports == []
    nodes.close()
    listener.stop(5)
    gc.collect()
