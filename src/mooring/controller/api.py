"""What the front doors ask of the service's core, in our words. Policy is decided at the door, ownership here.

``key`` is a container's uuid or name. Every method may raise DatabaseUnavailable, and, unless it only reads, Outdated
when others kept changing the container at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mooring.container.model import Container
from mooring.container.spec import ContainerSpec
from mooring.neutron.model import IpAddress
from mooring.rpc.messages import Archive, Image, LogQuery, Output, ProcessTable, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks. ``request_id`` (``req-<uuid>``) names the action that a change is recorded as."""

    user_id: str
    project_id: str
    roles: frozenset[str]
    is_admin: bool
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkWish:
    """One item of ``nets``: a port or a network, by name or id. ``addresses`` are for a port that is to be made."""

    port: str | None = None
    network: str | None = None
    addresses: tuple[IpAddress, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerChange:
    """What PATCH changes of a container; None leaves as it is."""

    name: str | None = None
    cpu: float | None = None
    memory_mib: int | None = None
    auto_heal: bool | None = None


class Lifecycle(Protocol):
    """Changes to containers. Each is written down and returns; what it leads to happens afterwards.

    All raise ContainerNotFound, NameAmbiguous, and WrongState where the container's state does not allow it. A caller
    finds the containers of its project; an administrator with ``everywhere`` those of all, and by uuid always.
    """

    def create(self, caller: Caller, spec: ContainerSpec, nets: Sequence[NetworkWish], *, run: bool) -> Container:
        """Write a new container down, and its ports as taken; no ``nets`` stands for the project's own network.

        Raises PortNotFound, PortBusy, PortUnusable, NetworkUnusable, UnsupportedVnicType, InvalidAlias, InvalidRequest,
        NameAmbiguous (ports, networks, security groups), NameTaken, HostNotFound, QuotaExceeded, NeutronUnreachable and
        NeutronRefused; nothing is written then. That no host can take it is found later: its status becomes ERROR.
        """
        ...

    def find(self, caller: Caller, key: str, *, everywhere: bool = False) -> Container:
        """Return a container as it is known; asks no node."""
        ...

    def start(self, caller: Caller, key: str) -> None:
        """Have a container started."""
        ...

    def stop(self, caller: Caller, key: str, *, timeout_s: int) -> None:
        """Have a container stopped, by force after ``timeout_s``."""
        ...

    def reboot(self, caller: Caller, key: str, *, timeout_s: int) -> None:
        """Have a container stopped and started."""
        ...

    def pause(self, caller: Caller, key: str) -> None:
        """Have a container's processes frozen."""
        ...

    def unpause(self, caller: Caller, key: str) -> None:
        """Let a container's processes go on."""
        ...

    def kill(self, caller: Caller, key: str, *, signal: str | None) -> None:
        """Have a signal sent to a container; None is SIGKILL."""
        ...

    def rebuild(self, caller: Caller, key: str, *, image: str | None, image_driver: str | None) -> None:
        """Have a container made anew, with the same ports and devices; started again if it was running."""
        ...

    def update(self, caller: Caller, key: str, change: ContainerChange) -> Container:
        """Change a container's name, limits or healing. Raises NameTaken, QuotaExceeded, NoRoom."""
        ...

    def delete(
        self, caller: Caller, key: str, *, stop: bool = False, force: bool = False, everywhere: bool = False
    ) -> None:
        """Have a container taken away: from its host, then its ports given back, then its row deleted."""
        ...

    def attach(self, caller: Caller, key: str, wish: NetworkWish | None) -> None:
        """Have a port put into a container, in the way of its creation; None is one on the project's own network.

        Raises what ``create`` does for nets.
        """
        ...

    def detach(self, caller: Caller, key: str, *, port: str | None = None, network: str | None = None) -> None:
        """Have one port, or all ports of a network, taken out of a container; InvalidRequest when none is in it."""
        ...


class Inside(Protocol):
    """What is asked of a container while somebody waits: its node answers.

    All raise ContainerNotFound, NameAmbiguous, WrongState, EngineRefused, and BusUnavailable when the node does not
    answer.
    """

    def execute(self, caller: Caller, key: str, command: Sequence[str]) -> Output:
        """Run a command in a container and return what it said."""
        ...

    def logs(self, caller: Caller, key: str, query: LogQuery) -> str:
        """Return what a container has written."""
        ...

    def top(self, caller: Caller, key: str, ps_arguments: str | None) -> ProcessTable:
        """Return the processes of a container."""
        ...

    def stats(self, caller: Caller, key: str) -> tuple[Container, Usage]:
        """Return what a container uses."""
        ...

    def get_archive(self, caller: Caller, key: str, path: str) -> Archive:
        """Return a file or a folder of a container."""
        ...

    def put_archive(self, caller: Caller, key: str, path: str, data: str) -> None:
        """Unpack a tar archive (base64) in a container."""
        ...

    def commit(self, caller: Caller, key: str, repository: str, tag: str | None) -> str:
        """Make an image of a container; return its id."""
        ...

    def resize_terminal(self, caller: Caller, key: str, *, width: int, height: int) -> None:
        """Tell a container's terminal its size."""
        ...

    def images(self, host: str | None) -> tuple[tuple[str, Image], ...]:
        """Return the images that hosts have, each with its host; hosts that do not answer are passed over."""
        ...

    def pull(self, image: str, host: str) -> Image:
        """Have a host fetch an image. Raises HostNotFound."""
        ...
