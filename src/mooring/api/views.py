"""Containers as Zun's clients read them: every key is there, whatever is known."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mooring.container.model import ClaimedDevice, Container


class View(BaseModel):
    """What an answer holds."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=False, serialize_by_alias=True)


class Link(View):
    """Where something is."""

    rel: str
    href: str


class AddressView(View):
    """One address of a container."""

    addr: str
    version: int
    port: str
    subnet_id: str
    preserve_on_delete: bool


class RestartPolicyView(View):
    """When a container is started again by itself; the count is a text, as clients expect."""

    name: str = Field(alias="Name")
    count: str = Field(alias="MaximumRetryCount")


class HealthcheckView(View):
    """A command that tells whether a container is well; times in seconds."""

    test: str
    interval: int
    retries: int
    timeout: int


class ContainerView(View):
    """A container as its owner sees it."""

    uuid: str
    name: str
    project_id: str
    user_id: str
    links: tuple[Link, ...]
    image: str
    image_driver: str
    command: tuple[str, ...] | None
    entrypoint: tuple[str, ...] | None
    status: str
    status_reason: str | None
    status_detail: str | None
    task_state: str | None
    cpu: float
    cpu_policy: str | None
    memory: str
    disk: int | None
    environment: dict[str, str]
    labels: dict[str, str]
    workdir: str | None
    hostname: str | None
    ports: tuple[int, ...]
    addresses: dict[str, list[AddressView]]
    security_groups: tuple[str, ...]
    registry_id: None = None
    restart_policy: RestartPolicyView | None
    healthcheck: HealthcheckView | None
    interactive: bool
    tty: bool
    auto_remove: bool
    auto_heal: bool
    created_at: str
    updated_at: str | None


class HeldDeviceView(View):
    """A device that a container has: for a port, or by an alias of the operator's."""

    request: str
    port_id: str | None
    alias: str | None
    vnic_type: str | None
    address: str
    parent: str | None
    vendor_info: str
    physical_network: str | None
    numa_node: int | None


class PlacedContainerView(ContainerView):
    """A container as an administrator sees it: where it is, and on which devices."""

    host: str | None
    image_pull_policy: str
    privileged: bool
    runtime: str | None
    pci_devices: tuple[HeldDeviceView, ...]


class FixedIpView(View):
    """One address of a port."""

    ip_address: str
    version: int
    subnet_id: str


class NetworkView(View):
    """One port of a container."""

    net_id: str
    port_id: str | None
    fixed_ips: tuple[FixedIpView, ...]


class NetworksView(View):
    """The ports of a container."""

    networks: tuple[NetworkView, ...]


def container_view(container: Container, *, root: str, placed: bool) -> ContainerView:
    """Return a container as its owner sees it or, ``placed``, as an administrator does."""
    shown = _owners_keys(container, root)
    if not placed:
        return ContainerView(**shown)
    spec = container.spec
    return PlacedContainerView(
        **shown,
        host=container.host,
        image_pull_policy=spec.image_pull_policy,
        privileged=spec.privileged,
        runtime=spec.runtime,
        pci_devices=tuple(_held_devices(container)),
    )


def networks_view(container: Container) -> NetworksView:
    """Return the ports of a container in the order of its interfaces."""
    return NetworksView(
        networks=tuple(
            NetworkView(
                net_id=interface.network_id,
                port_id=interface.port_id,
                fixed_ips=tuple(
                    FixedIpView(ip_address=str(ip.address), version=ip.address.version, subnet_id=ip.subnet_id)
                    for ip in (interface.port.fixed_ips if interface.port else ())
                ),
            )
            for interface in container.interfaces
        )
    )


def with_zone(moment: datetime | None) -> str | None:
    """Write a time as containers have it: ``2026-01-05T09:00:00+00:00``."""
    return None if moment is None else moment.astimezone(UTC).isoformat()


def without_zone(moment: datetime | None) -> str | None:
    """Write a time as actions and services have it: UTC, but not saying so."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def _owners_keys(container: Container, root: str) -> dict[str, Any]:
    spec = container.spec
    policy, check = spec.restart_policy, spec.healthcheck
    return {
        "uuid": container.uuid,
        "name": spec.name,
        "project_id": container.project_id,
        "user_id": container.user_id,
        "links": (
            Link(rel="self", href=f"{root}/v1/containers/{container.uuid}"),
            Link(rel="bookmark", href=f"{root}/containers/{container.uuid}"),
        ),
        "image": spec.image,
        "image_driver": spec.image_driver,
        "command": spec.command or container.command,
        "entrypoint": spec.entrypoint or container.entrypoint,
        "status": container.status.value,
        "status_reason": container.status_reason,
        "status_detail": container.status_detail,
        "task_state": container.task_state and container.task_state.value,
        "cpu": spec.cpu,
        "cpu_policy": spec.cpu_policy,
        "memory": str(spec.memory_mib),
        "disk": spec.disk_gib,
        "environment": dict(spec.environment),
        "labels": dict(spec.labels),
        "workdir": spec.workdir,
        "hostname": spec.hostname,
        "ports": tuple(int(port.partition("/")[0]) for port in spec.exposed_ports),
        "addresses": _addresses(container),
        "security_groups": spec.security_groups or (),
        "restart_policy": policy and RestartPolicyView(name=policy.name, count=str(policy.max_retries)),
        "healthcheck": check
        and HealthcheckView(test=check.test, interval=check.interval_s, retries=check.retries, timeout=check.timeout_s),
        "interactive": spec.interactive,
        "tty": spec.tty,
        "auto_remove": spec.auto_remove,
        "auto_heal": spec.auto_heal,
        "created_at": with_zone(container.created_at),
        "updated_at": with_zone(container.updated_at),
    }


def _addresses(container: Container) -> dict[str, list[AddressView]]:
    found: dict[str, list[AddressView]] = {}
    for interface in container.interfaces:
        port = interface.port
        for ip in port.fixed_ips if port else ():
            found.setdefault(interface.network_id, []).append(
                AddressView(
                    addr=str(ip.address),
                    version=ip.address.version,
                    port=interface.port_id or "",
                    subnet_id=ip.subnet_id,
                    preserve_on_delete=interface.preserve,
                )
            )
    return found


def _held_devices(container: Container) -> Iterable[HeldDeviceView]:
    for interface in container.interfaces:
        if interface.device is not None:
            port, kind = interface.port_id, interface.vnic_type
            yield _held(interface.device, request=interface.id, port_id=port, alias=None, vnic_type=kind)
    for claim in container.aliases:
        if claim.device is not None:
            yield _held(claim.device, request=claim.id, port_id=None, alias=claim.alias, vnic_type=None)


def _held(
    device: ClaimedDevice, *, request: str, port_id: str | None, alias: str | None, vnic_type: str | None
) -> HeldDeviceView:
    return HeldDeviceView(
        request=request,
        port_id=port_id,
        alias=alias,
        vnic_type=vnic_type,
        address=str(device.address),
        parent=None if device.parent is None else str(device.parent),
        vendor_info=device.vendor_info,
        physical_network=device.physical_network,
        numa_node=device.numa_node,
    )
