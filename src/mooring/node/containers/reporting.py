"""What a node sees of its containers, in the words of its controllers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mooring.container.states import Status, TaskState, Verb
from mooring.node.containers.inspection import detail_of, status_of
from mooring.node.containers.memory import Remembered
from mooring.node.containers.runtime import Found
from mooring.rpc.messages import ContainerReport

_UNDER_WAY: Final = {
    Verb.CREATE: Status.CREATING,
    Verb.REBUILD: Status.REBUILDING,
    Verb.DELETE: Status.DELETING,
}


def reports(
    found: Mapping[str, Found], known: Mapping[str, Remembered], progress: Callable[[str], TaskState | None]
) -> Iterator[ContainerReport]:
    """Yield what is to be told of each container that is on the host, or is wanted there."""
    for uuid in sorted(found.keys() | known.keys()):
        yield _report(uuid, found.get(uuid), known.get(uuid), progress(uuid))


def _report(uuid: str, found: Found | None, known: Remembered | None, progress: TaskState | None) -> ContainerReport:
    done = None if known is None else known.done
    step = None if progress is None else progress.value
    status = _status(found, known)
    if found is None:
        return ContainerReport(uuid=uuid, status=status, done=done, progress=step)
    return ContainerReport(
        uuid=uuid,
        status=status,
        detail=detail_of(found),
        reason=found.error or None,
        runtime_id=found.runtime_id,
        started_at=found.started_at,
        exit_code=found.exit_code,
        health=found.health,
        command=found.command,
        entrypoint=found.entrypoint,
        attached=tuple(link.port_id for link in found.links),
        done=done,
        progress=step,
    )


def _status(found: Found | None, known: Remembered | None) -> Status:
    """Return what a container is: while it is being made or taken away that, whatever the engine has of it."""
    if known is not None and known.is_due and (status := _UNDER_WAY.get(known.wanted.operation.verb)) is not None:
        return status
    return Status.DELETED if found is None else status_of(found)
