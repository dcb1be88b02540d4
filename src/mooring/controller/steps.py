"""What comes next for a container, and what it becomes by it: rules without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from mooring.container.model import Container, Interface, InterfacePhase, Operation
from mooring.container.states import TASK_OF, Status, Verb


class Step(StrEnum):
    """What a worker does for a container next. The values name the events of its actions."""

    RESERVE = "reserve_port"
    PLACE = "schedule"
    BIND = "bind_port"
    GIVE = "give_to_node"
    AWAIT = "wake_node"
    LEAVE = "give_port_back"
    RETURN = "choose_another_host"
    RELEASE = "give_all_back"
    REMOVE = "remove"
    REST = "rest"


def next_step(container: Container) -> Step:
    """Return what is to be done for a container now.

    ``is_given`` says that a host may have something of it. Nothing is given back while it has: the node's word that all
    is gone clears it (see hearing).
    """
    phases = {interface.phase for interface in container.interfaces}
    if container.is_awaited:
        return Step.AWAIT
    if container.is_going:
        return Step.REST if container.is_given else Step.REMOVE
    if not container.is_given and container.status is Status.ERROR:
        holds = container.interfaces or container.aliases or container.host
        return Step.RELEASE if holds else Step.REST
    if not container.is_given and container.operation.verb is Verb.DELETE:
        return Step.RETURN
    if InterfacePhase.LEAVING in phases:
        return Step.LEAVE
    return _onwards(container, phases)


def _onwards(container: Container, phases: set[InterfacePhase]) -> Step:
    if InterfacePhase.ASKED in phases:
        return Step.RESERVE
    lacks_device = any(claim.device is None for claim in container.aliases)
    if InterfacePhase.RESERVED in phases or container.host is None or lacks_device:
        return Step.PLACE
    if InterfacePhase.CLAIMED in phases:
        return Step.BIND
    return Step.REST if container.is_given else Step.GIVE


def with_interface(container: Container, changed: Interface) -> Container:
    """Return a container with an interface in place of the one that has its id."""
    return replace(
        container, interfaces=tuple(changed if each.id == changed.id else each for each in container.interfaces)
    )


def in_phase(container: Container, phase: InterfacePhase) -> Interface:
    """Return the first interface in a phase; there must be one."""
    return next(interface for interface in container.interfaces if interface.phase is phase)


def is_leaving(container: Container) -> bool:
    """Tell whether a container has a port that is to be given back, or to be taken out of it first."""
    return any(interface.phase is InterfacePhase.LEAVING for interface in container.interfaces)


def told(
    container: Container, verb: Verb, arguments: Mapping[str, str | int | bool] | None = None, *, action: str | None
) -> Container:
    """Return a container whose node is told something new."""
    operation = Operation(number=container.operation.number + 1, verb=verb, arguments=arguments or {})
    return replace(container, operation=operation, task_state=TASK_OF.get(verb), action=action)


def rebuilding(container: Container, *, action: str | None) -> Container:
    """Return a container that is to be made anew on its host."""
    was_running = container.status in (Status.RUNNING, Status.ERROR) and container.started_at is not None
    container = told(container, Verb.REBUILD, {"run": was_running}, action=action)
    return replace(container, status=Status.REBUILDING, status_reason=None)


def placed(container: Container) -> Container:
    """Return a container all of whose reserved ports are claimed; ``Containers.claim`` fills host and devices."""
    return replace(
        container,
        interfaces=tuple(
            replace(each, phase=InterfacePhase.CLAIMED) if each.phase is InterfacePhase.RESERVED else each
            for each in container.interfaces
        ),
    )


def given(container: Container) -> Container:
    """Return a container whose node may see it; a port that was attached becomes an operation of its own."""
    if not container.is_given:
        return replace(container, is_given=True, status_detail=None)
    return told(container, Verb.ATTACH, action=container.action)


def returned(container: Container) -> Container:
    """Return a container that has no host and no device, and can be placed again; its ports stay reserved."""
    operation = Operation(
        number=container.operation.number + 1, verb=Verb.CREATE, arguments=_creation_arguments(container)
    )
    return replace(
        container,
        host=None,
        is_given=False,
        operation=operation,
        interfaces=tuple(
            each if each.phase is InterfacePhase.ASKED else replace(each, phase=InterfacePhase.RESERVED, device=None)
            for each in container.interfaces
        ),
        aliases=tuple(replace(claim, device=None) for claim in container.aliases),
    )


def refused(container: Container, host: str, reason: str) -> Container:
    """Return a container that a host has refused, and of which nothing is there."""
    return returned(replace(container, tried={**container.tried, host: reason}))


def cleared(container: Container) -> Container:
    """Return a container that did not come to be, and of which its host is to keep nothing."""
    operation = Operation(
        number=container.operation.number + 1, verb=Verb.DELETE, arguments=_creation_arguments(container)
    )
    return replace(container, operation=operation)


def failed(container: Container, reason: str) -> Container:
    """Return a container after a failure that no other host can heal.

    One that is on no host ends as Error; one that is keeps its status, and loses the port that was to be attached.
    """
    if not container.is_given:
        return replace(container, status=Status.ERROR, status_reason=reason, status_detail=None, task_state=None)
    pending = InterfacePhase.ASKED, InterfacePhase.RESERVED, InterfacePhase.CLAIMED
    return replace(
        container,
        status_reason=reason,
        task_state=None,
        interfaces=tuple(
            replace(each, phase=InterfacePhase.LEAVING) if each.phase in pending else each
            for each in container.interfaces
        ),
    )


def released(container: Container) -> Container:
    """Return a container that failed and holds nothing any more."""
    return replace(container, interfaces=(), aliases=(), host=None)


def without(container: Container, interface: Interface) -> Container:
    """Return a container that does not have an interface."""
    return replace(container, interfaces=tuple(each for each in container.interfaces if each.id != interface.id))


def going(container: Container, arguments: Mapping[str, str | int | bool], *, action: str | None) -> Container:
    """Return a container that is to be deleted."""
    return replace(told(container, Verb.DELETE, arguments, action=action), is_going=True, status=Status.DELETING)


def keeps(container: Container | None, interface: Interface) -> bool:
    """Tell whether a container, as it is by now, has a use for the port that an interface got meanwhile."""
    if container is None or container.is_going or (container.status is Status.ERROR and not container.is_given):
        return False
    current = next((each for each in container.interfaces if each.id == interface.id), None)
    if current is None or current.phase is InterfacePhase.LEAVING:
        return False
    return current.port_id in (None, interface.port_id)


def _creation_arguments(container: Container) -> Mapping[str, str | int | bool]:
    """Return what a creation was asked with; an operation that clears a host after it keeps that in mind."""
    return {key: value for key, value in container.operation.arguments.items() if key == "run"}
