"""Which service this is."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, insert, select

from mooring.db.tables import service


def service_id(db: Connection) -> str:
    """See Store. The service's row is locked until the transaction ends."""
    known = db.execute(select(service.c.uuid).with_for_update()).scalar_one_or_none()
    if known is not None:
        return str(known)
    new = str(uuid.uuid4())
    # Another may be doing the same: the key decides, and the loser begins anew.
    db.execute(insert(service).values(id=1, uuid=new))
    return new
