"""What a container is to be, as its owner asked for it: parsed at the API's door, kept as it is, told to its node."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """A value that does not change and has no field that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PullPolicy(StrEnum):
    """When an image is fetched from its registry."""

    ALWAYS = "always"
    IF_NOT_PRESENT = "ifnotpresent"
    NEVER = "never"


class RestartPolicy(Value):
    """When Docker starts a container again by itself; ``max_retries`` counts for ``on-failure`` only."""

    name: Literal["no", "always", "on-failure", "unless-stopped"]
    max_retries: int = Field(default=0, ge=0)


class Healthcheck(Value):
    """A command that tells whether a container is well. Times are in seconds; 0 leaves a value to Docker."""

    test: str
    interval_s: int = 0
    timeout_s: int = 0
    retries: int = 0


class Mount(Value):
    """A file that the user gave: ``content`` (base64) appears as ``destination`` in the container."""

    destination: str
    content: str


class ContainerSpec(Value):
    """A container to be made. None is what its image or its engine says.

    ``cpu`` is in processors, ``memory_mib`` in MiB, ``disk_gib`` in GiB. ``exposed_ports`` are Docker's, as ``80/tcp``.
    ``hints`` are the scheduler's: ``pci_passthrough:alias``, ``label:KEY``, and what its filters read besides.
    """

    name: str
    image: str
    image_driver: str = "docker"
    image_pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cpu: float = 1.0
    cpu_policy: Literal["dedicated", "shared"] | None = None
    memory_mib: int = 512
    disk_gib: int | None = None
    environment: Mapping[str, str] = Field(default_factory=dict)
    labels: Mapping[str, str] = Field(default_factory=dict)
    workdir: str | None = None
    hostname: str | None = None
    restart_policy: RestartPolicy | None = None
    interactive: bool = False
    tty: bool = False
    auto_heal: bool = False
    auto_remove: bool = False
    privileged: bool = False
    security_groups: tuple[str, ...] | None = None
    exposed_ports: tuple[str, ...] = ()
    hints: Mapping[str, Any] = Field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    availability_zone: str | None = None
    host: str | None = None
    runtime: str | None = None
    healthcheck: Healthcheck | None = None
