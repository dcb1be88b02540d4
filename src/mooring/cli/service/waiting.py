"""Waiting until the service has done what was asked, and telling meanwhile how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

import click

from mooring.cli.service.answers import Action, Container
from mooring.cli.service.client import Accepted, ServiceClient
from mooring.errors import OperationRefused, ServiceRefused

POLL_S = 1.0


@dataclass(slots=True, kw_only=True)
class Waiter:
    """Looks at an action until it has ended. What is told goes to standard error: standard output is for the answer."""

    client: ServiceClient
    timeout_s: float
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _told: set[str] = field(default_factory=set)

    def wait(self, accepted: Accepted) -> Container | None:
        """Return the container when its action has ended well, None when it is gone.

        Raises OperationRefused with the action's message when it has failed, or has not ended in time.
        """
        deadline = self.clock() + self.timeout_s
        while True:
            try:
                container = self.client.container(accepted.container)
                action = self.client.action(accepted.container, accepted.request_id)
            except ServiceRefused as exc:
                if exc.status == HTTPStatus.NOT_FOUND:
                    return None
                raise
            self._tell(container, action)
            if action.finish_time is not None:
                if action.message:
                    raise OperationRefused(f"{container.name}: {action.message}")
                return container
            if self.clock() >= deadline:
                raise OperationRefused(
                    f"{container.name} is still {_state(container)} after {self.timeout_s:g} s; the service goes on, "
                    f"and 'mooring show {container.uuid}' tells how far it is"
                )
            self.sleep(POLL_S)

    def _tell(self, container: Container, action: Action) -> None:
        for event in action.events:
            if event.result is not None:
                self._say(f"{container.name}: {event.event}: {'done' if event.result == 'Success' else 'failed'}")
        self._say(f"{container.name}: {_state(container)}")

    def _say(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            click.echo(line, err=True)


def _state(container: Container) -> str:
    more = ", ".join(filter(None, (container.task_state, container.status_detail)))
    return f"{container.status} ({more})" if more else container.status
