"""A container that needs a host, and a host that may be it: what filters and weighers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from mooring.container.spec import ContainerSpec
from mooring.controller.scheduler.picking import Picks, pick
from mooring.db.api import Candidate, Host
from mooring.pci.requests import DeviceRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A container that needs a host: ``host`` by name, or (None) any that will do.

    One that has not reported since ``alive_since`` is taken for down.
    """

    spec: ContainerSpec
    host: str | None
    requests: Sequence[DeviceRequest]
    now: datetime
    alive_since: datetime


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """A host that may take a container."""

    wish: Wish
    candidate: Candidate

    @property
    def host(self) -> Host:
        """The host itself."""
        return self.candidate.host

    @cached_property
    def picks(self) -> Picks | None:
        """The devices that the container would get there; None where the host cannot serve all of its requests."""
        return pick(self.wish.requests, self.candidate.free)
