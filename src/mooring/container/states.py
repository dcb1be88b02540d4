"""What a container may be in, what may be asked of it there, and the names that Zun's clients know for both."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from mooring.errors import WrongState


class Status(StrEnum):
    """What is known of a container (Zun: ``zun/common/consts.py``)."""

    CREATING = "Creating"
    CREATED = "Created"
    RUNNING = "Running"
    STOPPED = "Stopped"
    PAUSED = "Paused"
    RESTARTING = "Restarting"
    REBUILDING = "Rebuilding"
    DELETING = "Deleting"
    DELETED = "Deleted"
    DEAD = "Dead"
    ERROR = "Error"
    UNKNOWN = "Unknown"
    """Its host has not been heard of for too long."""


class TaskState(StrEnum):
    """What is being done about a container at this moment; none when nothing is."""

    IMAGE_PULLING = "image_pulling"
    CREATING = "container_creating"
    STARTING = "container_starting"
    STOPPING = "container_stopping"
    REBOOTING = "container_rebooting"
    PAUSING = "container_pausing"
    UNPAUSING = "container_unpausing"
    KILLING = "container_killing"
    REBUILDING = "container_rebuilding"
    DELETING = "container_deleting"
    ATTACHING = "network_attaching"
    DETACHING = "network_detaching"


class Verb(StrEnum):
    """What a node may be told to do with a container. Each is done once for each number that it is told under."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    KILL = "kill"
    REBUILD = "rebuild"
    UPDATE = "update"
    ATTACH = "network_attach"
    DETACH = "network_detach"
    DELETE = "delete"


TASK_OF: Final = {
    Verb.CREATE: TaskState.CREATING,
    Verb.START: TaskState.STARTING,
    Verb.STOP: TaskState.STOPPING,
    Verb.REBOOT: TaskState.REBOOTING,
    Verb.PAUSE: TaskState.PAUSING,
    Verb.UNPAUSE: TaskState.UNPAUSING,
    Verb.KILL: TaskState.KILLING,
    Verb.REBUILD: TaskState.REBUILDING,
    Verb.ATTACH: TaskState.ATTACHING,
    Verb.DETACH: TaskState.DETACHING,
    Verb.DELETE: TaskState.DELETING,
}
"""What a container is shown to be in while a verb is under way."""

_REST: Final = frozenset({Status.CREATED, Status.STOPPED, Status.ERROR})
_RUNNING: Final = frozenset({Status.RUNNING})
_THERE: Final = frozenset({Status.CREATED, Status.RUNNING, Status.STOPPED, Status.PAUSED})
_ENDED: Final = frozenset({Status.CREATED, Status.ERROR, Status.STOPPED, Status.DELETED, Status.DEAD})

# Zun, zun/common/utils.py VALID_STATES.
_ALLOWED: Final = {
    "start": _REST,
    "reboot": _REST | _RUNNING,
    "rebuild": _REST | _RUNNING,
    **dict.fromkeys(
        ("stop", "pause", "kill", "execute", "execute_resize", "attach", "resize", "top", "stats"), _RUNNING
    ),
    "unpause": frozenset({Status.PAUSED}),
    **dict.fromkeys(("update", "resize_container", "get_archive", "put_archive"), _THERE),
    "logs": _THERE | {Status.ERROR, Status.UNKNOWN},
    "commit": frozenset({Status.RUNNING, Status.STOPPED, Status.PAUSED}),
    # Zun checks nothing for these two. A container that is being made or taken away has no interfaces to speak of.
    **dict.fromkeys(("network_attach", "network_detach"), _THERE),
    "delete": _ENDED,
    "delete_after_stop": _ENDED | _RUNNING,
    # The administrator's way out, at any moment.
    "delete_force": frozenset(Status),
}


def check_allowed(verb: str, uuid: str, status: Status) -> None:
    """Raise WrongState unless a verb of the API may be asked of a container in a status."""
    if status not in _ALLOWED[verb]:
        raise WrongState(uuid, verb.removesuffix("_after_stop").removesuffix("_force"), status)
