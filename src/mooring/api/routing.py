"""What a request is to those who answer it: parsed, and asked by somebody who may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from mooring.api.authentication import Identity
from mooring.api.policy import Policy
from mooring.api.reading import Body, Query
from mooring.config.settings import ControllerSettings
from mooring.controller.api import Caller, Inside, Lifecycle
from mooring.db.api import Store

Q = TypeVar("Q", bound=Query)
B = TypeVar("B", bound="Body | None")

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """All that requests are answered from."""

    lifecycle: Lifecycle
    inside: Inside
    store: Store
    settings: ControllerSettings
    policy: Policy
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Q, B]):
    """One request. ``names`` are the parts of its path, ``root`` the service's URL without a slash at its end."""

    core: Core
    identity: Identity
    caller: Caller
    names: Mapping[str, str]
    query: Q
    body: B
    root: str

    @property
    def key(self) -> str:
        """The name or id of the resource that the path names."""
        return self.names["key"]

    def may(self, rule: str) -> bool:
        """Tell whether policy lets the caller do something."""
        return self.core.policy.allows(rule, self.identity)

    def require(self, rule: str) -> None:
        """Raise PolicyForbids unless policy lets the caller do something."""
        self.core.policy.check(rule, self.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """An answer that says where the thing is that it made."""

    body: object
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One resource and method: who may ask, what a request is made of, who answers it, and with what.

    ``path`` is without ``/v1``, its variable parts in angle brackets. ``reply`` is the type of the answer's body; None
    is an answer without one. ``body_optional`` is for requests that say all in their query, too. ``also`` are statuses
    that this route may answer with besides those that any may.
    """

    method: str
    path: str
    rule: str
    handler: Callable[[Call[Any, Any]], object]
    summary: str
    status: HTTPStatus = HTTPStatus.OK
    query: type[Query] = Query
    body: type[Body] | None = None
    body_optional: bool = False
    json_only: bool = False
    reply: Any = None
    also: tuple[HTTPStatus, ...] = ()


CONTAINER: Final = "/containers/<key>"
"""The path of a container, by name or id."""
