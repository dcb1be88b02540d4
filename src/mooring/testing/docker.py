"""FakeDocker: an engine in memory that keeps containers and networks, and drives a network plugin as Docker does."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from mooring.container.spec import ContainerSpec
from mooring.errors import EngineRefused, EngineUnreachable
from mooring.node.containers.runtime import EngineHost, Found, Link, Plan

_URL: Final = "unix:///fake/docker.sock"
_RUNNING: Final = frozenset({"running", "paused", "restarting"})
_FIRST_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_NULL_POOL: Final = [{"AddressSpace": "null", "Pool": "0.0.0.0/0"}]


class PluginFailed(Exception):
    """A plugin answered with an error; what it says is all that Docker passes on."""


class Plugin(Protocol):
    """The network plugin as Docker calls it."""

    def call(self, name: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        """Answer a call such as ``NetworkDriver.Join``; raise PluginFailed."""
        ...

    def moved_in(self, endpoint: str, interface: str) -> None:
        """Take note that an interface went into its container; empty where none did."""
        ...

    def moved_out(self, endpoint: str) -> None:
        """Take note that Docker fetched an interface home from a container that ended."""
        ...


@dataclass(slots=True, kw_only=True)
class FakeContainer:
    """A container of the fake's. ``endpoints`` are those there are while it runs, by network.

    ``stale`` are networks that an endpoint is shown of which has gone.
    """

    plan: Plan
    found: Found
    limits: tuple[float, int]
    links: dict[str, str | None] = field(default_factory=dict)
    endpoints: dict[str, str] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    signals: list[str] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether it has processes."""
        return self.found.state in _RUNNING


class FakeDocker:
    """A Runtime. Several threads may ask; nobody waits for a pull but who asked for it.

    ``calls`` are the names of all calls so far. ``images`` are those of the host, ``registry`` those that can be had.
    While ``away`` is set nobody answers. ``conflicting`` are networks that a running container has a route to.
    """

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._lock = threading.RLock()
        self._counting = threading.Lock()
        self._starts = itertools.count()
        self._fate: tuple[int, bool, BaseException | None] | None = None
        self.calls: list[str] = []
        self.away = False
        self.images: set[str] = set()
        self.registry: set[str] = set()
        self.may_pull = threading.Event()
        self.may_pull.set()
        self.conflicting: set[str] = set()
        self.by_uuid: dict[str, FakeContainer] = {}
        self.nets: dict[str, tuple[str, str, str]] = {}

    # What a test does

    def fail_call(self, n: int, *, reply_lost: bool = False, error: BaseException | None = None) -> None:
        """Let the n-th call from now fail: refused, or done and the reply lost; or end with some other error."""
        self._fate = len(self.calls) + n, reply_lost, error

    def living(self) -> frozenset[str]:
        """Return the endpoints there are."""
        return frozenset(item for container in self.by_uuid.values() for item in container.endpoints.values())

    def end(self, uuid: str, exit_code: int = 0) -> None:
        """Let a container's processes end by themselves."""
        self._halt(self.by_uuid[uuid], exit_code)

    def reboot(self) -> None:
        """Let the host go down without a word to anybody; ``come_back`` starts what restarts by itself."""
        for container in self.by_uuid.values():
            if container.runs:
                container.endpoints.clear()
                container.found = replace(container.found, state="exited", exit_code=255)

    def come_back(self) -> None:
        """Start, as Docker does when it starts, what has a restart policy; what fails stays exited."""
        for container in self.by_uuid.values():
            policy = container.plan.spec.restart_policy
            if policy is not None and policy.name in ("always", "unless-stopped"):
                with suppress(EngineRefused):
                    self._launch(container)

    # Runtime

    def host(self) -> EngineHost:
        """Return what the engine says of its host."""
        with self._call("host"):
            return EngineHost(
                cpus=4,
                memory_mib=8192,
                architecture="x86_64",
                os_type="linux",
                os="Fake OS",
                kernel_version="6.12",
                version="29.0",
                root="/",
                runtimes=("runc",),
                labels={"rack": "r1"},
            )

    def containers(self) -> tuple[Found, ...]:
        """Return all containers."""
        with self._call("containers"):
            return tuple(map(_seen, self.by_uuid.values()))

    def find(self, uuid: str) -> Found | None:
        """Return a container as it is now."""
        with self._call("find"):
            container = self.by_uuid.get(uuid)
            return None if container is None else _seen(container)

    def create(self, plan: Plan) -> None:
        """Make a container."""
        with self._call("create"):
            if plan.uuid in self.by_uuid:
                raise EngineRefused("creating", 409, f"the name mooring-{plan.uuid} is in use")
            if plan.spec.image not in self.images:
                raise EngineRefused("creating", 404, f"No such image: {plan.spec.image}")
            if plan.link is not None:
                self._require_network(plan.link.network)
            found = Found(
                uuid=plan.uuid, service=plan.service, number=plan.number, runtime_id=uuid.uuid4().hex, state="created"
            )
            links: dict[str, str | None] = {"none": None}
            if plan.link is not None:
                links = {plan.link.network: plan.link.port_id}
            limits = plan.spec.cpu, plan.spec.memory_mib
            self.by_uuid[plan.uuid] = FakeContainer(plan=plan, found=found, limits=limits, links=links)

    def connect(self, uuid: str, link: Link) -> None:
        """Give a container an interface; at once if it runs."""
        with self._call("connect"):
            container = self._there(uuid)
            self._require_network(link.network)
            if link.network in (container.endpoints if container.runs else container.links):
                raise EngineRefused("connecting", 403, f"endpoint exists already in network {link.network}")
            container.links.pop("none", None)
            # It stays there even if the plugin refuses: Docker tries it again at the container's next start.
            container.links[link.network] = link.port_id
            if container.runs:
                container.endpoints[link.network] = self._plug(link.network, link.port_id)
                if link.network in self.conflicting:
                    # As 20.10 does: the endpoint goes, and the container is said to have it until its next start.
                    self._unplug(container, link.network)
                    container.stale.add(link.network)
                    raise EngineRefused("connecting", 500, "cannot program address: it conflicts with existing route")

    def disconnect(self, uuid: str, network: str) -> None:
        """Take a container from a network."""
        with self._call("disconnect"):
            container = self._there(uuid)
            if network not in container.links:
                return
            if container.runs and network not in container.endpoints:
                raise EngineRefused("disconnecting", 500, f"container {uuid} is not connected to network {network}")
            if container.runs:
                self._unplug(container, network)
            del container.links[network]
            if not container.links:
                container.links["none"] = None

    def start(self, uuid: str) -> None:
        """Start a container."""
        with self._call("start"):
            container = self._there(uuid)
            if not container.runs:
                self._launch(container)

    def stop(self, uuid: str, timeout_s: int) -> None:
        """End a container's processes."""
        del timeout_s
        with self._call("stop"):
            self._halt(self._there(uuid), 143)

    def restart(self, uuid: str, timeout_s: int) -> None:
        """End a container's processes and start it."""
        del timeout_s
        with self._call("restart"):
            container = self._there(uuid)
            if container.runs:
                self._halt_endpoints(container)
                container.found = replace(container.found, state="exited", exit_code=143)
            self._launch(container)

    def kill(self, uuid: str, signal: str) -> None:
        """Send a signal to a container."""
        with self._call("kill"):
            container = self._there(uuid)
            if not container.runs:
                raise EngineRefused("killing", 409, f"container {uuid} is not running")
            container.signals.append(signal)
            if signal in ("SIGKILL", "KILL", "9"):
                self._halt(container, 137)

    def pause(self, uuid: str) -> None:
        """Freeze a container's processes."""
        with self._call("pause"):
            self._change(uuid, before="running", after="paused")

    def unpause(self, uuid: str) -> None:
        """Let a container's processes go on."""
        with self._call("unpause"):
            self._change(uuid, before="paused", after="running")

    def update(self, uuid: str, spec: ContainerSpec) -> None:
        """Make a container's limits those of a spec."""
        with self._call("update"):
            self._there(uuid).limits = spec.cpu, spec.memory_mib

    def remove(self, uuid: str) -> None:
        """Remove a container."""
        with self._call("remove"):
            if (container := self.by_uuid.get(uuid)) is not None:
                self._halt(container, 137)
                self.by_uuid.pop(uuid, None)

    def networks(self, service: str) -> Mapping[str, str]:
        """Return the Docker networks of a service."""
        with self._call("networks"):
            return {name: network for name, (_, network, owner) in self.nets.items() if owner == service}

    def create_network(self, name: str, network_id: str, service: str) -> None:
        """Make a Docker network for bound ports."""
        with self._call("create_network"):
            if name in self.nets:
                raise EngineRefused("creating", 409, f"network with name {name} already exists")
            docker_id = uuid.uuid4().hex * 2
            options = {"neutron.net.uuid": network_id, "neutron.bound": "true"}
            generic = {"com.docker.network.enable_ipv4": True, "com.docker.network.generic": options}
            self._ask("NetworkDriver.GwAllocCheck", Options=generic)
            self._ask("NetworkDriver.CreateNetwork", NetworkID=docker_id, Options=generic, IPv4Data=_NULL_POOL)
            self.nets[name] = docker_id, network_id, service

    def remove_network(self, name: str) -> None:
        """Remove a Docker network."""
        with self._call("remove_network"):
            if any(name in container.endpoints for container in self.by_uuid.values()):
                raise EngineRefused("removing", 403, f"network {name} has active endpoints")
            if name in self.nets:
                self._ask("NetworkDriver.DeleteNetwork", NetworkID=self.nets.pop(name)[0])

    def has_image(self, image: str) -> bool:
        """Tell whether the host has an image."""
        with self._call("has_image"):
            return image in self.images

    def pull(self, image: str, on_progress: Callable[[], None]) -> None:
        """Fetch an image."""
        while not self.may_pull.wait(0.005):
            on_progress()
        with self._call("pull"):
            if image not in self.registry:
                raise EngineRefused("pulling", 404, f"pull access denied for {image}, repository does not exist")
            self.images.add(image)
            on_progress()

    def events(self) -> Iterator[None]:
        """Tell of nothing."""
        yield from ()

    # What Docker does

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        with self._lock:
            with self._counting:
                self.calls.append(name)
                number, reply_lost, error = self._fate or (0, False, None)
                is_fated = number == len(self.calls)
            if self.away:
                raise EngineUnreachable(_URL, "connection refused")
            if is_fated and not reply_lost:
                raise error or EngineRefused(name, 500, "it was made to fail")
            yield
            if is_fated:
                raise error or EngineUnreachable(_URL, "the reply was lost")

    def _there(self, uuid: str) -> FakeContainer:
        if uuid not in self.by_uuid:
            raise EngineRefused("looking", 404, f"No such container: mooring-{uuid}")
        return self.by_uuid[uuid]

    def _require_network(self, name: str) -> None:
        if name not in self.nets:
            raise EngineRefused("looking", 404, f"network {name} not found")

    def _change(self, uuid: str, *, before: str, after: str) -> None:
        container = self._there(uuid)
        if container.found.state != before:
            raise EngineRefused("pausing", 409, f"container {uuid} is not {before}")
        container.found = replace(container.found, state=after)

    def _launch(self, container: FakeContainer) -> None:
        container.stale.clear()
        try:
            # Docker's order of interfaces (libnetwork, endpoints of a sandbox).
            for network, port_id in sorted(container.links.items()):
                if port_id is not None:
                    container.endpoints[network] = self._plug(network, port_id)
        except EngineRefused as exc:
            self._halt_endpoints(container)
            container.found = replace(container.found, error=exc.message, exit_code=128)
            if container.plan.spec.auto_remove:
                self.by_uuid.pop(container.plan.uuid, None)
            raise
        started_at = _FIRST_START + timedelta(seconds=next(self._starts))
        container.found = replace(container.found, state="running", started_at=started_at, error="", exit_code=None)

    def _halt(self, container: FakeContainer, exit_code: int) -> None:
        if not container.runs:
            return
        self._halt_endpoints(container)
        container.found = replace(container.found, state="exited", exit_code=exit_code)
        if container.plan.spec.auto_remove:
            self.by_uuid.pop(container.plan.uuid, None)

    def _halt_endpoints(self, container: FakeContainer) -> None:
        for network in tuple(container.endpoints):
            self._unplug(container, network)

    def _plug(self, network: str, port_id: str | None) -> str:
        self._require_network(network)
        ids = {"NetworkID": self.nets[network][0], "EndpointID": uuid.uuid4().hex * 2}
        empty = {"Address": "", "AddressIPv6": "", "MacAddress": ""}
        self._ask("NetworkDriver.CreateEndpoint", **ids, Interface=empty, Options={"neutron.port.uuid": port_id})
        try:
            joined = self._ask("NetworkDriver.Join", **ids, SandboxKey="/fake", Options={})
        except EngineRefused:
            self._tell("NetworkDriver.Leave", **ids)
            self._tell("NetworkDriver.DeleteEndpoint", **ids)
            raise
        self._plugin.moved_in(ids["EndpointID"], joined["InterfaceName"].get("SrcName", ""))
        return ids["EndpointID"]

    def _unplug(self, container: FakeContainer, network: str) -> None:
        endpoint = container.endpoints.pop(network)
        ids = {"NetworkID": self.nets[network][0], "EndpointID": endpoint}
        self._tell("NetworkDriver.Leave", **ids)
        self._plugin.moved_out(endpoint)
        self._tell("NetworkDriver.DeleteEndpoint", **ids)

    def _ask(self, name: str, **body: object) -> Mapping[str, Any]:
        try:
            return self._plugin.call(name, body)
        except PluginFailed as exc:
            raise EngineRefused("asking the plugin", 500, f"{name}: {exc}") from exc

    def _tell(self, name: str, **body: object) -> None:
        """Make a call whose failure Docker only logs."""
        with suppress(PluginFailed):
            self._plugin.call(name, body)


def _seen(container: FakeContainer) -> Found:
    on = sorted(container.links.items())
    links = [Link(network=name, port_id=port) for name, port in on if port is not None]
    shown = container.endpoints.keys() | container.stale
    failed = tuple(link for link in links if container.found.is_up and link.network not in shown)
    return replace(
        container.found,
        links=tuple(link for link in links if link not in failed),
        failed=failed,
        networks=tuple(name for name, _ in on),
    )
