"""How changes of containers are written: if they are allowed, by nobody else at the same time, and into the history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Final

from mooring.container.model import Container, InterfacePhase
from mooring.container.states import Verb, check_allowed
from mooring.controller.api import Caller
from mooring.controller.clock import Clock
from mooring.controller.finding import find_container
from mooring.db.api import Action, Store
from mooring.errors import MooringError, Outdated, WrongState

_TRIES: Final = 10


def action_of(caller: Caller, container: Container, verb: Verb, now: datetime) -> Action:
    """Return the record of what a caller asks of a container."""
    return Action(
        request_id=caller.request_id,
        container=container.uuid,
        action=verb.value,
        project_id=caller.project_id,
        user_id=caller.user_id,
        start=now,
    )


def check_idle(container: Container, verb: Verb, *, allowed: str) -> None:
    """Raise WrongState unless a verb may be asked for: by Zun's rules, and by what is under way already."""
    check_allowed(allowed, container.uuid, container.status)
    if verb is Verb.DELETE:
        return
    if container.host is None or not container.is_given:
        raise WrongState(container.uuid, verb.value, f"{container.status} (it is on no host)")
    # A kill need not wait for a stop that takes its time.
    is_busy = container.is_awaited and verb is not Verb.KILL
    if is_busy or any(each.phase is not InterfacePhase.BOUND for each in container.interfaces):
        raise WrongState(container.uuid, verb.value, container.task_state or f"{container.status} (busy)")


class Changes:
    """Changes containers for callers. ``wake`` lets the workers look at what was written."""

    def __init__(self, *, store: Store, wake: Callable[[], None], clock: Clock) -> None:
        self._store = store
        self._wake = wake
        self._clock = clock

    def apply(
        self,
        caller: Caller,
        key: str,
        verb: Verb,
        change: Callable[[Container], Container],
        *,
        allowed: str | None = None,
        everywhere: bool = False,
        save: Callable[[Container], Container] | None = None,
    ) -> Container:
        """Change a container if that is ``allowed``, and return it; look at it anew if it was changed meanwhile.

        ``save`` is for changes that are written in another way than ``Containers.save`` does. Raises what it and
        ``change`` do, ContainerNotFound, NameAmbiguous, WrongState, PortBusy, and Outdated at last.
        """
        allowed, save = allowed or verb.value, save or self._store.save
        for _ in range(_TRIES - 1):
            with suppress(Outdated):
                return self._apply(caller, key, verb, change, allowed=allowed, everywhere=everywhere, save=save)
        return self._apply(caller, key, verb, change, allowed=allowed, everywhere=everywhere, save=save)

    def _apply(
        self,
        caller: Caller,
        key: str,
        verb: Verb,
        change: Callable[[Container], Container],
        *,
        allowed: str,
        everywhere: bool,
        save: Callable[[Container], Container],
    ) -> Container:
        container = find_container(self._store, caller, key, everywhere=everywhere)
        check_idle(container, verb, allowed=allowed)
        now = self._clock()
        changed = replace(change(container), due_at=now, updated_at=now)
        with self._recorded(action_of(caller, container, verb, now), container, changed):
            saved = save(changed)
        self._wake()
        return saved

    @contextmanager
    def _recorded(self, action: Action, container: Container, changed: Container) -> Iterator[None]:
        """Write an action down before what it does. One that nothing follows from has ended then."""
        self._store.start_action(action)
        try:
            yield
        except Outdated:
            raise
        except MooringError as exc:
            self._finish(action.container, action.request_id, exc.public)
            raise
        if changed.action != action.request_id:
            self._finish(action.container, action.request_id, None)
        elif container.action is not None and container.action != action.request_id:
            self._finish(action.container, container.action, f"{action.action} was asked for before it was done")

    def _finish(self, container: str, request_id: str, message: str | None) -> None:
        self._store.finish_action(container, request_id, now=self._clock(), message=message)
