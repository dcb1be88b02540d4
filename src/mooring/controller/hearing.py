"""What a container becomes by its node's word: rules without I/O."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from mooring.container.model import Container, InterfacePhase
from mooring.container.states import Status, TaskState, Verb
from mooring.controller import steps
from mooring.pci.address import PciAddress
from mooring.rpc.messages import ContainerReport, Failure, FailureKind

GONE: Final = "nothing of the container is left on its host, though it was not deleted; 'rebuild' makes it anew"
"""Why a container is Error whose node does not find it."""

_TASKS: Final = {state.value: state for state in TaskState}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A container after its node's word. ``ended`` says that what it was told has ended, with ``message`` if it failed.

    ``refusal`` is why the node cannot have it, though another might.
    """

    container: Container
    ended: bool = False
    message: str | None = None
    refusal: str | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether who has asked can be told: a port that was taken out of a container has yet to be given back."""
        return self.ended and (self.message is not None or not steps.is_leaving(self.container))


def hear(container: Container, report: ContainerReport | None, *, lost: Collection[PciAddress] = ()) -> Heard:
    """Return what a container becomes when its host's node tells of it (None: it does not know it).

    ``lost`` are devices that the host does not have any more. What a node says of a container that it was not given, or
    of an operation that is not the last one, changes nothing.
    """
    if not container.is_given:
        return Heard(container=container)
    if report is None:
        return Heard(container=container if container.is_awaited else _gone(container))
    if container.is_awaited and report.done is not None and report.done.number == container.operation.number:
        heard = _ended(replace(container, done=report.done.number), report, report.done.failure)
    else:
        heard = Heard(container=container)
    if heard.container.is_given:
        heard = replace(heard, container=_seen(heard.container, report, lost))
    return heard


def _ended(container: Container, report: ContainerReport, failure: Failure | None) -> Heard:
    """Judge an operation that the node has carried out or failed in."""
    is_left = report.status is not Status.DELETED
    match container.operation.verb:
        case Verb.CREATE if failure is not None:
            return _not_created(container, failure, is_left=is_left)
        case Verb.DELETE if failure is None:
            return Heard(container=replace(container, is_given=False))
        case Verb.DELETE:
            # It can be asked for again: nothing is given back while something may be left.
            container = replace(container, is_going=False, status=Status.ERROR)
        case Verb.REBUILD if failure is not None and not is_left:
            container = replace(container, status=Status.ERROR)
        case Verb.ATTACH if failure is not None:
            container = _marked(container, InterfacePhase.BOUND, InterfacePhase.LEAVING, but=report.attached)
        case Verb.DETACH if failure is not None:
            container = _marked(container, InterfacePhase.LEAVING, InterfacePhase.BOUND)
    message = None if failure is None else failure.message
    heard = Heard(container=replace(container, status_reason=message or report.reason), ended=True, message=message)
    return replace(heard, container=replace(heard.container, task_state=None)) if heard.is_over else heard


def _not_created(container: Container, failure: Failure, *, is_left: bool) -> Heard:
    """Go on to another host after a refusal, or end as Error; not before nothing is left on this one."""
    host = container.host or ""
    if failure.kind is FailureKind.REFUSED:
        noted = replace(container, tried={**container.tried, host: failure.message})
        after = steps.cleared(noted) if is_left else steps.returned(noted)
        return Heard(container=after, refusal=failure.message)
    ended = replace(container, status=Status.ERROR, status_reason=failure.message, status_detail=None, task_state=None)
    after = steps.cleared(ended) if is_left else replace(ended, is_given=False)
    return Heard(container=after, ended=True, message=failure.message)


def _marked(
    container: Container, seen: InterfacePhase, then: InterfacePhase, *, but: Collection[str] = ()
) -> Container:
    return replace(
        container,
        interfaces=tuple(
            replace(each, phase=then) if each.phase is seen and each.port_id not in but else each
            for each in container.interfaces
        ),
    )


def _seen(container: Container, report: ContainerReport, lost: Collection[PciAddress]) -> Container:
    """Take over what is seen, where nothing is under way that is shown instead."""
    container = replace(
        container,
        status_detail=report.detail,
        runtime_id=report.runtime_id or container.runtime_id,
        command=report.command if report.runtime_id else container.command,
        entrypoint=report.entrypoint if report.runtime_id else container.entrypoint,
        started_at=report.started_at or container.started_at,
    )
    if container.is_awaited:
        return _under_way(container, report)
    if container.operation.verb is Verb.DELETE:
        return container
    if report.status is Status.DELETED:
        return _gone(container)
    is_over = container.status in (Status.UNKNOWN, Status.ERROR) and report.status is not container.status
    reason = report.reason or (None if is_over else container.status_reason)
    container = replace(container, status=report.status, status_reason=_losses(container, lost) or reason)
    return _moved(container, report)


def _under_way(container: Container, report: ContainerReport) -> Container:
    verb, status = container.operation.verb, report.status
    if container.is_going:
        status = Status.DELETING
    elif verb is Verb.DELETE:
        status = container.status
    elif verb is Verb.CREATE:
        status = Status.CREATING
    elif verb is Verb.REBUILD:
        status = Status.REBUILDING
    elif status is Status.DELETED:
        status = container.status
    reason = None if container.status is Status.UNKNOWN else container.status_reason
    task = _TASKS.get(report.progress or "", container.task_state)
    return replace(container, status=status, status_reason=reason, task_state=task)


def _moved(container: Container, report: ContainerReport) -> Container:
    """Let what has ended go, or what is not well be made anew, where its owner wants that."""
    if report.done is None or report.done.number != container.operation.number:
        return container  # a late report, of how it was before
    has_run = container.started_at is not None
    if container.spec.auto_remove and has_run and container.status in (Status.STOPPED, Status.DEAD):
        return steps.going(container, {}, action=None)
    is_ill = report.health == "unhealthy" and container.status is Status.RUNNING
    return steps.rebuilding(container, action=None) if is_ill and _may_heal(container) else container


def _gone(container: Container) -> Container:
    """Show that a container is not there. When that is so a second time it is true: one report may be late."""
    if container.operation.verb is Verb.DELETE:
        return container
    if container.status is not Status.ERROR:
        return replace(container, status=Status.ERROR, status_reason=GONE, status_detail=None)
    if container.status_reason == GONE and container.spec.auto_remove:
        return steps.going(container, {}, action=None)
    if container.status_reason == GONE and _may_heal(container):
        return steps.rebuilding(container, action=None)
    return container


def _may_heal(container: Container) -> bool:
    return container.spec.auto_heal and all(each.phase is InterfacePhase.BOUND for each in container.interfaces)


def _losses(container: Container, lost: Collection[PciAddress]) -> str | None:
    missing = [str(device.address) for device in container.devices if device.address in lost]
    if not missing:
        return None
    return f"PCI device {', '.join(missing)} has left host {container.host}; 'delete' the container and create it anew"
