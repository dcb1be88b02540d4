"""The messages between controllers and nodes. They travel as JSON: ``model_dump(mode="json")`` and ``model_validate``.

A node tells all that it sees and is told all that is wanted of it, each time: a message that is lost delays, and one
that comes twice does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from mooring.container.spec import ContainerSpec, Value
from mooring.container.states import Status, Verb
from mooring.neutron.model import EgressLimits, Network, Port, Subnet
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind


class DeviceState(StrEnum):
    """Whether a device of a host may be claimed, as its node sees it."""

    FREE = "free"
    HELD = "held"
    """The service's, or one that somebody on the host uses without it: ``holder`` says who."""
    UNUSABLE = "unusable"
    """Quarantined, or in use by the host itself: ``detail`` says why."""
    LOST = "lost"
    """It was there and is not any more. Never deleted while a container has it."""


class DeviceReport(Value):
    """One device that the host's device spec admits.

    ``holder`` is the port that has it by this host's journal, or the container that has it without a port. ``mac`` is
    a PF's own. ``numa_node`` None is unknown.
    """

    address: PciAddress
    kind: DeviceKind
    vendor_id: str
    product_id: str
    parent: PciAddress | None = None
    numa_node: int | None = None
    physical_network: str | None = None
    trusted: bool = False
    vf_driver: str | None = None
    mac: str | None = None
    label: str = ""
    state: DeviceState = DeviceState.FREE
    holder: str | None = None
    detail: str = ""


class HostFacts(Value):
    """What a host is. Memory in MiB, disk in GiB."""

    cpus: int
    memory_mib: int
    disk_gib: int
    architecture: str
    os_type: str
    os: str
    kernel_version: str
    labels: Mapping[str, str] = Field(default_factory=dict)
    runtimes: tuple[str, ...] = ("runc",)
    engine_version: str = ""
    availability_zone: str = "nova"


class FailureKind(StrEnum):
    """What a controller can do about an operation that failed."""

    REFUSED = "refused"
    """This host cannot serve it (a device is taken, lost or not clean): another may."""
    FAILED = "failed"
    """It would fail anywhere (an image that does not exist), or nobody knows."""


class Failure(Value):
    """Why an operation failed; ``message`` is a sentence for the container's owner."""

    kind: FailureKind
    message: str


class Done(Value):
    """An operation that a node has carried out, or failed in; ``number`` is the operation's. No failure is success."""

    number: int
    failure: Failure | None = None


class ContainerReport(Value):
    """One container of the service as its host sees it.

    ``status`` is DELETED where nothing of it is left on the host, after a CREATE that failed, too. ``attached`` are the
    ports that are in it, or will be once it is started. ``done`` is the last operation that was carried out there, None
    before the first. ``progress`` is a step of the one under way, a TaskState's value (an image being pulled).
    """

    uuid: str
    status: Status
    detail: str | None = None
    reason: str | None = None
    runtime_id: str | None = None
    started_at: datetime | None = None
    exit_code: int | None = None
    health: str | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    attached: tuple[str, ...] = ()
    done: Done | None = None
    progress: str | None = None


class NodeReport(Value):
    """All that a node sees. ``boot_id`` changes with each boot, ``service`` is the one it last heard of."""

    host: str
    boot_id: str
    service: str | None = None
    facts: HostFacts
    devices: tuple[DeviceReport, ...]
    containers: tuple[ContainerReport, ...]


class WantedInterface(Value):
    """A bound port that is to be in a container; ``device`` is the one it was bound to, None for a normal port.

    ``limits`` are what its QoS policy allows; a node that is told none finds them out soon after the container's start.
    """

    port: Port
    network: Network
    subnets: tuple[Subnet, ...]
    device: PciAddress | None = None
    limits: EgressLimits = Field(default_factory=EgressLimits)


class WantedOperation(Value):
    """What is to be done with a container, once for each ``number``.

    ``arguments``, each of which may be left out: CREATE and REBUILD ``run`` (start it, too; a rebuilt one is started by
    default if it ran), STOP, REBOOT and DELETE ``timeout_s`` (a whole number; a DELETE without it kills at once), KILL
    ``signal``, DETACH ``port`` (the id of the one that leaves, should it be among the interfaces still).
    """

    number: int
    verb: Verb
    arguments: Mapping[str, str | int | bool] = Field(default_factory=dict)


class WantedContainer(Value):
    """A container that belongs on a host, with all that it needs there.

    ``interfaces`` are those that it is to have, in their order, whatever the operation. ``devices`` are for programs
    and have no port.
    """

    uuid: str
    spec: ContainerSpec
    interfaces: tuple[WantedInterface, ...]
    devices: tuple[PciAddress, ...] = ()
    operation: WantedOperation


class Wanted(Value):
    """All that is wanted of a host. A container of this ``service`` that is not in it does not belong there."""

    service: str
    containers: tuple[WantedContainer, ...]


class Output(Value):
    """What a command said, and how it ended."""

    text: str
    exit_code: int | None = None


class ProcessTable(Value):
    """The processes of a container, as ``docker top`` has them."""

    titles: tuple[str, ...]
    processes: tuple[tuple[str, ...], ...]


class Usage(Value):
    """What a container uses at this moment. Memory in bytes, processor in percent of one."""

    cpu_percent: float
    memory_bytes: int
    memory_limit_bytes: int
    block_read_bytes: int
    block_write_bytes: int
    received_bytes: int
    sent_bytes: int


class Archive(Value):
    """A file or a folder of a container: ``data`` is a tar archive in base64, ``stat`` Docker's description of it."""

    data: str
    stat: Mapping[str, str | int]


class Image(Value):
    """An image that a host has."""

    id: str
    repository: str
    tag: str
    size_bytes: int


class LogQuery(Value):
    """Which part of a container's output is wanted: ``tail`` lines of it, None all; ``since`` seconds of the epoch."""

    stdout: bool = True
    stderr: bool = True
    timestamps: bool = False
    tail: int | None = None
    since: float | None = None
