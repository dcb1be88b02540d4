"""What the node asks of its container engine: the protocol that DockerRuntime and the test fake both keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from mooring.container.spec import ContainerSpec

CONTAINER_LABEL: Final = "mooring.container"
"""The container's uuid."""
SERVICE_LABEL: Final = "mooring.service"
"""The service that it belongs to; networks that were made for containers bear it, too."""
NUMBER_LABEL: Final = "mooring.operation"
"""The number of the operation that made it."""
NETWORK_LABEL: Final = "mooring.network"
"""Of a Docker network: the Neutron network it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A port on a Docker network; what ties a container to it."""

    network: str
    port_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A container to be made. ``number`` is the operation's.

    ``link`` is its first interface. ``device_nodes`` are files under ``/dev`` that it gets; ``mounts`` pairs files of
    the host with their places in the container.
    """

    uuid: str
    service: str
    number: int
    spec: ContainerSpec
    link: Link | None = None
    device_nodes: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A container of a service's as the engine has it.

    ``state`` is Docker's word: created, running, paused, restarting, exited, removing, dead. ``started_at`` is of the
    last start, None before the first. ``number`` is the operation's that made it. ``links`` are in the order of its
    interfaces. ``failed`` are connections that failed while it ran, and that Docker tries again at its next start.
    """

    uuid: str
    service: str
    number: int
    runtime_id: str
    state: str
    started_at: datetime | None = None
    exit_code: int | None = None
    error: str = ""
    health: str | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    links: tuple[Link, ...] = ()
    failed: tuple[Link, ...] = ()
    networks: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Tell whether it has processes, be they frozen."""
        return self.state in ("running", "paused", "restarting")

    @property
    def is_up(self) -> bool:
        """Tell whether its processes, and so its interfaces, are there now: not while Docker waits to restart it."""
        return self.state in ("running", "paused")

    @property
    def ports(self) -> frozenset[str]:
        """The ports that it has, or will have once it is started."""
        return frozenset(link.port_id for link in self.links)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHost:
    """What the engine says of its host. Memory in MiB; ``root`` is the folder that it keeps its data in."""

    cpus: int
    memory_mib: int
    architecture: str
    os_type: str
    os: str
    kernel_version: str
    version: str
    root: str
    runtimes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class Runtime(Protocol):
    """The engine. Containers are named by their uuid of the service.

    Every method raises EngineUnreachable when the engine does not answer, which leaves open whether it has done what it
    was told, and EngineRefused in its own words.
    """

    def host(self) -> EngineHost:
        """Return what the engine says of its host."""
        ...

    def containers(self) -> tuple[Found, ...]:
        """Return all containers of any service, those included that do not run."""
        ...

    def find(self, uuid: str) -> Found | None:
        """Return a container as it is now."""
        ...

    def create(self, plan: Plan) -> None:
        """Make a container, which does not run yet."""
        ...

    def connect(self, uuid: str, link: Link) -> None:
        """Give a container an interface; at once if it runs."""
        ...

    def disconnect(self, uuid: str, network: str) -> None:
        """Take a container from a network; from one that it is not on is a success.

        Raises EngineRefused, as long as the container runs, for a network to which its connection failed.
        """
        ...

    def start(self, uuid: str) -> None:
        """Start a container; one that runs stays as it is."""
        ...

    def stop(self, uuid: str, timeout_s: int) -> None:
        """End a container's processes, by force after a while; one that does not run stays as it is."""
        ...

    def restart(self, uuid: str, timeout_s: int) -> None:
        """End a container's processes and start it. One that is to be removed when it ends is not removed by this."""
        ...

    def kill(self, uuid: str, signal: str) -> None:
        """Send a signal to a container."""
        ...

    def pause(self, uuid: str) -> None:
        """Freeze a container's processes."""
        ...

    def unpause(self, uuid: str) -> None:
        """Let a container's processes go on."""
        ...

    def update(self, uuid: str, spec: ContainerSpec) -> None:
        """Make a container's limits those of a spec."""
        ...

    def remove(self, uuid: str) -> None:
        """Remove a container, running or not; one that is not there is a success."""
        ...

    def networks(self, service: str) -> Mapping[str, str]:
        """Return the Docker networks of a service: by name, the id of the Neutron network each stands for."""
        ...

    def create_network(self, name: str, network_id: str, service: str) -> None:
        """Make a Docker network for bound ports of a Neutron network."""
        ...

    def remove_network(self, name: str) -> None:
        """Remove a Docker network; one that is not there is a success."""
        ...

    def has_image(self, image: str) -> bool:
        """Tell whether the host has an image."""
        ...

    def pull(self, image: str, on_progress: Callable[[], None]) -> None:
        """Fetch an image; ``on_progress`` is called meanwhile, and what it raises ends the fetching."""
        ...

    def events(self) -> Iterator[None]:
        """Yield after each change of a container, from now on; ends when the engine goes away."""
        ...
