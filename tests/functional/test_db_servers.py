"""The service's database on servers of its own: PostgreSQL and MariaDB, each with the whole contract and its races."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import create_engine
from store_contract import (
    CandidateContract,
    ClaimContract,
    ContainerContract,
    DeviceContract,
    DueContract,
    HistoryContract,
    HostContract,
    ListContract,
    PortContract,
    QuotaContract,
    RaceContract,
)

from lab.databases import mariadb, postgresql
from mooring.db.api import Store
from mooring.db.migrations import upgrade
from mooring.db.store import SqlStore
from mooring.db.tables import metadata

# What is lost with the machine's power does not matter here.
SERVERS = {"postgresql": (postgresql, "fsync=off"), "mariadb": (mariadb, "innodb-flush-log-at-trx-commit=0")}


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    start, setting = SERVERS[request.param]
    with start(setting) as url:
        upgrade(url)
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with ExitStack() as after:
        store = SqlStore(url)
        after.callback(empty, url)
        after.callback(store.close)
        yield store


def empty(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as db:
        for table in reversed(metadata.sorted_tables):
            db.execute(table.delete())
    engine.dispose()


class TestContainers(ContainerContract): ...


class TestLists(ListContract): ...


class TestPorts(PortContract): ...


class TestDue(DueContract): ...


class TestClaims(ClaimContract): ...


class TestHosts(HostContract): ...


class TestDevices(DeviceContract): ...


class TestCandidates(CandidateContract): ...


class TestHistory(HistoryContract): ...


class TestQuotas(QuotaContract): ...


class TestRaces(RaceContract): ...
