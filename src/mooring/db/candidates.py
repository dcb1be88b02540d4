"""Hosts that may take a container, in the order of their uuids, some at a time.

One query, whatever is requested and however many hosts there are: the hosts, by the index of free devices, each with
its devices, counted.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, exists, literal_column, select

from mooring.container.model import ClaimedDevice
from mooring.db.api import Candidate, Host
from mooring.db.groups import COUNTED, Group, read_free, read_groups
from mooring.db.owners import IS_OPEN, fits, is_unblocked
from mooring.db.rows import read_host
from mooring.db.tables import devices, hosts
from mooring.db.usage import with_usage
from mooring.pci.requests import DeviceKind, DeviceRequest


def candidates(
    db: Connection,
    requests: Sequence[DeviceRequest],
    *,
    after: str,
    limit: int,
    alive_since: datetime,
    only: str | None = None,
    with_room: bool = True,
) -> tuple[Candidate, ...]:
    """See Hosts."""
    kinds = frozenset(replace(request, id="") for request in requests)
    query = _query(kinds if with_room else None, is_one=only is not None, limit=limit)
    rows = db.execute(query, {"after": after, "alive_since": alive_since, "only": only}).all()
    of_host: defaultdict[int, list[Group]] = defaultdict(list)
    for group in read_groups(row for row in rows if row.host is not None):
        of_host[group.likeness.host].append(group)
    # A row that is joined has lost its place.
    found = sorted({row.uuid: row for row in rows}.items(), key=itemgetter(0))
    return tuple(_candidate(read_host(row), of_host[row.id], requests) for _, row in found)


def _candidate(host: Host, groups: Sequence[Group], requests: Sequence[DeviceRequest]) -> Candidate:
    fitting = {wish.id: [group for group in groups if group.likeness.fits(wish)] for wish in requests}
    offers = {group.likeness: _offer(group, at_most=len(requests)) for each in fitting.values() for group in each}
    return Candidate(
        host=host,
        free={wish: tuple(chain(*(offers[group.likeness] for group in each))) for wish, each in fitting.items()},
        counts={wish: _counts(each) for wish, each in fitting.items()},
        spare_devices=sum(len(group.free) for group in groups if group.likeness.serves_ports),
    )


def _offer(group: Group, *, at_most: int) -> Sequence[ClaimedDevice]:
    """Return some of the free devices of a group; at random, for others are being offered some at this moment, too."""
    first = int(random.random() * len(group.free))  # noqa: S311 - it spreads load and keeps no secret
    return [read_free(group, text) for text in (group.free[first:] + group.free[:first])[:at_most]]


def _counts(groups: Sequence[Group]) -> tuple[int, int]:
    return sum(group.total for group in groups), sum(len(group.free) for group in groups)


# Putting a statement together takes longer than having it answered, and few kinds of devices are asked for.
@lru_cache(maxsize=256)
def _query(kinds: frozenset[DeviceRequest] | None, *, is_one: bool, limit: int) -> Select[*tuple[Any, ...]]:
    """Return the query for hosts, those with room for some kinds of devices or (None) all, a row for each group."""
    # A number, not a parameter: only so does PostgreSQL know that few are wanted, and makes its plan but once.
    most: ColumnElement[int] = literal_column(str(limit))
    query = select(hosts).where(hosts.c.uuid > bindparam("after")).order_by(hosts.c.uuid).limit(most)
    if is_one:
        query = query.where(hosts.c.name == bindparam("only"))
    if kinds is not None:
        query = query.where(~hosts.c.disabled, ~hosts.c.forced_down, hosts.c.seen_at >= bindparam("alive_since"))
        query = query.where(*map(_has_one, kinds))
    found = query.cte("found")
    groups = COUNTED.join_from(found, devices, devices.c.host == found.c.id).subquery("groups")
    return with_usage(found).add_columns(*groups.c).join(groups, groups.c.host == found.c.id, isouter=True)


def _has_one(kind: DeviceRequest) -> ColumnElement[bool]:
    # Of any kind is no PF; and no PF blocks what has none.
    blockers = is_unblocked(kind.kind or DeviceKind.VF)
    return exists().where(devices.c.host == hosts.c.id, IS_OPEN, fits(kind), blockers)
