"""The container service's REST API as calls, one for each that the commands make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import quote

from keystoneauth1.adapter import Adapter
from pydantic import ValidationError
from requests import Response

from mooring.cli.service.access import service_errors
from mooring.cli.service.answers import (
    Action,
    Answer,
    Attachment,
    Container,
    Device,
    Execution,
    Host,
    Image,
    Processes,
    Service,
)
from mooring.errors import ServiceRefused, ServiceUnreachable

_Kind = TypeVar("_Kind", bound=Answer)
_Query = Mapping[str, object]

_NODE: Final = "mooring-node"
PAGE: Final = 100
# A command inside a container may take its time; who waits for it may interrupt.
_LONG_S: Final = 3600.0
_NOTHING: Final[_Query] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A change that the service has written down and carries out: of which container, and the request's id."""

    container: str
    request_id: str


class ServiceClient:
    """Each call raises ServiceRefused with the service's own sentence, or ServiceUnreachable.

    A container goes by its name or its uuid. Changes return before they are done; see ``Accepted``.
    """

    def __init__(self, adapter: Adapter, *, project: str | None = None) -> None:
        """``project`` is the caller's where no token of Keystone's says it."""
        self._adapter = adapter
        self._project = project

    # Containers

    def create(self, wish: Mapping[str, object], *, run: bool) -> tuple[Container, Accepted]:
        """Have a container made, and started with ``run``; ``wish`` is the API's own words."""
        answer = self._call("create a container", "POST", "/containers", query={"run": run}, body=wish)
        container = _parsed(answer, Container)
        return container, Accepted(container=container.uuid, request_id=_request_id(answer))

    def containers(self, *, everywhere: bool = False, **filters: str | None) -> Iterator[Container]:
        """Yield the containers that the caller may see, page by page; ``everywhere`` is of all projects."""
        query = {key: value for key, value in filters.items() if value is not None}
        scope = {"all_projects": True} if everywhere else {}
        yield from self._pages("list containers", "/containers", "containers", Container, {**query, **scope})

    def container(self, key: str) -> Container:
        """Return a container."""
        return _parsed(self._call("show a container", "GET", _path("containers", key)), Container)

    def change(self, key: str, verb: str, query: _Query = _NOTHING) -> Accepted:
        """Have ``start``, ``stop``, ``reboot``, ``pause``, ``unpause``, ``kill``, ``network_attach`` … done."""
        return self._change(verb.replace("_", " "), "POST", _path("containers", key, verb), key, query)

    def delete(self, key: str, *, stop: bool = False, force: bool = False) -> Accepted:
        """Have a container taken away."""
        query = {name: True for name, asked in (("stop", stop), ("force", force)) if asked}
        return self._change("delete", "DELETE", _path("containers", key), key, query)

    def logs(self, key: str, query: _Query) -> str:
        """Return what a container has written."""
        return str(self._json(self._call("read logs", "GET", _path("containers", key, "logs"), query=query)))

    def execute(self, key: str, command: tuple[str, ...]) -> Execution:
        """Run a command in a container; returns when it has ended."""
        # In the body, which no log has.
        path, words = _path("containers", key, "execute"), {"command": list(command)}
        answer = self._call("run a command", "POST", path, body=words, seconds=_LONG_S)
        return _parsed(answer, Execution)

    def top(self, key: str) -> Processes:
        """Return the processes of a container."""
        return _parsed(self._call("list processes", "GET", _path("containers", key, "top")), Processes)

    def stats(self, key: str) -> Answer:
        """Return what a container uses."""
        return _parsed(self._call("read usage", "GET", _path("containers", key, "stats")), Answer)

    def networks(self, key: str) -> tuple[Attachment, ...]:
        """Return the ports in a container."""
        answer = self._call("list networks", "GET", _path("containers", key, "network_list"))
        return self._each(answer, "networks", Attachment)

    def actions(self, key: str) -> tuple[Action, ...]:
        """Return what was asked of a container, the newest first."""
        answer = self._call("list actions", "GET", _path("containers", key, "container_actions"))
        return self._each(answer, "containerActions", Action)

    def action(self, key: str, request_id: str) -> Action:
        """Return one action with its steps."""
        path = _path("containers", key, "container_actions", request_id)
        return _parsed(self._call("show an action", "GET", path), Action)

    # Hosts and what belongs to the whole service

    def hosts(self) -> Iterator[Host]:
        """Yield the container hosts."""
        yield from self._pages("list hosts", "/hosts", "hosts", Host, {})

    def host(self, key: str) -> Host:
        """Return a host by its name or uuid."""
        return _parsed(self._call("show a host", "GET", _path("hosts", key)), Host)

    def devices(self, host: str) -> tuple[Device, ...]:
        """Return the PCI devices of a host, a PF above its VFs."""
        return self._each(self._call("list devices", "GET", _path("hosts", host, "devices")), "devices", Device)

    def services(self) -> tuple[Service, ...]:
        """Return the daemons of the service."""
        return self._each(self._call("list services", "GET", "/services"), "services", Service)

    def set_service(self, host: str, verb: str, query: _Query = _NOTHING) -> None:
        """Have new containers come to a host or not (``enable``, ``disable``), or take it for gone (``force_down``)."""
        named = {"host": host, "binary": _NODE, **query}
        self._call(f"{verb} a host".replace("_", " "), "PUT", f"/services/{verb}", query=named)

    def forget_service(self, host: str) -> None:
        """Forget a host that is gone for good."""
        self._call("forget a host", "DELETE", "/services", query={"host": host, "binary": _NODE})

    def images(self) -> tuple[Image, ...]:
        """Return the images that hosts have."""
        return self._each(self._call("list images", "GET", "/images"), "images", Image)

    def quota(self, project: str) -> Answer:
        """Return the limits of a project with what is in use of each."""
        path = _path("quotas", project)
        return _parsed(self._call("show a quota", "GET", path, query={"usages": True}), Answer)

    def set_quota(self, project: str, limits: Mapping[str, int]) -> None:
        """Set limits of a project."""
        self._call("set a quota", "PUT", _path("quotas", project), body=limits)

    def own_project(self) -> str | None:
        """Return the caller's project; None where only the service knows."""
        if self._project is not None:
            return self._project
        with service_errors("cannot find out your project"):
            project: str | None = self._adapter.get_project_id()
            return project

    # What all of them are made of

    def _change(self, doing: str, verb: str, path: str, key: str, query: _Query) -> Accepted:
        answer = self._call(f"{doing} a container", verb, path, query=query)
        return Accepted(container=key, request_id=_request_id(answer))

    def _pages(self, doing: str, path: str, name: str, kind: type[_Kind], query: _Query) -> Iterator[_Kind]:
        answer = self._call(doing, "GET", path, query={**query, "limit": PAGE})
        while True:
            yield from self._each(answer, name, kind)
            following = self._json(answer).get("next")
            if not following:
                return
            # The link names the API's own root, which the endpoint has already.
            answer = self._call(doing, "GET", str(following).removeprefix("/v1"))

    def _each(self, answer: Response, name: str, kind: type[_Kind]) -> tuple[_Kind, ...]:
        return tuple(_validated(item, kind) for item in self._json(answer)[name])

    def _json(self, answer: Response) -> Any:  # noqa: ANN401 - whatever the API says
        try:
            return answer.json()
        except ValueError as exc:
            raise _foreign() from exc

    def _call(
        self,
        doing: str,
        verb: str,
        path: str,
        *,
        query: _Query = _NOTHING,
        body: Mapping[str, object] | None = None,
        seconds: float = 120.0,
    ) -> Response:
        with service_errors(f"cannot {doing}"):
            answer: Response = self._adapter.request(path, verb, params=dict(query), json=body, timeout=(10.0, seconds))
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            raise _refusal(answer)
        return answer


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _request_id(answer: Response) -> str:
    return str(answer.headers.get("X-Openstack-Request-Id", ""))


def _parsed(answer: Response, kind: type[_Kind]) -> _Kind:
    try:
        return _validated(answer.json(), kind)
    except ValueError as exc:
        raise _foreign() from exc


def _validated(item: object, kind: type[_Kind]) -> _Kind:
    try:
        return kind.model_validate(item)
    except ValidationError as exc:
        raise _foreign() from exc


def _foreign() -> ServiceUnreachable:
    return ServiceUnreachable(
        "cannot read the answer", "it is none of a container service's", "see whether --endpoint is right"
    )


def _refusal(answer: Response) -> ServiceRefused:
    """Return the service's own sentence, Keystone's middleware's, or else what HTTP calls it."""
    said = f"{answer.status_code} {answer.reason}"
    try:
        match answer.json():
            case {"errors": [{"title": str(title)}, *_]}:
                said = title
            case {"error": {"message": str(message)}}:
                said = message
    except ValueError:
        pass  # a proxy's page
    return ServiceRefused(said, answer.status_code, _request_id(answer))
