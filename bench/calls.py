"""Neutron's REST calls as they went over the wire, read from the daemon's own debug log.

urllib3 logs each request when it was answered, and mooring each of Docker's calls when it answered that; the system's
journal gives both a time. So a request belongs to a call of Docker's if it was answered while that call lasted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lab.node import UNIT, MooringNode

_REQUEST = re.compile(
    r'logger=urllib3\.connectionpool event=.*:(?P<port>\d+) "(?P<verb>[A-Z]+) /v2\.0/(?P<kind>[a-z]+)(?P<id>/)?\S* HTTP'
)
_DOCKER = re.compile(r"event=docker\.call call=\w+\.(?P<call>\w+) .*?ms=(?P<ms>\d+)")
# The log gives a call's duration in whole milliseconds.
_ROUNDING_MS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerCall:
    """One call of Docker's to mooring; times are milliseconds of one clock."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RestCall:
    """One request to Neutron, such as ``GET ports``, and the call of Docker's in which it was made."""

    request: str
    within: str | None

    def __str__(self) -> str:
        return f"{self.request} in {self.within}" if self.within else f"{self.request} afterwards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What the daemon did in a stretch of time."""

    rest: tuple[RestCall, ...]
    docker: tuple[DockerCall, ...]

    def made_in(self, docker_call: str) -> int:
        """Return how many requests were made within Docker's calls of that name."""
        return sum(call.within == docker_call for call in self.rest)


def bookmark(node: MooringNode) -> str:
    """Return where the daemon's log ends now."""
    shown = node.guest.run(["journalctl", "--unit", UNIT, "--lines=0", "--show-cursor"]).stdout
    return shown.split("cursor: ")[1].strip()


def log_since(node: MooringNode, cursor: str, *, neutron_port: int) -> Log:
    """Read what was logged after a bookmark; requests to other ports, such as Keystone's, are left out."""
    words = ["journalctl", "--unit", UNIT, "--output=json", "--output-fields=MESSAGE", "--after-cursor", cursor]
    entries = [json.loads(line) for line in node.guest.run(words).stdout.splitlines()]
    lines = [(float(entry["__REALTIME_TIMESTAMP"]) / 1000, str(entry["MESSAGE"])) for entry in entries]
    docker = tuple(_docker_calls(lines))
    rest = tuple(
        RestCall(
            request=f"{found['verb']} {found['kind']}{'/ID' if found['id'] else ''}", within=_during(docker, moment)
        )
        for moment, line in lines
        if (found := _REQUEST.search(line)) and int(found["port"]) == neutron_port
    )
    return Log(rest=rest, docker=docker)


def _docker_calls(lines: list[tuple[float, str]]) -> Iterator[DockerCall]:
    for moment, line in lines:
        if found := _DOCKER.search(line):
            yield DockerCall(name=found["call"], began=moment - float(found["ms"]) - _ROUNDING_MS, ended=moment)


def _during(docker: tuple[DockerCall, ...], moment: float) -> str | None:
    return next((call.name for call in docker if call.began <= moment <= call.ended), None)
