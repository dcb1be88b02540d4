"""The API's versions: the documents that clients discover them by, and the microversion of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from werkzeug.exceptions import NotAcceptable

Version = tuple[int, int]

SERVICE: Final = "container"
MINIMUM: Final[Version] = (1, 1)
MAXIMUM: Final[Version] = (1, 40)

REQUEST_HEADER: Final = "OpenStack-API-Version"
_HEADER: Final = re.compile(rf"{SERVICE}\s+(?:(\d{{1,4}})\.(\d{{1,4}})|(latest))", re.IGNORECASE)


def parse_version(header: str | None) -> Version:
    """Return the version that a request asks for; without the header the oldest. Raises NotAcceptable (406)."""
    if header is None:
        return MINIMUM
    match = _HEADER.fullmatch(header.strip())
    if match is None:
        raise NotAcceptable(f"{REQUEST_HEADER}: {header!r} is no version; write '{SERVICE} {text(MAXIMUM)}'")
    major, minor, latest = match.groups()
    version = MAXIMUM if latest else (int(major), int(minor))
    if not MINIMUM <= version <= MAXIMUM:
        raise NotAcceptable(f"version {text(version)} is not served; {text(MINIMUM)} to {text(MAXIMUM)} are")
    return version


def version_headers(version: Version | None) -> Mapping[str, str]:
    """Return the headers of every answer; ``version`` None is for a request whose version is not served."""
    headers = {
        "OpenStack-API-Minimum-Version": f"{SERVICE} {text(MINIMUM)}",
        "OpenStack-API-Maximum-Version": f"{SERVICE} {text(MAXIMUM)}",
        "Vary": REQUEST_HEADER,
    }
    return headers if version is None else headers | {REQUEST_HEADER: f"{SERVICE} {text(version)}"}


def versions_document(root: str) -> dict[str, Any]:
    """Return the document at ``/``; ``root`` is the URL of the service without a slash at its end."""
    version = {
        "id": "v1",
        "status": "CURRENT",
        "min_version": text(MINIMUM),
        "max_version": text(MAXIMUM),
        "links": [_link(root, "")],
    }
    return {
        "name": "mooring",
        "description": "Container service with SR-IOV networking",
        "versions": [version],
        "default_version": version,
    }


def version_document(root: str) -> dict[str, Any]:
    """Return the document at ``/v1``."""
    resources = ("containers", "services", "hosts", "images", "availability_zones", "quotas", "networks")
    return {"id": "v1", "links": [_link(root, "")]} | {name: [_link(root, name)] for name in resources}


def text(version: Version) -> str:
    """Return a version as it is written."""
    return f"{version[0]}.{version[1]}"


def _link(root: str, resource: str) -> dict[str, str]:
    return {"rel": "self", "href": f"{root}/v1/{resource}"}
