"""Finding a host for a container, and the devices of it that it gets."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mooring.config.settings import SchedulerSettings
from mooring.container.model import ClaimedDevice, Container
from mooring.controller.scheduler.amounts import capacity
from mooring.controller.scheduler.filters import Filter, make_filters
from mooring.controller.scheduler.names import INDISPENSABLE_FILTERS, MULTIPLIERS, check_multipliers
from mooring.controller.scheduler.picking import Free, card, pick
from mooring.controller.scheduler.prospect import Prospect, Wish
from mooring.controller.scheduler.refusals import Refusals
from mooring.controller.scheduler.requests import device_requests
from mooring.controller.scheduler.walk import all_hosts, hosts_with_room
from mooring.controller.scheduler.weighers import weigh
from mooring.db.api import Candidate, Capacity, Host, Hosts
from mooring.errors import NoValidHost
from mooring.pci.address import PciAddress
from mooring.pci.alias import Alias


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a container may go: what ``Containers.claim`` takes."""

    host: Host
    picks: Mapping[str, ClaimedDevice]
    capacity: Capacity


class Scheduler:
    """Finds hosts for containers. Keeps nothing: whoever places looks at the database, and claims there.

    The work for a container that finds a host is bounded: some hosts are looked at, from a random one on, so that
    controllers seldom think of the same device at the same time. Only when no host will do are all of them looked at,
    for the reasons.
    """

    def __init__(
        self,
        hosts: Hosts,
        settings: SchedulerSettings,
        *,
        aliases: Mapping[str, Alias],
        silent_s: float,
        rng: random.Random | None = None,
    ) -> None:
        """Raise InvalidConfiguration for a filter or a weigher that nobody knows; ``rng`` is for tests."""
        check_multipliers(settings.multipliers)
        self._hosts, self._aliases = hosts, aliases
        self._filters = make_filters(settings)
        self._filters_where_it_is = tuple(each for each in self._filters if each.name in INDISPENSABLE_FILTERS)
        self._multipliers = {**MULTIPLIERS, **settings.multipliers}
        self._silent = timedelta(seconds=silent_s)
        self._rng = rng or random.Random()  # noqa: S311 - it spreads load and keeps no secret

    def place(self, container: Container, now: datetime, *, exclude: Collection[str] = ()) -> Placement:
        """Return a host and devices for a container; raise NoValidHost with the reasons, or InvalidAlias.

        A container that is on a host already gets devices of that host for what has none yet. Hosts that have refused
        it, and those to ``exclude`` by name, are left out.
        """
        wish = Wish(
            spec=container.spec,
            host=container.host or container.spec.host,
            requests=device_requests(container, self._aliases),
            now=now,
            alive_since=now - self._silent,
        )
        filters = self._filters if container.host is None else self._filters_where_it_is
        left_out = dict.fromkeys(exclude, "others were faster") | dict(container.tried)
        refusals = Refusals(filters, left_out)
        for batch in hosts_with_room(self._hosts, wish, self._rng):
            found = self._best(batch, wish, refusals)
            if found is not None:
                return self._placement(found, filters)
        refusals = Refusals(filters, left_out)
        for batch in all_hosts(self._hosts, wish):
            # What was found nowhere may have become free on the way.
            found = self._best(batch, wish, refusals)
            if found is not None:
                return self._placement(found, filters)
        raise NoValidHost(refusals.tell() if refusals else _no_host_at_all(wish))

    def _best(self, batch: Sequence[Candidate], wish: Wish, refusals: Refusals) -> Prospect | None:
        """Return the host of some that weighs most; note those that will not do."""
        prospects = [Prospect(wish=wish, candidate=candidate) for candidate in batch]
        fit = [prospect for prospect in prospects if not refusals.add(prospect)]
        if not fit:
            return None
        weights = weigh(fit, self._multipliers)
        most = max(weights)
        return self._rng.choice([prospect for prospect, weight in zip(fit, weights, strict=True) if weight == most])

    def _placement(self, prospect: Prospect, filters: Sequence[Filter]) -> Placement:
        """Return the host with devices at random, as far as one is as good as another: others are picking, too."""
        picks = pick(prospect.wish.requests, self._shuffled(prospect.candidate.free)) or prospect.picks or {}
        return Placement(host=prospect.host, picks=picks, capacity=capacity(prospect.host, filters))

    def _shuffled(self, free: Free) -> Free:
        """Return devices in another order that leaves those of one card together, and cards in one order for all."""
        ranks: dict[PciAddress, float] = {}

        def rank(device: ClaimedDevice) -> tuple[float, float]:
            return ranks.setdefault(card(device), self._rng.random()), self._rng.random()

        return {wish: sorted(devices, key=rank) for wish, devices in free.items()}


def _no_host_at_all(wish: Wish) -> str:
    if wish.host is not None:
        return f"there is no host {wish.host}"
    return "there is no host yet; a host is there as soon as its mooring node has reported"
