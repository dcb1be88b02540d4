"""What Prometheus reads of the daemon."""

from __future__ import annotations

import errno
import socket
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import World
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
from structlog.testing import capture_logs

import mooring
from mooring.attach.findings import FindingKind
from mooring.attach.observer import observed
from mooring.errors import KernelRefused, StateFileUnusable
from mooring.host.kernel import VfCounters
from mooring.node.host_metrics import HostMetrics, HostViews
from mooring.node.metrics import Metrics
from mooring.pci.device import PhysicalFunction

TRAFFIC = {0: VfCounters(rx_bytes=7, tx_packets=3), 1: VfCounters(tx_dropped=2)}


def sample(name: str, **labels: str) -> str:
    return f"{name} {sorted(labels.items())}"


def scrape(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels, as a Prometheus reads them."""
    families = parse(openmetrics(metrics.registry).decode())
    return {sample(each.name, **each.labels): each.value for family in families for each in family.samples}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


@pytest.fixture
def views(world: World) -> HostViews:
    journal = world.core.journal
    return HostViews(
        vfs=world.core.devices.pool.statuses,
        leases=journal.leases,
        debts=journal.debts,
        quarantined=journal.quarantined,
        findings=world.core.reconciler.findings.counts,
        counters=lambda _: {},
    )


def read(views: HostViews) -> dict[str, float]:
    metrics = Metrics()
    metrics.register(HostMetrics(views))
    return scrape(metrics)


def test_steps_are_timed_by_verb_step_and_outcome() -> None:
    metrics = Metrics()
    with observed(metrics, "attach", "bind"):
        pass
    with pytest.raises(KernelRefused), observed(metrics, "attach", "program"):
        raise KernelRefused("setting the MAC", "0000:02:10.0", errno.EIO)
    metrics.step("detach", "clean", "ok", 0.02)

    samples = scrape(metrics)

    name = "mooring_attachment_step_seconds"
    assert samples[sample(f"{name}_count", verb="attach", step="bind", outcome="ok")] == 1
    assert samples[sample(f"{name}_count", verb="attach", step="program", outcome="kernel-refused")] == 1
    assert samples[sample(f"{name}_bucket", verb="detach", step="clean", outcome="ok", le="0.01")] == 0
    assert samples[sample(f"{name}_bucket", verb="detach", step="clean", outcome="ok", le="0.025")] == 1


def test_findings_are_counted_from_nought() -> None:
    metrics = Metrics()
    metrics.finding("vf-dirty")

    samples = scrape(metrics)

    assert samples[sample("mooring_findings_total", kind="vf-dirty")] == 1
    for kind in FindingKind:
        assert sample("mooring_findings_total", kind=kind.value) in samples


def test_calls_of_neutron_are_counted_by_operation_and_outcome() -> None:
    metrics = Metrics()
    metrics.neutron_call("update_port", "200", 0.3)
    metrics.neutron_call("update_port", "unreachable", 5.0)

    samples = scrape(metrics)

    assert samples[sample("mooring_neutron_calls_total", operation="update_port", outcome="200")] == 1
    assert samples[sample("mooring_neutron_calls_total", operation="update_port", outcome="unreachable")] == 1
    assert samples[sample("mooring_neutron_call_seconds_count", operation="update_port")] == 2


def test_the_daemon_says_which_it_is_and_what_it_uses() -> None:
    samples = scrape(Metrics())

    assert samples[sample("mooring_build_info", version=mooring.__version__)] == 1
    assert samples[sample("process_resident_memory_bytes")] > 0


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
def test_prometheus_reads_them_over_http(accept: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        host, port = probe.getsockname()
    request = urllib.request.Request(f"http://{host}:{port}/metrics", headers={"Accept": accept})

    with Metrics().served((host, port)), urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        text = answer.read().decode()

    assert answer.headers["Content-Type"].startswith(accept)
    assert 'mooring_findings_total{kind="vf-dirty"} 0.0' in text


def test_vfs_are_counted_by_card_network_and_state(world: World, views: HostViews) -> None:
    world.run(world.port())

    samples = read(views)

    card = {"pf": "0000:02:00.0", "physical_network": "physnet2"}
    assert samples[sample("mooring_vfs", **card, state="leased")] == 1
    assert samples[sample("mooring_vfs", **card, state="free")] == 2
    assert samples[sample("mooring_vfs", **card, state="quarantined")] == 0
    assert samples[sample("mooring_vfs", pf="0000:01:00.0", physical_network="physnet1", state="free")] == 7
    assert samples[sample("mooring_leases", step="ready")] == 1
    assert samples[sample("mooring_leases", step="releasing")] == 0


def test_what_is_owed_and_what_is_kept_away_is_counted(world: World, views: HostViews) -> None:
    world.run(world.port(), "endpoint-1")
    world.neutron.unreachable = True
    world.end("endpoint-1")

    assert read(views)[sample("mooring_debts")] == 1
    assert read(views)[sample("mooring_quarantined_vfs")] == 0


def test_findings_that_stand_are_shown_beside_those_that_were() -> None:
    empty = HostViews(
        vfs=tuple, leases=tuple, debts=tuple, quarantined=tuple, findings=lambda: {"vf-taken": 2}, counters=lambda _: {}
    )

    samples = read(empty)

    assert samples[sample("mooring_standing_findings", kind="vf-taken")] == 2
    assert samples[sample("mooring_standing_findings", kind="card-sick")] == 0


def test_traffic_is_told_with_the_port_and_only_where_the_card_counts(world: World, views: HostViews) -> None:
    port = world.port()
    vf = world.run(port)

    def counters(pf: PhysicalFunction) -> Mapping[int, VfCounters]:
        return {vf.index: TRAFFIC[0]} if pf.address == vf.parent else {}

    samples = read(replace(views, counters=counters))

    labels = {"pf": str(vf.parent), "vf": str(vf.address), "port": port.id}
    assert samples[sample("mooring_vf_receive_bytes_total", **labels)] == 7
    assert samples[sample("mooring_vf_transmit_packets_total", **labels)] == 3
    names = Counter(name.partition(" ")[0] for name in samples)
    assert names["mooring_vf_receive_bytes_total"] == 1


def test_a_card_that_cannot_be_read_takes_nothing_else_with_it(views: HostViews) -> None:
    def counters(pf: PhysicalFunction) -> Mapping[int, VfCounters]:
        if str(pf.address) == "0000:01:00.0":
            raise KernelRefused("reading the counters", pf.address, errno.EIO)
        return TRAFFIC

    samples = read(replace(views, counters=counters))

    assert Counter("0000:02:00.0" in name for name in samples if "transmit_dropped" in name) == {True: 2}
    assert sample("mooring_vfs", pf="0000:01:00.0", physical_network="physnet1", state="free") in samples


def test_what_cannot_be_read_is_left_out_and_told_once(views: HostViews) -> None:
    def broken() -> tuple[()]:
        raise StateFileUnusable("node.sqlite", "disk I/O error", "look at the disk")

    collector = HostMetrics(replace(views, leases=broken))
    metrics = Metrics()
    metrics.register(collector)

    with capture_logs() as logs:
        samples = scrape(metrics)
        scrape(metrics)

    assert not [name for name in samples if name.startswith("mooring_leases")]
    assert sample("mooring_debts") in samples
    assert [(entry["event"], entry["which"]) for entry in logs] == [("metrics.not-read", "leases")]


def test_while_a_card_keeps_one_scrape_waiting_the_others_are_answered(views: HostViews) -> None:
    waits, go_on = threading.Event(), threading.Event()
    collector = HostMetrics(views)
    before = {family.name for family in collector.collect()}

    def hang(_: PhysicalFunction) -> Mapping[int, VfCounters]:
        waits.set()
        assert go_on.wait(timeout=20)
        return {}

    collector._views = replace(views, counters=hang)
    stuck = threading.Thread(target=lambda: list(collector.collect()))
    stuck.start()
    assert waits.wait(timeout=10)

    assert {family.name for family in collector.collect()} == before

    go_on.set()
    stuck.join(timeout=10)


def test_an_address_that_is_taken_is_told_and_the_daemon_goes_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, capture_logs() as logs:
        address = other.getsockname()
        with Metrics().served(address):
            pass

    (entry,) = logs
    assert (entry["log_level"], entry["event"]) == ("warning", "metrics.not-served")
    assert entry["address"] == f"127.0.0.1:{address[1]}"
    assert entry["error"].startswith("Address already in use")


def test_all_addresses_are_those_of_both_families() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    with Metrics().served(("::", port)):
        for host in ("127.0.0.1", "[::1]"):
            with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
                assert "mooring_build_info" in answer.read().decode()


def test_nothing_listens_where_no_address_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    listening: list[object] = []
    monkeypatch.setattr(socket.socket, "listen", lambda *asked: listening.append(asked))

    with Metrics().served(None):
        assert listening == []
