"""Docker as the node's container engine: a Runtime over docker-py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from mooring.container.spec import ContainerSpec
from mooring.errors import EngineRefused
from mooring.libnetwork.options import BOUND_KEY, NETWORK_KEY, PORT_KEY
from mooring.node.containers.creation import container_name, creation_of, limits_of
from mooring.node.containers.inspection import found_in
from mooring.node.containers.runtime import (
    CONTAINER_LABEL,
    NETWORK_LABEL,
    SERVICE_LABEL,
    EngineHost,
    Found,
    Link,
    Plan,
)
from mooring.node.docker import EngineConnection

if TYPE_CHECKING:
    from docker import APIClient

_MIB: Final = 1 << 20
_NO_NETWORK: Final = "none"
# Not what happens inside of a container: a health check alone is three events.
_CHANGES: Final = ("start", "die", "pause", "unpause", "destroy", "oom", "health_status")


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """The only door through which the engine's refusals enter mooring."""
    from docker.errors import APIError  # noqa: PLC0415

    try:
        yield
    except APIError as exc:
        status = exc.status_code or HTTPStatus.INTERNAL_SERVER_ERROR
        raise EngineRefused(doing, int(status), str(exc.explanation or exc)) from exc


class DockerRuntime:
    """Implements Runtime. ``driver`` is the name under which Docker knows mooring's plugin."""

    def __init__(self, connection: EngineConnection, driver: str) -> None:
        self._connection = connection
        self._driver = driver

    def host(self) -> EngineHost:
        """Return what the engine says of its host."""
        with self._asking("reading about the host") as client:
            info = client.info()
        labels = (label.partition("=") for label in info.get("Labels") or ())
        return EngineHost(
            cpus=info["NCPU"],
            memory_mib=info["MemTotal"] // _MIB,
            architecture=info["Architecture"],
            os_type=info["OSType"],
            os=info["OperatingSystem"],
            kernel_version=info["KernelVersion"],
            version=info["ServerVersion"],
            root=info["DockerRootDir"],
            runtimes=tuple(sorted(info.get("Runtimes") or ())),
            labels={key: value for key, _, value in labels},
        )

    def containers(self) -> tuple[Found, ...]:
        """Return all containers of any service."""
        with self._asking("listing containers") as client:
            listed = client.containers(all=True, filters={"label": CONTAINER_LABEL})
            found = (_inspected(client, item["Id"]) for item in listed)
            return tuple(container for container in found if container is not None)

    def find(self, uuid: str) -> Found | None:
        """Return a container as it is now."""
        with self._asking(f"looking at container {uuid}") as client:
            return _inspected(client, container_name(uuid))

    def create(self, plan: Plan) -> None:
        """Make a container."""
        with self._asking(f"creating container {plan.uuid}") as client:
            wanted = creation_of(plan)
            networking = None
            if plan.link is not None:
                networking = client.create_networking_config({plan.link.network: _endpoint(client, plan.link)})
            client.create_container(
                **wanted.arguments,
                host_config=client.create_host_config(**wanted.host),
                networking_config=networking,
            )

    def connect(self, uuid: str, link: Link) -> None:
        """Give a container an interface."""
        with self._asking(f"connecting container {uuid} to {link.network}") as client:
            name = container_name(uuid)
            if _NO_NETWORK in client.inspect_container(name)["NetworkSettings"]["Networks"]:
                # Docker connects a container to nothing else as long as it is on this one.
                client.disconnect_container_from_network(name, _NO_NETWORK, force=True)
            client.connect_container_to_network(name, link.network, driver_opt={PORT_KEY: link.port_id})

    def disconnect(self, uuid: str, network: str) -> None:
        """Take a container from a network."""
        with self._asking(f"disconnecting container {uuid} from {network}") as client:
            _leave(client, container_name(uuid), network)

    def start(self, uuid: str) -> None:
        """Start a container."""
        with self._asking(f"starting container {uuid}") as client:
            client.start(container_name(uuid))

    def stop(self, uuid: str, timeout_s: int) -> None:
        """End a container's processes."""
        with self._asking(f"stopping container {uuid}") as client:
            client.stop(container_name(uuid), timeout=timeout_s)

    def restart(self, uuid: str, timeout_s: int) -> None:
        """End a container's processes and start it."""
        with self._asking(f"restarting container {uuid}") as client:
            client.restart(container_name(uuid), timeout=timeout_s)

    def kill(self, uuid: str, signal: str) -> None:
        """Send a signal to a container."""
        with self._asking(f"sending {signal} to container {uuid}") as client:
            client.kill(container_name(uuid), signal=signal)

    def pause(self, uuid: str) -> None:
        """Freeze a container's processes."""
        with self._asking(f"pausing container {uuid}") as client:
            client.pause(container_name(uuid))

    def unpause(self, uuid: str) -> None:
        """Let a container's processes go on."""
        with self._asking(f"unpausing container {uuid}") as client:
            client.unpause(container_name(uuid))

    def update(self, uuid: str, spec: ContainerSpec) -> None:
        """Make a container's limits those of a spec."""
        with self._asking(f"updating container {uuid}") as client:
            client.update_container(container_name(uuid), **limits_of(spec))

    def remove(self, uuid: str) -> None:
        """Remove a container."""
        with self._asking(f"removing container {uuid}") as client:
            _there(lambda: client.remove_container(container_name(uuid), v=True, force=True))

    def networks(self, service: str) -> Mapping[str, str]:
        """Return the Docker networks of a service."""
        with self._asking("listing networks") as client:
            listed = client.networks(filters={"label": f"{SERVICE_LABEL}={service}"})
        return {network["Name"]: network["Labels"][NETWORK_LABEL] for network in listed}

    def create_network(self, name: str, network_id: str, service: str) -> None:
        """Make a Docker network for bound ports."""
        with self._asking(f"creating network {name}") as client:
            client.create_network(
                name,
                driver=self._driver,
                options={NETWORK_KEY: network_id, BOUND_KEY: "true"},
                ipam={"Driver": "null", "Config": []},
                check_duplicate=True,
                labels={SERVICE_LABEL: service, NETWORK_LABEL: network_id},
            )

    def remove_network(self, name: str) -> None:
        """Remove a Docker network."""
        with self._asking(f"removing network {name}") as client:
            _there(lambda: client.remove_network(name))

    def has_image(self, image: str) -> bool:
        """Tell whether the host has an image."""
        with self._asking(f"looking for image {image}") as client:
            return _there(lambda: client.inspect_image(image)) is not None

    def pull(self, image: str, on_progress: Callable[[], None]) -> None:
        """Fetch an image, with the credentials that root has for its registry (``docker login``)."""
        doing = f"pulling image {image}"
        with self._asking(doing) as client:
            for item in client.pull(image, stream=True, decode=True):
                if "error" in item:
                    raise EngineRefused(doing, HTTPStatus.INTERNAL_SERVER_ERROR, str(item["error"]))
                on_progress()

    def events(self) -> Iterator[None]:
        """Yield after each change of a container."""
        filters = {"type": "container", "label": CONTAINER_LABEL, "event": list(_CHANGES)}
        with self._asking("listening to events") as client:
            for _ in client.events(filters=filters):
                yield

    @contextmanager
    def _asking(self, doing: str) -> Iterator[APIClient]:
        with self._connection.asking() as client, engine_errors(doing):
            yield client


def _there(ask: Callable[[], Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    """Return the engine's answer, None where what it is asked about is not there."""
    from docker.errors import NotFound  # noqa: PLC0415

    try:
        return ask()
    except NotFound:
        return None


def _inspected(client: APIClient, name: str) -> Found | None:
    details = _there(lambda: client.inspect_container(name))
    return None if details is None else found_in(details)


def _leave(client: APIClient, name: str, network: str) -> None:
    """Take a container from a network, if it is on it.

    A container that is on no other comes on none: Docker would otherwise put it back on its first one at its next
    start, without a port.
    """
    if network in client.inspect_container(name)["NetworkSettings"]["Networks"]:
        client.disconnect_container_from_network(name, network, force=True)
    if not client.inspect_container(name)["NetworkSettings"]["Networks"]:
        client.connect_container_to_network(name, _NO_NETWORK)


def _endpoint(client: APIClient, link: Link) -> Mapping[str, Any]:
    endpoint: Mapping[str, Any] = client.create_endpoint_config(driver_opt={PORT_KEY: link.port_id})
    return endpoint
