from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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

from mooring.db.api import Store
from mooring.db.store import SqlStore


@pytest.fixture
def store() -> Iterator[Store]:
    store = SqlStore("sqlite://")
    yield store
    store.close()


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
    def store(self, tmp_path: Path) -> Iterator[Store]:
        # In memory there is one connection, so nobody races.
        store = SqlStore(f"sqlite:///{tmp_path}/service.sqlite")
        yield store
        store.close()
