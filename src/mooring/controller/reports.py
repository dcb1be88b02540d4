"""What nodes report, and what they are told to have."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from functools import cached_property

import structlog

from mooring.container.model import Container, InterfacePhase
from mooring.controller.clock import Clock, utc_now
from mooring.controller.hearing import Heard, hear
from mooring.controller.steps import Step, next_step
from mooring.db.api import Event, Store
from mooring.errors import Outdated
from mooring.pci.address import PciAddress
from mooring.rpc.messages import (
    ContainerReport,
    DeviceState,
    NodeReport,
    Wanted,
    WantedContainer,
    WantedInterface,
    WantedOperation,
)

_TRIES = 5
_IDLE = (Step.REST, Step.AWAIT)

log = structlog.get_logger(__name__)


class NodeReports:
    """ControllerEnd, over the database. ``wake`` lets the workers look at what a report has made due."""

    def __init__(self, *, store: Store, wake: Callable[[], None], clock: Clock = utc_now) -> None:
        self._store = store
        self._wake = wake
        self._clock = clock

    def sync(self, report: NodeReport) -> Wanted:
        """Take note of what a node sees, and tell it all that is wanted of it; see ControllerEnd."""
        host = self._store.note_host(
            report.host, boot_id=report.boot_id, facts=report.facts, devices=report.devices, now=self._clock()
        )
        placed = self._store.wanted_on(report.host)
        # A host that the operator has forced down is believed to be gone, whatever it says.
        if not host.forced_down:
            placed = self._hear_all(placed, report)
        return Wanted(
            service=self._service,
            containers=tuple(wanted(container) for container in placed if container.is_given),
        )

    @cached_property
    def _service(self) -> str:
        return self._store.service_id()

    def _hear_all(self, placed: Collection[Container], report: NodeReport) -> tuple[Container, ...]:
        told = {each.uuid: each for each in report.containers}
        there = {device.address for device in report.devices if device.state is not DeviceState.LOST}
        held = {device.address for container in placed for device in container.devices}
        heard = (self._hear(container, told.get(container.uuid), held - there) for container in placed)
        return tuple(container for container in heard if container is not None)

    def _hear(
        self, container: Container, report: ContainerReport | None, lost: Collection[PciAddress]
    ) -> Container | None:
        """Write what a node tells of one container; return it as it is then, None when it is not of that host now."""
        host = container.host
        for _ in range(_TRIES):
            heard = hear(container, report, lost=lost)
            if heard.container == container:
                return container
            try:
                return self._write(container, heard)
            except Outdated:
                current = self._store.container(container.uuid)
            if current is None or current.host != host:
                return None
            container = current
        # Others keep changing it; the next report is as good.
        return container

    def _write(self, before: Container, heard: Heard) -> Container:
        now, after = self._clock(), replace(heard.container, updated_at=self._clock())
        is_due = next_step(before) in _IDLE and next_step(after) not in _IDLE
        if is_due:
            after = replace(after, due_at=now)
        self._record(before, heard, now)
        saved = self._store.save(after)
        if saved.status is not before.status:
            log.info("container.changed", container=saved.uuid, status=saved.status, reason=saved.status_reason)
        if is_due:
            self._wake()
        return saved

    def _record(self, before: Container, heard: Heard, now: datetime) -> None:
        """Write the history before what it tells of; it does no harm there if that has to be done again."""
        if before.action is None or not (heard.ended or heard.refusal):
            return
        problem = heard.message or heard.refusal
        event = Event(
            name=f"{before.operation.verb} on {before.host}",
            start=now,
            finish=now,
            result="Success" if problem is None else "Error",
            traceback=problem,
        )
        self._store.add_event(before.uuid, before.action, event)
        if heard.is_over:
            self._store.finish_action(before.uuid, before.action, now=now, message=heard.message)


def wanted(container: Container) -> WantedContainer:
    """Return what a node is told of a container that it was given."""
    operation = container.operation
    return WantedContainer(
        uuid=container.uuid,
        spec=container.spec,
        interfaces=tuple(
            WantedInterface(
                port=each.port,
                network=each.network,
                subnets=each.subnets,
                limits=each.limits,
                device=None if each.device is None else each.device.address,
            )
            for each in container.interfaces
            if each.phase is InterfacePhase.BOUND and each.port is not None and each.network is not None
        ),
        devices=tuple(claim.device.address for claim in container.aliases if claim.device is not None),
        operation=WantedOperation(number=operation.number, verb=operation.verb, arguments=operation.arguments),
    )
