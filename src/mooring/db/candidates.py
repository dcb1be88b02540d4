"""Hosts that may take a container, in the order of their rows, some at a time.

Few queries, whatever is requested and however many hosts there are: the hosts, by the index of free devices; their
devices, counted; and the free ones that might be picked, some of each kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, exists, func, or_, select

from mooring.container.model import ClaimedDevice
from mooring.db.api import Candidate
from mooring.db.groups import ALIKE, Group, Likeness, count_groups
from mooring.db.hosts import read_hosts
from mooring.db.owners import IS_OPEN, fits, is_unblocked
from mooring.db.rows import read_claimable
from mooring.db.tables import devices, hosts
from mooring.pci.requests import DeviceRequest


def candidates(
    db: Connection,
    requests: Sequence[DeviceRequest],
    *,
    after: int,
    limit: int,
    alive_since: datetime,
    only: str | None = None,
    with_room: bool = True,
) -> tuple[Candidate, ...]:
    """See Hosts."""
    kinds = frozenset(replace(request, id="") for request in requests)
    query = _hosts_query(kinds if with_room else None, is_one=only is not None)
    values = {"after": after, "most": limit, "alive_since": alive_since, "only": only}
    found = read_hosts(db, db.execute(query, values).all())
    groups = _by_host(count_groups(db, [host.row for host in found]))
    free = _free_devices(db, groups, kinds, at_most=len(requests))
    return tuple(
        Candidate(
            host=host,
            free={wish.id: _devices(groups[host.row], free, wish) for wish in requests},
            counts={wish.id: _counts(groups[host.row], wish) for wish in requests},
            spare_devices=sum(group.free for group in groups[host.row] if group.likeness.serves_ports),
        )
        for host in found
    )


# Putting a statement together takes longer than having it answered, and few kinds of devices are asked for.
@lru_cache(maxsize=256)
def _hosts_query(kinds: frozenset[DeviceRequest] | None, *, is_one: bool) -> Select[*tuple[Any, ...]]:
    """Return the query for hosts, those with room for some kinds of devices or (None) all."""
    query = select(hosts).where(hosts.c.id > bindparam("after")).order_by(hosts.c.id).limit(bindparam("most"))
    if is_one:
        query = query.where(hosts.c.name == bindparam("only"))
    if kinds is not None:
        query = query.where(~hosts.c.disabled, ~hosts.c.forced_down, hosts.c.seen_at >= bindparam("alive_since"))
        query = query.where(*map(_has_one, kinds))
    return query


def _has_one(kind: DeviceRequest) -> ColumnElement[bool]:
    return exists().where(devices.c.host == hosts.c.id, IS_OPEN, fits(kind), is_unblocked(kind.kind))


def _by_host(groups: Iterable[Group]) -> Mapping[int, Sequence[Group]]:
    sorted_out: defaultdict[int, list[Group]] = defaultdict(list)
    for group in groups:
        sorted_out[group.likeness.host].append(group)
    return sorted_out


def _free_devices(
    db: Connection, groups: Mapping[int, Sequence[Group]], kinds: frozenset[DeviceRequest], *, at_most: int
) -> Mapping[Likeness, Sequence[ClaimedDevice]]:
    """Return free devices that fit any of some requests, ``at_most`` that many of those that are alike."""
    open_: defaultdict[Likeness, list[ClaimedDevice]] = defaultdict(list)
    if groups and kinds:
        for row in db.execute(_devices_query(kinds), {"hosts": list(groups), "most": at_most}):
            open_[Likeness.read(row)].append(read_claimable(row))
    return open_


@lru_cache(maxsize=256)
def _devices_query(kinds: frozenset[DeviceRequest]) -> Select[*tuple[Any, ...]]:
    place = func.row_number().over(partition_by=ALIKE, order_by=devices.c.id).label("place")
    besides = devices.c.id, devices.c.address, devices.c.parent, devices.c.mac
    fitting = devices.c.host.in_(bindparam("hosts", expanding=True)), IS_OPEN, or_(*map(fits, kinds))
    numbered = select(*ALIKE, *besides, place).where(*fitting).subquery()
    return select(numbered).where(numbered.c.place <= bindparam("most")).order_by(numbered.c.id)


def _devices(
    groups: Iterable[Group], free: Mapping[Likeness, Sequence[ClaimedDevice]], wish: DeviceRequest
) -> tuple[ClaimedDevice, ...]:
    # What is blocked is open, but no group counts it as free.
    fitting = [group.likeness for group in groups if group.free and group.likeness.fits(wish)]
    return tuple(device for likeness in fitting for device in free[likeness])


def _counts(groups: Iterable[Group], wish: DeviceRequest) -> tuple[int, int]:
    fitting = [group for group in groups if group.likeness.fits(wish)]
    return sum(group.total for group in fitting), sum(group.free for group in fitting)
