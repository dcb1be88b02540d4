"""A controller's part in placing containers, in a process of its own: the scheduler, and a claim of what it found.

Beside it a bare transaction, the floor to compare with: what no way to claim a device can do without.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import psycopg

from bench.schedule_inventory import PHYSICAL_NETWORK, FreeDevice
from mooring.config.settings import SchedulerSettings
from mooring.container.model import Container, Interface
from mooring.container.spec import ContainerSpec
from mooring.controller.scheduler.names import DEFAULT_FILTERS
from mooring.controller.scheduler.scheduler import Scheduler
from mooring.db.api import Action
from mooring.db.store import SqlStore
from mooring.errors import ClaimLost, NoValidHost

_PLACE_BARE: Final = "UPDATE containers SET host = %s, revision = revision + 1 WHERE id = %s AND revision = %s"
_TAKE_BARE: Final = """
UPDATE devices SET container = %s, request = 'eth0' WHERE id = %s AND container IS NULL AND state = 'free'
"""


@dataclass(slots=True)
class Outcome:
    """What one client did: milliseconds of each placing and claiming, devices it got, races it lost, refusals."""

    place_ms: list[float] = field(default_factory=list)
    claim_ms: list[float] = field(default_factory=list)
    both_ms: list[float] = field(default_factory=list)
    devices: list[int] = field(default_factory=list)
    races_lost: int = 0
    refused: int = 0
    processor_ms: float = 0.0


def add_containers(url: str, count: int) -> list[Container]:
    """Write containers that are to be placed."""
    store, _ = _controller(url)
    return [_add_container(store) for _ in range(count)]


def place_added(url: str, containers: Sequence[Container]) -> Outcome:
    """Place containers that are written already, one after the other."""
    return _place_all(*_controller(url), containers)


def claim_bare(url: str, pairs: Sequence[tuple[Container, FreeDevice]]) -> Outcome:
    """Claim devices that are known to be free, one after the other, each in a transaction of two statements."""
    outcome, connection, began = Outcome(), _connection(url), time.process_time()
    for container, device in pairs:
        claiming = time.perf_counter()
        with connection.transaction():
            connection.execute(_PLACE_BARE, (device.host, container.row, container.revision))
            took = connection.execute(_TAKE_BARE, (container.row, device.row)).rowcount
        outcome.both_ms.append((time.perf_counter() - claiming) * 1000)
        outcome.devices += [device.row] * took
    outcome.processor_ms = (time.process_time() - began) * 1000
    return outcome


def _place_all(store: SqlStore, scheduler: Scheduler, containers: Sequence[Container]) -> Outcome:
    outcome, began = Outcome(), time.process_time()
    for container in containers:
        _place(store, scheduler, container, outcome)
    outcome.processor_ms = (time.process_time() - began) * 1000
    return outcome


def _place(store: SqlStore, scheduler: Scheduler, container: Container, outcome: Outcome) -> None:
    began = time.perf_counter()
    while True:
        placing = time.perf_counter()
        try:
            placement = scheduler.place(container, datetime.now(UTC))
        except NoValidHost:
            outcome.refused += 1
            return
        claiming = time.perf_counter()
        try:
            claimed = store.claim(container, host=placement.host, picks=placement.picks, capacity=placement.capacity)
        except ClaimLost:
            outcome.races_lost += 1
            continue
        ended = time.perf_counter()
        outcome.place_ms.append((claiming - placing) * 1000)
        outcome.claim_ms.append((ended - claiming) * 1000)
        outcome.both_ms.append((ended - began) * 1000)
        outcome.devices += [device.row for device in claimed.devices]
        return


@lru_cache
def _connection(url: str) -> psycopg.Connection:
    """Return this process's own."""
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


@lru_cache
def _controller(url: str) -> tuple[SqlStore, Scheduler]:
    """Return this process's own."""
    store = SqlStore(url)
    settings = SchedulerSettings(filters=DEFAULT_FILTERS, multipliers={})
    return store, Scheduler(store, settings, aliases={}, silent_s=86400)


def _add_container(store: SqlStore) -> Container:
    interface = Interface(
        id="eth0",
        network_id="net",
        vnic_type="direct",
        port_id=str(uuid.uuid4()),
        physical_network=PHYSICAL_NETWORK,
    )
    container = Container(
        uuid=str(uuid.uuid4()),
        # Quotas are not what is measured, and containers of one project are added one after the other.
        project_id=str(uuid.uuid4()),
        user_id="bench",
        spec=ContainerSpec(name="bench", image="bench"),
        created_at=datetime.now(UTC),
        interfaces=(interface,),
    )
    action = Action(
        request_id="req-bench",
        container=container.uuid,
        action="create",
        project_id=container.project_id,
        user_id=container.user_id,
        start=container.created_at,
    )
    return store.add_container(container, action=action, limits={})
