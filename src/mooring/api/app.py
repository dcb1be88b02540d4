"""The WSGI application: every request comes through here, is known, checked, parsed, answered and logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from flask import Flask, Response, g, request
from pydantic_core import to_json
from structlog.contextvars import bind_contextvars, clear_contextvars
from werkzeug.exceptions import (
    HTTPException,
    InternalServerError,
    Unauthorized,
    UnsupportedMediaType,
    default_exceptions,
)
from werkzeug.exceptions import NotImplemented as NotServed

from mooring.api import optional
from mooring.api.authentication import guarded, identification
from mooring.api.errors import RETRY_AFTER_S, status_of, told, told_crash, told_http
from mooring.api.openapi import openapi_document
from mooring.api.policy import Policy
from mooring.api.reading import check_text, parse_body, parse_query
from mooring.api.routing import Call, Core, Located, Route
from mooring.api.table import ROUTES
from mooring.api.versions import REQUEST_HEADER, parse_version, version_document, version_headers, versions_document
from mooring.config.settings import ControllerSettings
from mooring.controller.api import Caller, Inside, Lifecycle
from mooring.db.api import Store
from mooring.errors import MooringError

_JSON: Final = "application/json"
_PREFIX: Final = "/v1"
_PUBLIC: Final = ("/", _PREFIX, "/openapi.json")
"""What is answered to everybody: clients ask for versions before they have a token."""

log = structlog.get_logger(__name__)


def create_app(
    *,
    lifecycle: Lifecycle,
    inside: Inside,
    store: Store,
    settings: ControllerSettings,
    clock: Callable[[], datetime],
) -> WSGIApplication:
    """Return the API as a WSGI application. Raises InvalidConfiguration for a policy file that is none."""
    core = Core(
        lifecycle=lifecycle,
        inside=inside,
        store=store,
        settings=settings,
        policy=Policy(settings.policy_file),
        clock=clock,
    )
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # A redirect would lose the body of what clients send; paths are put right before.
    app.url_map.merge_slashes = False
    _add_hooks(app, core)
    _add_errors(app, core)
    _add_documents(app)
    for route in ROUTES:
        _add(app, (route.method,), route.path, _answering(core, route))
    for methods, path, what, instead in optional.NOT_SERVED:
        _add(app, methods, path, _refusing(optional.sentence(what, instead)))
    return _Entrance(app, guarded(app, settings))


def refusal(status: HTTPStatus, problem: str) -> tuple[dict[str, str], bytes]:
    """Return headers and body of the answer to a request that never reaches the application; see ``Server``."""
    request_id = f"req-{uuid4()}"
    log.info("api.refused", status=status.value, problem=problem, request_id=request_id)
    error = default_exceptions.get(status.value, InternalServerError)()
    error.description = problem if status is HTTPStatus.BAD_REQUEST else error.description
    headers = {**version_headers(None), "Content-Type": _JSON, "X-Openstack-Request-Id": request_id}
    return headers, to_json(told_http(error, request_id))


class _Entrance:
    """Takes paths as clients write them: with and without ``/v1``, with slashes doubled or at the end."""

    def __init__(self, app: WSGIApplication, protected: WSGIApplication) -> None:
        self._app = app
        self._protected = protected

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"] = _put_right(environ.get("PATH_INFO", ""))
        # Versions are told even while Keystone is away.
        app = self._app if path in _PUBLIC else self._protected
        return app(environ, start_response)


def _put_right(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    if len(parts) > 1 and parts[0] == _PREFIX[1:]:
        parts = parts[1:]
    return "/" + "/".join(parts)


def _add(app: Flask, methods: Iterable[str], path: str, view: Callable[..., Response]) -> None:
    names = tuple(methods)
    app.add_url_rule(
        path, endpoint=f"{'/'.join(names)} {path}", view_func=view, methods=names, provide_automatic_options=False
    )


def _add_hooks(app: Flask, core: Core) -> None:
    identify = identification(core.settings)

    def know() -> None:
        clear_contextvars()
        g.began = time.monotonic()
        g.request_id = f"req-{uuid4()}"
        g.version = g.identity = None
        bind_contextvars(request_id=g.request_id)
        if request.path in _PUBLIC:
            return
        g.identity = identify(request.environ)
        if g.identity is None:
            raise Unauthorized("the request needs a valid token of a user in a project (X-Auth-Token)")
        g.version = parse_version(request.headers.get(REQUEST_HEADER))

    def sign(response: Response) -> Response:
        response.headers.update(version_headers(g.version))
        response.headers["X-Openstack-Request-Id"] = g.request_id
        if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        log.info(
            "api.request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round((time.monotonic() - g.began) * 1000),
            project=None if g.identity is None else g.identity.project_id,
        )
        return response

    app.before_request(know)
    app.after_request(sign)


def _add_errors(app: Flask, core: Core) -> None:
    keystone = core.settings.keystone_authtoken.get("www_authenticate_uri", "")

    def failed(error: MooringError) -> Response:
        status = status_of(error)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("api.failed", code=error.code, error=str(error))
        return _reply(told(error, g.request_id), status)

    def refused(error: HTTPException) -> Response:
        if error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            error.description = f"{request.method} {request.path} is not served"
        return _reply(told_http(error, g.request_id), HTTPStatus(error.code or 500), headers=_allowed_methods(error))

    def unknown(error: Unauthorized) -> Response:
        # Keystone's own envelope, which clients know, too.
        status = HTTPStatus.UNAUTHORIZED
        body = {"error": {"code": status.value, "title": status.phrase, "message": error.description}}
        return _reply(body, status, headers={"WWW-Authenticate": f'Keystone uri="{keystone}"'})

    def crashed(error: Exception) -> Response:
        log.error("api.crashed", exc_info=error)
        return _reply(told_crash(g.request_id), HTTPStatus.INTERNAL_SERVER_ERROR)

    app.register_error_handler(MooringError, failed)
    app.register_error_handler(HTTPException, refused)
    app.register_error_handler(Unauthorized, unknown)
    app.register_error_handler(Exception, crashed)


def _allowed_methods(error: HTTPException) -> dict[str, str]:
    methods = getattr(error, "valid_methods", None)
    return {"Allow": ", ".join(sorted(methods))} if methods else {}


def _add_documents(app: Flask) -> None:
    _add(app, ["GET"], "/", lambda: _reply(versions_document(_root()), HTTPStatus.OK))
    _add(app, ["GET"], _PREFIX, lambda: _reply(version_document(_root()), HTTPStatus.OK))
    _add(app, ["GET"], "/openapi.json", lambda: _reply(openapi_document(ROUTES), HTTPStatus.OK))


def _answering(core: Core, route: Route) -> Callable[..., Response]:
    def view(**names: str) -> Response:
        core.policy.check(route.rule, g.identity)
        result = route.handler(_call(core, route, names))
        headers = {"Location": result.location} if isinstance(result, Located) else {}
        body = result.body if isinstance(result, Located) else result
        return _reply(body, route.status, headers=headers)

    return view


def _call(core: Core, route: Route, names: dict[str, str]) -> Call[Any, Any]:
    for name in names.values():
        check_text(name)
    identity = g.identity
    return Call(
        core=core,
        identity=identity,
        caller=Caller(
            user_id=identity.user_id,
            project_id=identity.project_id,
            roles=identity.roles,
            is_admin=core.policy.allows("admin", identity),
            request_id=g.request_id,
        ),
        names=names,
        query=parse_query(route.query, request.args.items(multi=True)),
        body=_body(route),
        root=_root(),
    )


def _body(route: Route) -> Any:  # noqa: ANN401 - the route's own model
    if route.body is None:
        return None
    if route.json_only and not request.is_json:
        raise UnsupportedMediaType(f"the body must be JSON, with Content-Type: {_JSON}")
    data = request.get_data()
    return parse_body(route.body, b"{}" if route.body_optional and not data else data, version=g.version)


def _refusing(sentence: str) -> Callable[..., Response]:
    def view(**_: str) -> Response:
        raise NotServed(sentence)

    return view


def _root() -> str:
    return request.root_url.rstrip("/")


def _reply(body: object, status: HTTPStatus, *, headers: dict[str, str] | None = None) -> Response:
    """Answer in JSON; with nothing where there is nothing to say, and then clients must see no content type."""
    empty = body is None and status in (HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT)
    response = Response(b"" if empty else to_json(body, by_alias=True), status=status, headers=headers)
    if empty:
        del response.headers["Content-Type"]
    else:
        response.content_type = _JSON
    return response
