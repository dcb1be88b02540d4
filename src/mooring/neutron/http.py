"""One HTTP request to Neutron: bounded, counted, and the only door through which its failures enter mooring."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import requests
from keystoneauth1 import exceptions as keystone
from keystoneauth1.adapter import Adapter

from mooring.errors import MooringError, NeutronConflict, NeutronRefused, NeutronUnreachable

_AWAY: Final = frozenset({502, 503, 504})
"""Statuses with which a proxy, or a Neutron that is starting, says that nobody is there to answer."""

_NOT_ALLOWED: Final = frozenset({requests.codes.unauthorized, requests.codes.forbidden})
# Docker's user waits for an answer; a Neutron that has not begun one by then will not.
_CONNECT_S: Final = 5.0


class CallObserver(Protocol):
    """Told of every call: its operation, how it ended (``ok`` or the error's code), and how many seconds it took."""

    def __call__(self, operation: str, outcome: str, seconds: float, /) -> None:
        """Take note of one call. Runs in the caller's thread and must not block."""
        ...


@contextmanager
def neutron_errors(doing: str) -> Iterator[None]:
    """Turn the failures of keystoneauth1 and requests into ours; ``doing`` begins the sentence."""
    try:
        yield
    except keystone.HttpError as exc:
        # Neutron's own answers are never raised as HttpError (see NeutronHttp.send): this is Keystone's, and says
        # nothing of what Neutron would have answered, least of all that something does not exist.
        cause = f"Keystone: {exc.message}, {exc.url}"
        if exc.http_status in _NOT_ALLOWED:
            cause += "; check the account mooring uses"
        raise NeutronUnreachable(doing, cause) from exc
    except (keystone.ClientException, requests.RequestException) as exc:
        raise NeutronUnreachable(doing, str(exc)) from exc


class NeutronHttp:
    """Sends requests to Neutron. Safe to use from several threads at once.

    A connection is given 5 s, an answer ``read_timeout`` seconds. Nothing is repeated, but that keystoneauth1 fetches a
    new token once when Neutron does not accept the one it had.
    """

    def __init__(self, adapter: Adapter, *, read_timeout: float, on_call: CallObserver | None) -> None:
        self._adapter = adapter
        self._timeout = (_CONNECT_S, read_timeout)
        self._on_call = on_call

    def send(
        self,
        operation: str,
        doing: str,
        verb: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, object] | None = None,
        revision: int | None = None,
    ) -> dict[str, Any]:
        """Send one request; see NeutronApi in mooring.neutron.resources."""
        outcome, started = "ok", time.monotonic()
        try:
            with neutron_errors(doing):
                response = self._adapter.request(
                    f"{self._base(doing)}/v2.0/{path}",
                    verb,
                    params=list(query),
                    json=body,
                    headers={} if revision is None else {"If-Match": f"revision_number={revision}"},
                    timeout=self._timeout,
                    raise_exc=False,
                )
                return _answer(doing, response)
        except MooringError as exc:
            outcome = exc.code
            raise
        finally:
            if self._on_call is not None:
                self._on_call(operation, outcome, time.monotonic() - started)

    def _base(self, doing: str) -> str:
        """Return the endpoint without its version: catalogs have it with and without (Neutron's own is without)."""
        endpoint = self._adapter.get_endpoint()
        if endpoint is None:
            raise NeutronUnreachable(doing, "Keystone's catalog has no endpoint of type network that fits")
        return endpoint.rstrip("/").removesuffix("/v2.0")


def _answer(doing: str, response: requests.Response) -> dict[str, Any]:
    """Return the JSON object of a successful response, {} for none or null, or raise what the response means."""
    try:
        body = response.json() if response.content else None
    except requests.JSONDecodeError as exc:
        raise _refusal(doing, response, None) from exc
    if response.ok and (body is None or isinstance(body, dict)):
        return body or {}
    raise _refusal(doing, response, body)


def _refusal(doing: str, response: requests.Response, body: object) -> MooringError:
    status, url = response.status_code, response.url
    message = _message(body)
    if status in _AWAY:
        return NeutronUnreachable(doing, f"HTTP {status} {message or response.reason} from {url}")
    if message is None and (response.ok or status == requests.codes.not_found):
        return NeutronUnreachable(doing, f"HTTP {status} from {url}, but not from Neutron; check the endpoint")
    text = message or str(response.reason)
    if request_id := response.headers.get("x-openstack-request-id"):
        text += f" (request {request_id})"
    if status in (requests.codes.conflict, requests.codes.precondition_failed):
        return NeutronConflict(doing, status, text)
    return NeutronRefused(doing, status, text)


def _message(body: object) -> str | None:
    """Return the text of a Neutron error, ``{"NeutronError": {"type", "message", "detail"}}``, or None."""
    if not isinstance(body, dict):
        return None
    error = body.get("NeutronError", body.get("error"))
    if isinstance(error, dict):
        error = error.get("message")
    return error if isinstance(error, str) and error else None
