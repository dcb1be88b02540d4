from __future__ import annotations

from collections.abc import Iterator

import pytest
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
from store_world import empty

from mooring.db.api import Store
from mooring.db.store import SqlStore


@pytest.fixture(scope="module")
def memory() -> Iterator[SqlStore]:
    # One for all: putting the statements together takes longer than a test.
    store = SqlStore("sqlite://")
    yield store
    store.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    store = SqlStore(f"sqlite:///{tmp_path_factory.mktemp('races')}/service.sqlite")
    yield store
    store.close()


@pytest.fixture
def store(memory: SqlStore) -> Iterator[Store]:
    yield memory
    empty(memory)


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


class TestRaces(RaceContract):
    @pytest.fixture
    def store(self, file: SqlStore) -> Iterator[Store]:
        # In memory there is one connection, so nobody races.
        yield file
        empty(file)
