"""What the service answers, as far as the command line looks at it; what it says besides is kept and shown."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """An object of the API."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Address(Answer):
    """An address of a container."""

    addr: str
    port: str


class Container(Answer):
    """A container."""

    uuid: str
    name: str
    status: str
    image: str = ""
    status_reason: str | None = None
    status_detail: str | None = None
    task_state: str | None = None
    host: str | None = None
    addresses: Mapping[str, tuple[Address, ...]] | None = None


class Event(Answer):
    """A step of an action."""

    event: str
    result: str | None = None
    finish_time: str | None = None


class Action(Answer):
    """What was asked of a container."""

    action: str
    request_id: str
    message: str | None = None
    start_time: str | None = None
    finish_time: str | None = None
    events: tuple[Event, ...] = ()


class FixedIp(Answer):
    """An address of a port."""

    ip_address: str


class Attachment(Answer):
    """A port in a container."""

    net_id: str
    port_id: str | None = None
    fixed_ips: tuple[FixedIp, ...] = ()


class Execution(Answer):
    """What a command said in a container."""

    output: str
    exit_code: int | None = None


class Host(Answer):
    """A container host."""

    uuid: str
    hostname: str
    cpus: float
    cpu_used: float
    mem_total: int
    mem_used: int
    total_containers: int


class Service(Answer):
    """A daemon of the service."""

    host: str
    binary: str
    state: str
    disabled: bool
    disabled_reason: str | None = None
    forced_down: bool = False
    availability_zone: str | None = None
    last_seen_up: str | None = None


class Device(Answer):
    """A PCI device of a host."""

    address: str
    dev_type: str
    status: str
    parent: str | None = None
    physical_network: str | None = None
    numa_node: int | None = None
    container: str | None = None
    holder: str | None = None
    detail: str = ""


class Image(Answer):
    """An image that a host has."""

    image_id: str | None = None
    repo: str | None = None
    tag: str | None = None
    size: int | str | None = None
    host: str | None = None


class Processes(Answer):
    """The processes of a container."""

    titles: tuple[str, ...] = Field(alias="Titles")
    processes: tuple[tuple[str, ...], ...] = Field(alias="Processes")
