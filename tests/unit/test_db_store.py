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
