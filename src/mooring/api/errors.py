"""What clients hear of failures: one status for each error, and the envelope that Zun's clients read."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from werkzeug.exceptions import HTTPException

from mooring import errors
from mooring.errors import MooringError

HTTP_STATUS: Final[Mapping[type[MooringError], HTTPStatus]] = {
    MooringError: HTTPStatus.INTERNAL_SERVER_ERROR,
    **dict.fromkeys(
        (errors.InvalidInput, errors.InvalidPciAddress, errors.InvalidDeviceSpec, errors.InvalidAlias),
        HTTPStatus.BAD_REQUEST,
    ),
    errors.InvalidRequest: HTTPStatus.BAD_REQUEST,
    errors.InvalidConfiguration: HTTPStatus.INTERNAL_SERVER_ERROR,
    **dict.fromkeys(
        (errors.Refused, errors.OperationRefused, errors.DeviceUnusable, errors.DeviceBusy, errors.NoFreeDevice),
        HTTPStatus.CONFLICT,
    ),
    # Zun answers 400 to whatever is wrong with a port, one in use included.
    **dict.fromkeys(
        (
            *(errors.PortUnusable, errors.PortBusy, errors.NetworkUnusable),
            *(errors.BindingRefused, errors.UnsupportedVnicType),
        ),
        HTTPStatus.BAD_REQUEST,
    ),
    **dict.fromkeys(
        (
            *(errors.PortNotFound, errors.NetworkNotFound),
            *(errors.ContainerNotFound, errors.HostNotFound, errors.ActionNotFound),
        ),
        HTTPStatus.NOT_FOUND,
    ),
    **dict.fromkeys(
        (
            *(errors.NameAmbiguous, errors.NameTaken, errors.WrongState, errors.NoNetwork),
            *(errors.NoValidHost, errors.NoRoom, errors.ClaimLost, errors.Outdated),
        ),
        HTTPStatus.CONFLICT,
    ),
    **dict.fromkeys((errors.QuotaExceeded, errors.PolicyForbids), HTTPStatus.FORBIDDEN),
    # These are a node's, whose operations end in a container's status_reason, and the command line's.
    **dict.fromkeys(
        (
            *(errors.EdgeFailure, errors.KernelRefused, errors.DeviceGone, errors.SwitchRefused, errors.NotClean),
            *(errors.NodeUnreachable, errors.StateFileUnusable, errors.ServiceUnreachable, errors.ServiceRefused),
        ),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    ),
    **dict.fromkeys(
        (errors.NeutronRefused, errors.NeutronConflict, errors.EngineRefused, errors.EngineUnreachable),
        HTTPStatus.BAD_GATEWAY,
    ),
    **dict.fromkeys(
        (errors.NeutronUnreachable, errors.DatabaseUnavailable, errors.BusUnavailable),
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
}
"""The status of each error there is; the tests see to it that none is missing."""

RETRY_AFTER_S: Final = 5
"""When to come again, of what answers 503."""

# Docker's complaints about what the user asked for (a path that is not there, a program that cannot be run).
_ENGINE_SAYS_OF_USERS: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)

Envelope = dict[str, list[dict[str, Any]]]


def status_of(error: MooringError) -> HTTPStatus:
    """Return the status that answers an error."""
    if isinstance(error, errors.EngineRefused) and error.status in _ENGINE_SAYS_OF_USERS:
        return HTTPStatus(error.status)
    return next(HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS)


def told(error: MooringError, request_id: str) -> Envelope:
    """Return the envelope of an error; what is the service's own trouble is not told, but where to look for it."""
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return told_crash(request_id)
    return _envelope(status, error.code, error.public, request_id)


def told_http(error: HTTPException, request_id: str) -> Envelope:
    """Return the envelope of what is wrong with the HTTP request itself."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    return _envelope(status, status.phrase.lower().replace(" ", "-"), error.description or status.phrase, request_id)


def told_crash(request_id: str) -> Envelope:
    """Return the envelope of a failure that nobody thought of."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    sentence = f"the service failed; its log says why under {request_id}"
    return _envelope(status, "internal-server-error", status.phrase, request_id, detail=sentence)


def _envelope(status: HTTPStatus, code: str, title: str, request_id: str, *, detail: str | None = None) -> Envelope:
    return {
        "errors": [
            {
                "request_id": request_id,
                "code": f"container.{code}",
                "status": status.value,
                "title": title,
                "detail": detail or title,
                "links": [],
            }
        ]
    }
