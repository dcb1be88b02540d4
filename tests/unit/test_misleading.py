"""What misleads the rounds: neighbours that say less than the truth must not cost a living container its interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import attach_world
import pytest
from attach_world import HOST, World
from structlog.testing import capture_logs

from mooring.errors import KernelRefused, NeutronRefused, NeutronUnreachable
from mooring.neutron.api import PortNews
from mooring.pci.address import PciAddress


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.containers = set()
    yield world
    world.kill()


def start(world: World, attachment: str = "endpoint-1", **attributes: object) -> str:
    """Run a container and return its port's id."""
    port = world.port(**attributes)
    assert world.containers is not None
    world.containers.add(attachment)
    world.run(port, attachment)
    world.core.round()
    return port.id


def attachments(world: World) -> set[str]:
    return {lease.attachment for lease in world.core.journal.leases()}


def test_an_account_that_sees_nothing_any_more_ends_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    start(world, "endpoint-1")
    start(world, "endpoint-2")
    send = world.neutron.server.send

    def blind(operation: str, doing: str, *words: object, **more: object) -> object:
        if operation == "list_ports":
            return {"ports": []}
        if operation in ("show_port", "show_network"):
            raise NeutronRefused(doing, 404, "not found")
        return send(operation, doing, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(world.neutron.server, "send", blind)
    world.later(3600, rounds=20)

    assert attachments(world) == {"endpoint-1", "endpoint-2"}


def test_a_copy_of_neutron_that_lags_ends_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    port_id = start(world)
    bound = world.neutron.now(port_id)
    stale = replace(bound, host="", device_id="", revision=bound.revision - 2)

    monkeypatch.setattr(world.neutron, "ports", lambda **_: ())
    monkeypatch.setattr(world.neutron, "port", lambda _: stale)
    world.later(3600, rounds=20)

    assert attachments(world) == {"endpoint-1"}


def test_a_host_that_gets_another_name_keeps_its_containers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    port_id = start(world)
    world.kill()
    monkeypatch.setattr(attach_world, "HOST", f"{HOST}.example.org")
    with capture_logs() as told:
        world.start()
    world.later()

    assert attachments(world) == {"endpoint-1"}
    assert [event["now"] for event in told if event["event"] == "host.renamed"] == [f"{HOST}.example.org"]

    world.end()
    assert world.neutron.now(port_id).host == ""


def test_ports_of_other_hosts_are_not_unbound_by_a_cloud_that_overlooks_the_filter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = world.port()
    world.neutron.change_port(
        other.id, **{"binding:host_id": "host-b", "device_id": "elsewhere", "device_owner": attach_world.OWNER}
    )
    everybody = world.neutron.ports

    monkeypatch.setattr(world.neutron, "ports", lambda **_: everybody())
    world.later(3600, rounds=20)

    assert world.neutron.now(other.id).host == "host-b"


def test_a_port_that_cannot_be_read_does_not_hide_what_became_of_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = world.neutron.add_qos_policy(max_kbps=5000)
    start(world, "endpoint-1", qos_policy_id=policy)
    deleted = start(world, "endpoint-2")

    def refuse(policy_id: str) -> None:
        raise NeutronRefused(f"reading QoS policy {policy_id}", 500, "internal error")

    monkeypatch.setattr(world.neutron, "egress_limits", refuse)
    world.neutron.drop_port(deleted)
    world.later(3600, rounds=20)

    assert attachments(world) == {"endpoint-1"}


def test_a_trusted_container_keeps_the_mac_that_it_chose(world: World) -> None:
    network = world.neutron.add_network("trusted", physical_network="physnet1", vlan=7)
    assert world.containers is not None
    world.containers.add("endpoint-1")
    vf = world.run(world.neutron.add_port(network, trusted=True))
    world.kernel.set_mac(vf, "02:00:00:00:00:77")

    world.later(3600, rounds=20)

    assert world.held(vf.address).mac == "02:00:00:00:00:77"
    world.end()
    world.later()
    assert world.unclean() == []


def test_a_dirty_vf_is_cleaned_although_its_card_is_busy(world: World) -> None:
    world.core.round()
    victim = world.kernel.vf(PciAddress.parse("0000:02:10.4"))
    world.kernel.write_settings(victim, replace(world.held(victim.address), vlan=77))

    for number in range(6):
        start(world, f"endpoint-{number}")
        world.now_s += 20
        world.core.round()
        world.end(f"endpoint-{number}")
        world.now_s += 20
        world.core.round()

    assert world.held(victim.address).vlan == 0


def test_a_start_that_takes_a_debt_over_and_fails_before_its_binding_leaves_the_port_free(world: World) -> None:
    profile = {"pci_slot": "0000:02:10.2"}
    port_id = start(world, profile=profile)
    world.neutron.unreachable = True
    world.end()
    world.neutron.unreachable = False
    world.containers = None  # nobody can tell orphans now

    world.core.engine.lease(world.request(world.neutron.now(port_id), "endpoint-2"))
    world.core.engine.detach("endpoint-2")
    world.later()

    assert world.unclean() == []
    assert world.neutron.now(port_id).profile == profile


def test_a_binding_in_doubt_stays_in_doubt_when_the_release_is_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.core.engine.lease(world.request(world.port()))
    with monkeypatch.context() as broken:
        broken.setattr(world.neutron, "bind", _silence)
        broken.setattr(world.core.journal, "end", _power_failure)
        with pytest.raises(OSError, match="power"):
            world.core.engine.attach("endpoint-1")
    world.kill()

    world.neutron.unreachable = True
    with suppress(NeutronUnreachable):
        world.start()

    assert [entry.debt.doubtful for entry in world.core.journal.debts()] == [True]


def test_a_binding_in_doubt_stays_in_doubt_when_the_host_reboots_before_its_release_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.core.engine.lease(world.request(world.port()))
    with monkeypatch.context() as broken:
        broken.setattr(world.neutron, "bind", _silence)
        broken.setattr(world.core.journal, "end", _power_failure)
        with pytest.raises(OSError, match="power"):
            world.core.engine.attach("endpoint-1")
    world.kill()
    world.kernel.reboot()

    world.neutron.unreachable = True
    with suppress(NeutronUnreachable):
        world.start()

    assert [entry.debt.doubtful for entry in world.core.journal.debts()] == [True]


def _silence(*_: object) -> None:
    raise NeutronUnreachable("binding port", "no answer")


def _power_failure(*_: object, **__: object) -> None:
    raise OSError("power failure")


def test_a_start_that_neutron_does_not_answer_waits_for_it_once(world: World) -> None:
    world.core.engine.lease(world.request(world.port()))
    world.neutron.calls.clear()
    world.neutron.unreachable = True

    with pytest.raises(NeutronUnreachable):
        world.core.engine.attach("endpoint-1")

    assert world.neutron.calls == ["bind_port"]


def test_news_of_other_hosts_ports_wake_nobody(world: World) -> None:
    start(world)
    world.core.settlement.wait(0)

    world.core.follower.hear(PortNews(port_id="somebody-elses", revision=3))

    assert not world.core.settlement._nudged.is_set()


def test_a_port_that_stays_down_is_not_asked_for_at_every_nudge(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    port_id = start(world)
    monkeypatch.setattr(world.neutron, "report_devices", lambda *_, **__: None)
    world.neutron.server.tables["ports"][port_id]["status"] = "DOWN"
    world.core.round()
    world.neutron.calls.clear()

    for _ in range(50):
        world.core.settlement.settle()

    assert len(world.neutron.calls) <= 1


def test_a_card_that_does_not_come_home_is_told_once_however_often_it_is_tried(world: World) -> None:
    start(world, vnic_type="direct-physical")
    world.containers = set()
    with capture_logs() as told:
        world.core.engine.detach("endpoint-1")
        for _ in range(20):
            world.now_s += 2
            world.core.reconciler.sweep()

    events = [event["event"] for event in told]
    assert (events.count("device.not-clean"), events.count("attachment.ended")) == (1, 0)


def test_the_quarantine_of_a_vf_that_has_left_the_host_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    start(world)
    lease = world.core.engine.find("endpoint-1")
    assert lease is not None
    assert lease.device is not None

    def refuse(*_: object, **__: object) -> None:
        raise KernelRefused("setting the VLAN", lease.place, 5)

    with monkeypatch.context() as broken:
        broken.setattr(world.kernel, "write_settings", refuse)
        world.core.engine.detach("endpoint-1")
    world.kernel.unplug(world.kernel.vf(lease.device))
    assert list(world.core.journal.quarantined()) == [lease.device]

    world.later(1200, rounds=10)

    assert world.core.journal.quarantined() == {}
