"""The service's database on servers of its own: PostgreSQL and MariaDB, each with the whole contract and its races."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import closing

import pytest
from database_forms import differences
from last_vf_contract import LastVfContract
from sqlalchemy import Connection, create_engine, text
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
from store_world import added, empty, free, interface, note_host, vf

from lab.databases import mariadb, postgresql
from mooring.db import claims, migrations
from mooring.db.api import Capacity, Store
from mooring.db.engine import Database
from mooring.db.store import SqlStore
from mooring.errors import DatabaseUnavailable

# What is lost with the machine's power does not matter here.
SERVERS = {"postgresql": (postgresql, "fsync=off"), "mariadb": (mariadb, "innodb-flush-log-at-trx-commit=0")}


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    start, setting = SERVERS[request.param]
    with start(setting) as url:
        migrations.upgrade(url)
        yield url


@pytest.fixture(scope="module")
def server_store(url: str) -> Iterator[SqlStore]:
    store = SqlStore(url)
    yield store
    store.close()


@pytest.fixture
def store(server_store: SqlStore) -> Iterator[Store]:
    yield server_store
    empty(server_store)


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


class TestLastVf(LastVfContract):
    @pytest.fixture
    def stores(self, url: str, store: SqlStore) -> Iterator[tuple[SqlStore, SqlStore]]:
        with closing(SqlStore(url)) as other:
            yield store, other


def test_migrations_make_the_tables_that_the_code_speaks_of(url: str) -> None:
    assert migrations.current(url) == migrations.newest() == migrations.upgrade(url)
    assert differences(url) == []


def test_connections_that_the_server_has_ended_are_not_noticed(url: str, store: Store) -> None:
    first = added(store)
    end_connections(url)

    assert store.container(first.uuid) == first
    end_connections(url)
    assert store.save(first).revision == first.revision + 1


def test_who_stops_in_the_middle_of_a_claim_has_claimed_nothing(url: str, store: Store) -> None:
    note_host(store, devices=[vf(0)])
    (device,), rival = free(store), added(store, interfaces=(interface(),))
    database = Database(url)

    def half(db: Connection) -> None:
        claims.claim(db, rival, host=store.host("node1"), picks={"i1": device}, capacity=Capacity())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.write(half)
    database.close()

    assert free(store) == [device]
    assert store.container(rival.uuid) == rival


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_that_stops_is_told_and_a_database_without_tables_too(server: str) -> None:
    start, setting = SERVERS[server]
    with start(setting) as url:
        store = SqlStore(url)
        store.ping()
        with pytest.raises(DatabaseUnavailable, match="run 'mooring db upgrade'"):
            store.hosts()
    with warnings.catch_warnings():
        # PyMySQL leaves a socket that could not be connected to be collected.
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(DatabaseUnavailable, match="try again"):
            store.ping()
        gc.collect()
    store.close()


def end_connections(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as db:
        if engine.name == "postgresql":
            others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            db.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
        else:
            ids = db.execute(text("SELECT id FROM information_schema.processlist WHERE id <> connection_id()"))
            for number in ids.scalars().all():
                db.execute(text(f"KILL {number}"))
    engine.dispose()
