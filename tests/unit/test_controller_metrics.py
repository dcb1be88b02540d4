"""What Prometheus reads of a controller."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from controller_world import empty_store
from prometheus_client import generate_latest

from mooring.controller.metrics import ServiceMetrics
from mooring.db.store import SqlStore
from mooring.errors import DatabaseUnavailable
from mooring.process.metrics import DaemonMetrics
from mooring.testing.nodes import FACTS, card

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def scraped(store: SqlStore) -> str:
    metrics = DaemonMetrics()
    metrics.register(ServiceMetrics(store, silent_s=180, clock=lambda: NOW))
    return generate_latest(metrics.registry).decode()


@pytest.fixture
def store() -> SqlStore:
    return empty_store()


def test_hosts_are_counted_by_what_they_are_good_for_and_devices_by_network(store: SqlStore) -> None:
    for name, seen_at in (("a", NOW), ("b", NOW), ("c", NOW - timedelta(hours=1)), ("d", NOW)):
        store.note_host(name, boot_id="1", facts=FACTS, devices=card(vfs=2), now=seen_at)
    store.set_host("b", disabled=True)
    store.set_host("d", forced_down=True)

    text = scraped(store)

    assert 'mooring_hosts{state="up"} 1.0' in text
    assert 'mooring_hosts{state="disabled"} 1.0' in text
    assert 'mooring_hosts{state="down"} 2.0' in text
    assert 'mooring_devices{kind="type-VF",physical_network="physnet2",state="total"} 8.0' in text
    assert 'mooring_devices{kind="type-VF",physical_network="physnet2",state="free"} 8.0' in text


def test_while_the_database_is_away_the_rest_can_be_read(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: object) -> None:
        raise DatabaseUnavailable("refused")

    monkeypatch.setattr(store, "hosts", away)

    text = scraped(store)

    assert "mooring_build_info" in text
    assert "mooring_hosts" not in text
