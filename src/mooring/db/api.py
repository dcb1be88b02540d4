"""What controllers ask of the database, in our words.

Every method is one transaction: all of it is done or none. Every method raises DatabaseUnavailable when the database
does not answer. Times are UTC and aware; the caller says what time it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

from mooring.container.model import ClaimedDevice, Container
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind, DeviceRequest
from mooring.rpc.messages import DeviceReport, HostFacts

Resource = Literal["containers", "cpu", "memory", "disk"]
"""What quotas count: containers, processors, MiB, GiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerQuery:
    """Which containers are wanted. None and empty are no condition.

    ``filters`` are exact, by the keys that Zun's list takes (name, image, user_id, memory, host, task_state, status,
    auto_remove, uuid). ``marker`` is the uuid of the last one that is known already; raise ContainerNotFound for one
    that does not exist. ``sort_key`` is ``created_at`` or a filter's key.
    """

    project_id: str | None = None
    filters: Mapping[str, str | int | bool] = field(default_factory=dict)
    marker: str | None = None
    limit: int = 1000
    sort_key: str = "created_at"
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A container host. ``uuid`` orders hosts; it never changes. ``used`` is what its containers were promised.

    ``seen_at`` is its last report. ``disabled`` and ``forced_down`` are the operator's words.
    """

    row: int
    uuid: str
    name: str
    facts: HostFacts
    boot_id: str
    seen_at: datetime
    created_at: datetime
    updated_at: datetime
    report_count: int = 0
    disabled: bool = False
    disabled_reason: str | None = None
    forced_down: bool = False
    used_cpus: float = 0.0
    used_memory_mib: int = 0
    used_disk_gib: int = 0
    containers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of a host as the database has it: its node's report, and which container it is claimed for.

    ``request`` is the interface or alias claim that it serves. ``is_blocked`` is derived: a PF of which a VF is in use,
    or a VF of a PF that is.
    """

    row: int
    host: str
    report: DeviceReport
    container: str | None = None
    request: str | None = None
    is_blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A host that may take a container, with the free devices that its requests could be served by.

    ``counts`` are, by request id, how many devices there are that fit a request (vendor, kind, physical network), and
    how many of them are free. ``free`` may leave out devices beyond the number of requests that have one ``parent`` and
    fit the same request: more of them would serve nobody. ``spare_devices`` are the free network VFs of the host,
    whatever they fit.
    """

    host: Host
    free: Mapping[str, tuple[ClaimedDevice, ...]]
    counts: Mapping[str, tuple[int, int]]
    spare_devices: int = 0


ROUNDING: Final = 1e-6
"""How much more a sum of fractions of a processor may be than it is: twenty times 0.1 are more than 2 (IEEE 754)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much a host may promise, to its containers in all or to one; infinite where that is not limited."""

    cpus: float = math.inf
    memory_mib: float = math.inf
    disk_gib: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Devices of a host that are alike, with how many there are and how many of them are free."""

    host: str
    vendor_id: str
    product_id: str
    kind: DeviceKind
    physical_network: str | None
    numa_node: int | None
    parent: PciAddress | None
    total: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One step of an action. ``finish`` None is under way; ``traceback`` is what an administrator may see."""

    name: str
    start: datetime
    finish: datetime | None = None
    result: Literal["Success", "Error"] | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What was asked of a container, by whom, and how it ended. ``message`` is the cause of a failure."""

    request_id: str
    container: str
    action: str
    project_id: str
    user_id: str
    start: datetime
    finish: datetime | None = None
    message: str | None = None
    events: tuple[Event, ...] = ()


class Containers(Protocol):
    """Containers with their interfaces and claims."""

    def add_container(
        self,
        container: Container,
        *,
        action: Action,
        limits: Mapping[Resource, float],
        unique_names: Literal["", "project", "global"] = "",
    ) -> Container:
        """Write a new container and its ports' reservations; return it with ``row`` and ``revision``.

        ``limits`` are the configured ones: what was set for the project goes before them, and -1 is none.
        Raises PortBusy when one of its ports is another container's, QuotaExceeded, NameTaken.
        """
        ...

    def container(self, uuid: str) -> Container | None:
        """Return a container."""
        ...

    def find_containers(self, key: str, project_id: str | None) -> tuple[Container, ...]:
        """Return the containers whose uuid or name a key is, of one project or (None) of all."""
        ...

    def containers(self, query: ContainerQuery) -> tuple[Container, ...]:
        """Return containers in the query's order, ``limit`` of them at most."""
        ...

    def save(self, container: Container) -> Container:
        """Write a container if nobody has since it was read; return it with its new revision. Raises Outdated.

        A device that it held and does not name any more is free thereafter; one that it did not hold is not taken by
        this. An interface that is new in it reserves its port: raises PortBusy.
        """
        ...

    def grow(self, container: Container, *, capacity: Capacity, whole: Capacity) -> Container:
        """Write a container that is on a host as ``save`` does, if there is room there for what it asks more of.

        Raises NoRoom when the host's containers, this one among them, would be promised more of that than ``capacity``,
        or this one alone more than ``whole``; what it asks no more of than before is not looked at. Raises what
        ``save`` does.
        """
        ...

    def claim(
        self, container: Container, *, host: Host, picks: Mapping[str, ClaimedDevice], capacity: Capacity
    ) -> Container:
        """Write a container as placed on a host, with devices by interface or alias claim id: all of it or nothing.

        ``container`` has the interfaces and alias claims; this fills their ``device`` and ``host``. Raises ClaimLost
        when a device is not free any more (taken, blocked by its PF or VFs, not FREE in its node's report), or the host
        was disabled or forced down, or its containers, this one among them, would be promised more than ``capacity``.
        Raises Outdated.
        """
        ...

    def remove(self, container: Container) -> None:
        """Delete a container with its interfaces, claims and actions; its devices are free. Raises Outdated."""
        ...

    def take_due(self, now: datetime, again_at: datetime) -> Container | None:
        """Return a container that is due, whose ``due_at`` is ``again_at`` from now on; None when none is due.

        Of two callers only one gets it. Whoever dies over it leaves it to the next at ``again_at``.
        """
        ...

    def wanted_on(self, host: str) -> tuple[Container, ...]:
        """Return the containers that were placed on a host."""
        ...

    def placed_on_silent_hosts(self, silent_since: datetime) -> tuple[Container, ...]:
        """Return containers whose host has not reported since, or was forced down, and are not shown UNKNOWN yet."""
        ...

    def usage(self, project_id: str) -> Mapping[Resource, float]:
        """Return what the containers of a project were promised."""
        ...


class Hosts(Protocol):
    """Container hosts and their devices."""

    def note_host(
        self, name: str, *, boot_id: str, facts: HostFacts, devices: Sequence[DeviceReport], now: datetime
    ) -> Host:
        """Write what a node reports, and return its host.

        A device that is not reported any more is deleted, unless a container has it: then its state is LOST. A device
        that a container has keeps the physical network that it was claimed under.
        """
        ...

    def hosts(self, *, marker: str | None = None, limit: int = 1000) -> tuple[Host, ...]:
        """Return hosts by name, in the database's order, with what is used of them.

        ``marker`` is the uuid of the last one known; raises HostNotFound when it is none's.
        """
        ...

    def host(self, key: str) -> Host:
        """Return a host by its name or uuid; raise HostNotFound."""
        ...

    def set_host(
        self,
        name: str,
        *,
        disabled: bool | None = None,
        disabled_reason: str | None = None,
        forced_down: bool | None = None,
    ) -> Host:
        """Change what the operator says of a host; raise HostNotFound."""
        ...

    def forget_host(self, name: str) -> None:
        """Delete a host with its devices; raise HostNotFound, and OperationRefused when it has containers."""
        ...

    def candidates(
        self,
        requests: Sequence[DeviceRequest],
        *,
        after: str,
        limit: int,
        alive_since: datetime,
        only: str | None = None,
        with_room: bool = True,
    ) -> tuple[Candidate, ...]:
        """Return hosts with a ``uuid`` beyond ``after``, in that order, ``limit`` at most.

        With ``with_room`` only those that are enabled, have reported since, and have a free device for each request;
        otherwise all, which is for telling why none will do. ``only`` is the name of the one host that is wanted.
        """
        ...

    def devices(self, host: str) -> tuple[Device, ...]:
        """Return the devices of a host, a PF above its VFs."""
        ...

    def pools(self, host: str | None = None) -> tuple[Pool, ...]:
        """Count devices that are alike, of one host or of all."""
        ...


class History(Protocol):
    """What was asked of containers."""

    def start_action(self, action: Action) -> None:
        """Write down a request, once; raise ContainerNotFound."""
        ...

    def finish_action(self, container: str, request_id: str, *, now: datetime, message: str | None) -> None:
        """Write down how a request ended; nothing happens for one that has ended, or is not known."""
        ...

    def add_event(self, container: str, request_id: str, event: Event) -> None:
        """Add a step to a request, or finish the one of that name which has begun; nothing for one not known."""
        ...

    def actions(self, container: str) -> tuple[Action, ...]:
        """Return the requests of a container, the newest first, without their events."""
        ...

    def action(self, container: str, request_id: str) -> Action:
        """Return a request with its events; raise ActionNotFound."""
        ...


class Quotas(Protocol):
    """How much a project may have, where that differs from the configuration."""

    def quotas(self, project_id: str) -> Mapping[Resource, float]:
        """Return the limits that were set for a project; -1 is none."""
        ...

    def set_quotas(self, project_id: str, limits: Mapping[Resource, float]) -> None:
        """Set limits of a project; those not named stay."""
        ...

    def delete_quotas(self, project_id: str) -> None:
        """Give a project the configured limits again."""
        ...


class Store(Containers, Hosts, History, Quotas, Protocol):
    """The whole database."""

    def service_id(self) -> str:
        """Return the id of this service, the same for each controller of it; made once."""
        ...

    def ping(self) -> None:
        """Ask the database for nothing; raise DatabaseUnavailable when it does not answer."""
        ...
