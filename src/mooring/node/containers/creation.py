"""What Docker is told to make, from what a container's owner asked for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mooring.container.spec import ContainerSpec, Healthcheck
from mooring.node.containers.runtime import CONTAINER_LABEL, NUMBER_LABEL, SERVICE_LABEL, Plan

_CPU_PERIOD_US: Final = 100_000
_SECOND_NS: Final = 1_000_000_000
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """Arguments of docker-py's ``create_container``, and of its ``create_host_config``."""

    arguments: Mapping[str, Any]
    host: Mapping[str, Any]


def container_name(uuid: str) -> str:
    """Name a container in Docker."""
    return f"mooring-{uuid}"


def creation_of(plan: Plan) -> Creation:
    """Return what Docker is told; what the owner left open, the image or Docker decides."""
    spec = plan.spec
    own = {CONTAINER_LABEL: plan.uuid, SERVICE_LABEL: plan.service, NUMBER_LABEL: str(plan.number)}
    arguments: dict[str, Any] = {
        "name": container_name(plan.uuid),
        "image": spec.image,
        "command": _listed(spec.command),
        "entrypoint": _listed(spec.entrypoint),
        "environment": dict(spec.environment),
        "labels": {**spec.labels, **own},
        "working_dir": spec.workdir,
        "hostname": spec.hostname,
        "stdin_open": spec.interactive,
        "tty": spec.tty,
        "ports": [tuple(port.split("/")) for port in spec.exposed_ports],
        "healthcheck": None if spec.healthcheck is None else _health(spec.healthcheck),
    }
    return Creation(arguments=arguments, host=_host(plan))


def limits_of(spec: ContainerSpec) -> dict[str, Any]:
    """Return the limits of a container, by docker-py's names, which are the same at creation and later.

    Swap is what Docker gives by default, as much again as memory; to tell it keeps a larger memory from being refused.
    """
    memory = spec.memory_mib * _MIB
    return {
        "cpu_period": _CPU_PERIOD_US,
        "cpu_quota": round(spec.cpu * _CPU_PERIOD_US),
        "mem_limit": memory,
        "memswap_limit": 2 * memory,
    }


def _host(plan: Plan) -> dict[str, Any]:
    spec = plan.spec
    host: dict[str, Any] = {
        **limits_of(spec),
        "network_mode": "none" if plan.link is None else plan.link.network,
        "privileged": spec.privileged,
        "auto_remove": spec.auto_remove,
        "runtime": spec.runtime,
        "binds": [f"{source}:{destination}:ro" for source, destination in plan.mounts],
    }
    if spec.restart_policy is not None:
        policy = spec.restart_policy
        host["restart_policy"] = {"Name": policy.name, "MaximumRetryCount": policy.max_retries}
    if plan.device_nodes:
        host["devices"] = [f"{node}:{node}:rwm" for node in plan.device_nodes]
        # What such a program has the device write to must stay in memory.
        host["ulimits"] = [{"Name": "memlock", "Soft": -1, "Hard": -1}]
    return host


def _health(check: Healthcheck) -> dict[str, Any]:
    return {
        "test": ["CMD-SHELL", check.test],
        "interval": check.interval_s * _SECOND_NS,
        "timeout": check.timeout_s * _SECOND_NS,
        "retries": check.retries,
    }


def _listed(words: tuple[str, ...] | None) -> list[str] | None:
    return list(words) if words else None
