"""The bodies of requests that make and change containers (Zun API reference, ``POST /v1/containers``)."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, StrictStr, field_validator, model_validator

from mooring.api.fields import (
    Base64,
    Count,
    Cpu,
    Disk,
    Hostname,
    ImageDriver,
    ImageName,
    Memory,
    Name,
    Pull,
    ShortText,
    Words,
)
from mooring.api.reading import Body
from mooring.container.spec import ContainerSpec, Healthcheck, Mount, PullPolicy, RestartPolicy
from mooring.controller.api import ContainerChange, NetworkWish

Texts = dict[Annotated[str, Field(min_length=1, pattern="^[^=]+$")], StrictStr]

_LETTERS: Final = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"),
    *("xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)
_PORT: Final = re.compile(r"(\d{1,5})(?:/(tcp|udp))?")
_LAST_PORT: Final = 65535


class RestartPolicyBody(Body):
    """When a container is started again by itself."""

    name: Literal["no", "always", "on-failure", "unless-stopped"] = Field(alias="Name")
    count: Count | None = Field(default=None, alias="MaximumRetryCount")

    @model_validator(mode="after")
    def _counts_failures_only(self) -> Self:
        if self.count and self.name in ("always", "unless-stopped"):
            raise ValueError(f"MaximumRetryCount is for on-failure; leave it out with {self.name}")
        return self

    @property
    def value(self) -> RestartPolicy:
        """The policy in our words."""
        return RestartPolicy(name=self.name, max_retries=0 if self.name == "no" else self.count or 0)


class HealthcheckBody(Body):
    """A command that tells whether a container is well; times in seconds."""

    cmd: ShortText
    interval: Count | None = None
    retries: Count | None = None
    timeout: Count | None = None

    @property
    def value(self) -> Healthcheck:
        """The check in our words."""
        return Healthcheck(
            test=self.cmd,
            interval_s=self.interval or 0,
            timeout_s=self.timeout or 0,
            retries=self.retries or 0,
        )


class MountBody(Body):
    """A file for a container. Volumes are not served."""

    type: Literal["bind", "volume"] | None = None
    source: Base64 | None = None
    size: Count | None = None
    destination: Annotated[StrictStr, Field(min_length=1, max_length=4096, pattern="^/")]

    @model_validator(mode="before")
    @classmethod
    def _no_volumes(cls, data: Any) -> Any:  # noqa: ANN401 - whatever was sent
        if isinstance(data, dict) and data.get("type") != "bind":
            raise ValueError("volumes are not supported; a file is given with type=bind,source=FILE,destination=PATH")
        return data

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.source is None:
            raise ValueError("source is missing: the file's content in base64")
        return self

    @property
    def value(self) -> Mount:
        """The mount in our words."""
        return Mount(destination=self.destination, content=self.source or "")


class NetBody(Body):
    """One interface: a port, or a network on which a port is made; each by name or id.

    Addresses beside a port must be its own.
    """

    model_config = ConfigDict(validate_by_name=False)

    network: ShortText | None = None
    port: ShortText | None = None
    ipv4: IPv4Address | None = Field(default=None, alias="v4-fixed-ip")
    ipv6: IPv6Address | None = Field(default=None, alias="v6-fixed-ip")

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, data: Any) -> Any:  # noqa: ANN401 - whatever was sent
        # As in the example of Zun's specification, which has all four keys.
        return {key: value for key, value in data.items() if value != ""} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.network is None) == (self.port is None):
            raise ValueError("write either network or port")
        return self

    @property
    def value(self) -> NetworkWish:
        """The item in our words."""
        addresses = tuple(address for address in (self.ipv4, self.ipv6) if address is not None)
        return NetworkWish(port=self.port, network=self.network, addresses=addresses)


class CreateBody(Body):
    """A container to be made. A null says the same as leaving a field out."""

    image: ImageName
    name: Name | None = None
    command: Words = None
    entrypoint: tuple[StrictStr, ...] | None = None
    cpu: Cpu | None = None
    cpu_policy: Literal["dedicated", "shared"] | None = None
    memory: Memory | None = None
    disk: Disk | None = None
    environment: Texts | None = None
    labels: Texts | None = None
    workdir: Annotated[StrictStr, Field(max_length=4096)] | None = None
    # Unlike the others, it must not be null (Zun).
    hostname: Hostname = ""
    image_driver: ImageDriver = None
    image_pull_policy: Pull = None
    restart_policy: RestartPolicyBody | None = None
    interactive: bool | None = None
    tty: bool | None = None
    auto_heal: bool | None = None
    auto_remove: StrictBool | None = None
    privileged: bool | None = None
    security_groups: tuple[ShortText, ...] | None = None
    exposed_ports: dict[str, dict[str, Any]] | None = None
    hints: dict[str, Any] | None = None
    nets: tuple[NetBody, ...] | None = None
    mounts: tuple[MountBody, ...] | None = None
    availability_zone: ShortText | None = None
    host: ShortText | None = None
    runtime: ShortText | None = None
    registry: ShortText | None = None
    healthcheck: HealthcheckBody | None = None

    @field_validator("exposed_ports")
    @classmethod
    def _are_ports(cls, ports: dict[str, dict[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
        for port, nothing in (ports or {}).items():
            match = _PORT.fullmatch(port)
            if match is None or not 1 <= int(match[1]) <= _LAST_PORT or nothing:
                raise ValueError('write ports as {"80/tcp": {}}, with tcp or udp')
        return ports

    @field_validator("registry")
    @classmethod
    def _no_registries(cls, registry: str | None) -> None:
        if registry is not None:
            raise ValueError("registries are not supported; name the registry in the image")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.security_groups and self.exposed_ports:
            raise ValueError("security_groups and exposed_ports exclude each other")
        if self.auto_remove and self.restart_policy is not None and self.restart_policy.name != "no":
            raise ValueError("auto_remove and restart_policy exclude each other")
        return self

    def spec(self, *, pull_policy: str) -> ContainerSpec:
        """Return the container in our words; ``pull_policy`` is for one that says none."""
        return ContainerSpec(
            name=self.name or invented_name(),
            image=self.image,
            image_driver=self.image_driver or "docker",
            image_pull_policy=self.image_pull_policy or PullPolicy(pull_policy),
            command=self.command or None,
            entrypoint=self.entrypoint or None,
            cpu=1.0 if self.cpu is None else self.cpu,
            cpu_policy=self.cpu_policy,
            memory_mib=512 if self.memory is None else self.memory,
            disk_gib=self.disk,
            environment=self.environment or {},
            labels=self.labels or {},
            workdir=self.workdir,
            hostname=self.hostname or None,
            restart_policy=self.restart_policy.value if self.restart_policy else None,
            interactive=bool(self.interactive),
            tty=bool(self.tty),
            auto_heal=bool(self.auto_heal),
            auto_remove=bool(self.auto_remove),
            privileged=bool(self.privileged),
            security_groups=None if self.security_groups is None else tuple(dict.fromkeys(self.security_groups)),
            exposed_ports=_docker_ports(self.exposed_ports or {}),
            hints=self.hints or {},
            mounts=tuple(mount.value for mount in self.mounts or ()),
            availability_zone=self.availability_zone,
            host=self.host,
            runtime=self.runtime,
            healthcheck=self.healthcheck.value if self.healthcheck else None,
        )


class ChangeBody(Body):
    """What PATCH may change of a container."""

    name: Name | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    auto_heal: bool | None = None

    @property
    def value(self) -> ContainerChange:
        """The change in our words."""
        return ContainerChange(name=self.name, cpu=self.cpu, memory_mib=self.memory, auto_heal=self.auto_heal)


def invented_name() -> str:
    """Return a name for a container that was given none, in Zun's manner."""
    return f"{random.choice(_LETTERS)}-{random.randint(1, 99)}-container"  # noqa: S311 - a name is no secret


def _docker_ports(ports: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(port if "/" in port else f"{port}/tcp" for port in ports))
