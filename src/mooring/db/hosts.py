"""Container hosts as the database has them, and what their operator says of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from mooring.db.api import Host
from mooring.db.inventory import write_devices
from mooring.db.rows import AnyRow, read_host
from mooring.db.tables import containers, hosts
from mooring.db.usage import with_usage
from mooring.errors import HostNotFound, OperationRefused
from mooring.rpc.messages import DeviceReport, HostFacts


def note_host(
    db: Connection, name: str, *, boot_id: str, facts: HostFacts, devices: Sequence[DeviceReport], now: datetime
) -> Host:
    """See Hosts."""
    seen = {"boot_id": boot_id, "facts": facts.model_dump_json(), "seen_at": now}
    row = _lock(db, name)
    if row is None:
        # Another may be doing the same: the key decides, and the loser begins anew.
        first = {"uuid": str(uuid.uuid4()), "name": name, "created_at": now, "updated_at": now, "report_count": 1}
        operators = {"disabled": False, "forced_down": False}
        db.execute(insert(hosts).values(**first, **operators, **seen))
    else:
        is_news = row.boot_id != boot_id or row.facts != seen["facts"]
        counted = {"report_count": row.report_count + 1, "updated_at": now if is_news else row.updated_at}
        db.execute(update(hosts).where(hosts.c.id == row.id).values(**counted, **seen))
    noted = host(db, name)
    write_devices(db, noted.row, devices)
    return noted


def list_hosts(db: Connection, *, marker: str | None = None, limit: int = 1000) -> tuple[Host, ...]:
    """See Hosts."""
    query = select(hosts).order_by(hosts.c.name).limit(limit)
    if marker is not None:
        last = db.execute(select(hosts.c.name).where(hosts.c.uuid == marker)).scalar_one_or_none()
        if last is None:
            raise HostNotFound(marker)
        query = query.where(hosts.c.name > last)
    found = query.cte("found")
    # A row that is joined has lost its place. Only the database knows the order that it cuts by: its collation's.
    return tuple(map(read_host, db.execute(with_usage(found).order_by(found.c.name))))


_BY_KEY: Final = with_usage(
    select(hosts).where(or_(hosts.c.name == bindparam("key"), hosts.c.uuid == bindparam("key"))).limit(1).cte("found")
)


def host(db: Connection, key: str) -> Host:
    """See Hosts."""
    row = db.execute(_BY_KEY, {"key": key}).one_or_none()
    if row is None:
        raise HostNotFound(key)
    return read_host(row)


def set_host(
    db: Connection,
    name: str,
    *,
    disabled: bool | None = None,
    disabled_reason: str | None = None,
    forced_down: bool | None = None,
) -> Host:
    """See Hosts."""
    row = _lock(db, name)
    if row is None:
        raise HostNotFound(name)
    said = {"disabled": disabled, "disabled_reason": disabled_reason, "forced_down": forced_down}
    changes: dict[str, object] = {key: value for key, value in said.items() if value is not None}
    if disabled is False:
        changes["disabled_reason"] = None
    if changes:
        db.execute(update(hosts).where(hosts.c.id == row.id).values(changes))
    return host(db, name)


def forget_host(db: Connection, name: str) -> None:
    """See Hosts."""
    row = _lock(db, name)
    if row is None:
        raise HostNotFound(name)
    # Who places a container locks the host, too.
    count = db.execute(select(func.count()).where(containers.c.host == name)).scalar_one()
    if count:
        raise OperationRefused(f"host {name} has {count} containers: delete them first, or let it report again")
    db.execute(delete(hosts).where(hosts.c.id == row.id))


def _lock(db: Connection, name: str) -> AnyRow | None:
    return db.execute(select(hosts).where(hosts.c.name == name).with_for_update(key_share=True)).one_or_none()
