"""Claims: a container gets a host and all its devices there, or nothing; and more of its host, if there is more.

Whoever claims on a host locks the host's row first, and so does who writes what a node reports. Everything that decides
(the operator's word, what is promised, whose a device and its relatives are) is read after that, under READ COMMITTED,
so it is what the one before has committed: two claims, one of a PF and one of its VF, cannot pass each other. Claims on
different hosts do not meet. Locks are taken in the order host, container, devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, bindparam, select

from mooring.container.model import ClaimedDevice, Container
from mooring.db import owners
from mooring.db.api import ROUNDING, Capacity, Host
from mooring.db.containers import WRITE, save, write_if_unchanged
from mooring.db.tables import containers, hosts
from mooring.db.usage import IS_FULL, room_beside, used_on
from mooring.errors import ClaimLost, NoRoom, Outdated

_LOCK: Final = (
    select(hosts.c.disabled, hosts.c.forced_down).where(hosts.c.id == bindparam("host")).with_for_update(key_share=True)
)

_WRITE_IF_ROOM: Final = WRITE.where(~IS_FULL)

_LOCK_NAMED: Final = select(hosts.c.id).where(hosts.c.name == bindparam("host")).with_for_update(key_share=True)
_ASKED: Final = select(containers.c.cpu, containers.c.memory_mib, containers.c.disk_gib).where(
    containers.c.id == bindparam("container")
)


def claim(
    db: Connection, container: Container, *, host: Host, picks: Mapping[str, ClaimedDevice], capacity: Capacity
) -> Container:
    """See Containers."""
    _lock_willing_host(db, host)
    placed = _write_if_room(db, _placed(container, host, picks), capacity)
    for request, device in sorted(picks.items(), key=lambda pick: pick[1].row):
        if not owners.take(db, container, request, device, host_row=host.row):
            raise ClaimLost(host.name, device.address)
    return placed


def grow(db: Connection, container: Container, *, capacity: Capacity, whole: Capacity) -> Container:
    """See Containers."""
    db.execute(_LOCK_NAMED, {"host": container.host})
    before = db.execute(_ASKED, {"container": container.row}).one_or_none()
    saved = save(db, container)
    used = used_on(db, container.host or "")
    for what, name, limit, most in (
        ("processors", "cpu", capacity.cpus, whole.cpus),
        ("MiB of memory", "memory_mib", capacity.memory_mib, whole.memory_mib),
        ("GiB of disk", "disk_gib", capacity.disk_gib, whole.disk_gib),
    ):
        wanted = getattr(container.spec, name) or 0
        promised = float(getattr(used, name))
        if (wanted > most or promised > limit + ROUNDING) and wanted > (getattr(before, name) or 0):
            raise NoRoom(what, wanted=wanted, free=min(most, limit - (promised - wanted)))
    return saved


def _lock_willing_host(db: Connection, host: Host) -> None:
    row = db.execute(_LOCK, {"host": host.row}).one_or_none()
    if row is None or row.disabled or row.forced_down:
        raise ClaimLost(host.name, "of any kind (the host is disabled, down or gone)")


def _placed(container: Container, host: Host, picks: Mapping[str, ClaimedDevice]) -> Container:
    return replace(
        container,
        host=host.name,
        interfaces=tuple(replace(each, device=picks.get(each.id, each.device)) for each in container.interfaces),
        aliases=tuple(replace(each, device=picks.get(each.id, each.device)) for each in container.aliases),
    )


def _write_if_room(db: Connection, container: Container, capacity: Capacity) -> Container:
    """Write a container as placed on its host; raise ClaimLost where that would be promised too much, or Outdated."""
    room = room_beside(container, capacity)
    try:
        return write_if_unchanged(db, container, statement=_WRITE_IF_ROOM, **room)
    except Outdated:
        if not db.execute(select(IS_FULL), {**room, "seen_row": container.row}).scalar_one():
            raise
        words = "of any kind (the host has promised its processors, memory or disk to others)"
        raise ClaimLost(container.host or "", words) from None
