"""Rows of the database, and the values that they are in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, TypeAlias

from pydantic import TypeAdapter
from sqlalchemy import Row

from mooring.container.model import Container
from mooring.db.api import Action, Device, Event, Host
from mooring.db.tables import containers, devices
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind
from mooring.rpc.messages import DeviceReport, DeviceState, HostFacts

AnyRow: TypeAlias = "Row[*tuple[Any, ...]]"

_CONTAINER: Final = TypeAdapter(Container)

CONTAINER_COLUMNS: Final = (containers.c.id, containers.c.revision, containers.c.due_at, containers.c.body)

REPORTED: Final = tuple(devices.c[name] for name in DeviceReport.model_fields)
"""The columns of a device that are its node's words, in the order of a DeviceReport's fields."""


def read_container(row: AnyRow) -> Container:
    """Return the container of a row of CONTAINER_COLUMNS."""
    # What changes without the body, or is known only when it is written, counts from its column.
    return replace(_CONTAINER.validate_json(row.body), row=row.id, revision=row.revision, due_at=row.due_at)


def container_values(container: Container) -> Mapping[str, object]:
    """Return the columns of a container."""
    spec = container.spec
    return {
        "uuid": container.uuid,
        "project_id": container.project_id,
        "user_id": container.user_id,
        "name": spec.name,
        "image": spec.image,
        "status": container.status,
        "task_state": container.task_state,
        "host": container.host,
        "cpu": spec.cpu,
        "memory_mib": spec.memory_mib,
        "disk_gib": spec.disk_gib or 0,
        "auto_remove": spec.auto_remove,
        "created_at": container.created_at,
        "due_at": container.due_at,
        "revision": container.revision,
        "body": _CONTAINER.dump_json(container).decode(),
    }


@lru_cache(maxsize=4096)
def read_facts(text: str) -> HostFacts:
    """Return what a host is. Few hosts change, and many are alike."""
    return HostFacts.model_validate_json(text)


def read_host(row: AnyRow) -> Host:
    """Return the host of a row that ``with_usage`` has found."""
    return Host(
        row=row.id,
        uuid=row.uuid,
        name=row.name,
        facts=read_facts(row.facts),
        boot_id=row.boot_id,
        seen_at=row.seen_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        report_count=row.report_count,
        disabled=row.disabled,
        disabled_reason=row.disabled_reason,
        forced_down=row.forced_down,
        # Sums of whole numbers are decimal ones in some databases.
        used_cpus=row.cpu or 0.0,
        used_memory_mib=int(row.memory_mib or 0),
        used_disk_gib=int(row.disk_gib or 0),
        containers=row.containers or 0,
    )


def device_values(report: DeviceReport) -> tuple[object, ...]:
    """Return the REPORTED columns of a device."""
    return (
        str(report.address),
        report.kind.value,
        report.vendor_id,
        report.product_id,
        None if report.parent is None else str(report.parent),
        report.numa_node,
        report.physical_network,
        report.trusted,
        report.vf_driver,
        report.mac,
        report.label,
        report.state.value,
        report.holder,
        report.detail,
    )


def read_device(row: AnyRow, *, host: str, container: str | None, is_blocked: bool) -> Device:
    """Return the device of a row."""
    report = DeviceReport(
        address=PciAddress.parse(row.address),
        kind=DeviceKind(row.kind),
        vendor_id=row.vendor_id,
        product_id=row.product_id,
        parent=_address(row.parent),
        numa_node=row.numa_node,
        physical_network=row.physical_network,
        trusted=row.trusted,
        vf_driver=row.vf_driver,
        mac=row.mac,
        label=row.label,
        state=DeviceState(row.state),
        holder=row.holder,
        detail=row.detail,
    )
    return Device(row=row.id, host=host, report=report, container=container, request=row.request, is_blocked=is_blocked)


def read_action(row: AnyRow, events: tuple[Event, ...] = ()) -> Action:
    """Return the action of a row."""
    return Action(
        request_id=row.request_id,
        container=row.container,
        action=row.action,
        project_id=row.project_id,
        user_id=row.user_id,
        start=row.start,
        finish=row.finish,
        message=row.message,
        events=events,
    )


def read_event(row: AnyRow) -> Event:
    """Return the event of a row."""
    return Event(name=row.name, start=row.start, finish=row.finish, result=row.result, traceback=row.traceback)


def _address(text: str | None) -> PciAddress | None:
    return None if text is None else PciAddress.parse(text)
