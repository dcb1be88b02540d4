"""What the history of a request tells of the steps that were done for it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mooring.container.model import Container
from mooring.controller.clock import Clock
from mooring.controller.steps import Step
from mooring.db.api import Event, History
from mooring.errors import ActionNotFound, ClaimLost, EdgeFailure, MooringError, NeutronConflict, NeutronRefused

_TOLD: Final = (Step.RESERVE, Step.PLACE, Step.BIND, Step.LEAVE, Step.RELEASE)
"""The steps that mean something to who asked."""

_SERVER_ERROR: Final = 500


class Record:
    """Writes to the history of the request that a container's operation serves, if there is one."""

    def __init__(self, *, store: History, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def since(self, container: Container) -> datetime:
        """Return when was asked for what is being done."""
        if container.action is None:
            return container.created_at
        try:
            return self._store.action(container.uuid, container.action).start
        except ActionNotFound:
            return container.created_at

    def tell(self, container: Container, step: Step, started: datetime, error: MooringError | None) -> None:
        """Write down that a step was done, or why it was not."""
        if container.action is None or step not in _TOLD:
            return
        event = Event(
            name=step.value,
            start=started,
            finish=self._clock(),
            result="Success" if error is None else "Error",
            traceback=None if error is None else str(error),
        )
        self._store.add_event(container.uuid, container.action, event)

    def finish(self, container: Container) -> None:
        """Write down that what was asked for is done; no matter if it has ended otherwise before."""
        if container.action is not None:
            self._store.finish_action(container.uuid, container.action, now=self._clock(), message=None)

    def fail(self, container: Container, error: MooringError) -> None:
        """Write down that what was asked for has failed, and why."""
        if container.action is not None:
            self._store.finish_action(container.uuid, container.action, now=self._clock(), message=error.public)


def may_pass(error: MooringError) -> bool:
    """Tell whether the same may succeed later."""
    if isinstance(error, NeutronRefused):
        return error.status >= _SERVER_ERROR or isinstance(error, NeutronConflict)
    return isinstance(error, EdgeFailure | ClaimLost)
