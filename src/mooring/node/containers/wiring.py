"""The one place where a node's agent is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from mooring.attach.devices import Devices
from mooring.attach.engine import Engine
from mooring.config.settings import NodeSettings, ServiceSettings
from mooring.libnetwork.bound_ports import BoundPorts
from mooring.node.containers.agent import Agent
from mooring.node.containers.engine import DockerRuntime
from mooring.node.containers.holdings import Holdings
from mooring.node.containers.inventory import Inventory
from mooring.node.containers.memory import Memory
from mooring.node.containers.mounts import Mounts
from mooring.node.containers.networks import ServiceNetworks
from mooring.node.containers.operations import Operations
from mooring.node.containers.rpc_end import DockerNodeEnd
from mooring.node.containers.runtime import Runtime
from mooring.node.containers.workers import Workers, in_thread
from mooring.node.docker import EngineConnection
from mooring.node.wiring import Core
from mooring.rpc.api import ControllerEnd
from mooring.rpc.bus import ControllerClient, serve_node

MEMORY_FILE: Final = "containers.sqlite"

# Between two words of an engine that starts a container, whose ports are being made present, or pulls an image.
_ENGINE_SILENCE_S: Final = 300.0
_CLOSE_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an agent works with."""

    runtime: Runtime
    inventory: Inventory
    holdings: Holdings
    memory: Memory
    bound_ports: BoundPorts
    operations: Operations

    @classmethod
    def open(
        cls, *, devices: Devices, engine: Engine, bound_ports: BoundPorts, runtime: Runtime, state_dir: Path
    ) -> Self:
        """Open the memory in ``state_dir``; asks nobody anything."""
        memory = Memory(state_dir / MEMORY_FILE)
        holdings = Holdings(devices, engine)
        operations = Operations(
            runtime=runtime,
            networks=ServiceNetworks(runtime, memory.networks),
            holdings=holdings,
            bound_ports=bound_ports,
            memory=memory,
            mounts=Mounts(state_dir / "mounts"),
        )
        return cls(
            runtime=runtime,
            inventory=Inventory(devices),
            holdings=holdings,
            memory=memory,
            bound_ports=bound_ports,
            operations=operations,
        )


def agent_of(
    parts: Parts,
    *,
    host: str,
    settings: ServiceSettings,
    controller: ControllerEnd,
    spawn: Callable[[str, Callable[[], None]], None] = in_thread,
    pause: Callable[[float], object] | None = None,
) -> Agent:
    """Return an agent that has not begun; ``spawn`` and ``pause`` are those of Workers."""
    return Agent(
        host=host,
        settings=settings,
        controller=controller,
        runtime=parts.runtime,
        inventory=parts.inventory,
        holdings=parts.holdings,
        memory=parts.memory,
        bound_ports=parts.bound_ports,
        workers=lambda on_done: Workers(parts.memory, parts.operations, on_done=on_done, spawn=spawn, pause=pause),
    )


@contextmanager
def open_agent(
    settings: NodeSettings, service: ServiceSettings, core: Core, bound_ports: BoundPorts
) -> Iterator[Agent]:
    """Run the agent of this host beside its plugin, and answer controllers, for as long as the body lasts.

    ``core`` and ``bound_ports`` are the plugin's. The bus is the one of ``service``: where controllers are in the same
    process, ``fake://``.
    """
    with ExitStack() as stack:
        connection = stack.enter_context(closing(EngineConnection(settings.docker_url, timeout_s=_ENGINE_SILENCE_S)))
        parts = Parts.open(
            devices=core.devices,
            engine=core.engine,
            bound_ports=bound_ports,
            runtime=DockerRuntime(connection, driver=settings.plugin_socket.stem),
            state_dir=settings.state_dir,
        )
        stack.callback(parts.memory.close)
        controller = stack.enter_context(closing(ControllerClient(service.transport_url)))
        agent = agent_of(parts, host=settings.host, settings=service, controller=controller)
        listener = serve_node(service.transport_url, settings.host, DockerNodeEnd(connection, agent.wake))
        stack.callback(listener.stop, _CLOSE_S)
        agent.start()
        stack.callback(agent.stop)
        yield agent
