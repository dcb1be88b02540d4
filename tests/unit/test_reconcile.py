"""What the kernel, Neutron, Docker and people do behind mooring's back, and what an operator sees of it."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import attach_world
import pytest
from attach_world import HOST, KINDS, World
from structlog.testing import capture_logs

from mooring.attach.observer import Nobody
from mooring.attach.pool import VfState
from mooring.attach.types import Lease, LeaseStep
from mooring.errors import InvalidRequest, KernelRefused, NeutronRefused, NeutronUnreachable, StateFileUnusable
from mooring.host.kernel import VFIO, VfSettings
from mooring.neutron.api import PortNews
from mooring.neutron.model import Port
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction, VirtualFunction

SLOT = PciAddress.parse("0000:02:10.2")
PF = PciAddress.parse("0000:02:00.0")


@dataclass
class Told(Nobody):
    """What an operator is told: the log, and the metrics."""

    log: list[MutableMapping[str, Any]]
    counted: list[str] = field(default_factory=list)

    def finding(self, kind: str) -> None:
        self.counted.append(kind)

    @property
    def findings(self) -> list[str]:
        """The kinds of the findings, each as often as it was told; the log and the metrics must tell the same."""
        logged = [entry["kind"] for entry in self.log if entry["event"] == "finding"]
        assert Counter(logged) == Counter(self.counted)
        return logged


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    with capture_logs() as log:
        told = Told(log)
        for side in ("Reconciler", "Follower"):
            monkeypatch.setattr(attach_world, side, partial(getattr(attach_world, side), observer=told))
        yield told


@pytest.fixture
def world(tmp_path: Path, told: Told) -> Iterator[World]:
    world = World(tmp_path)
    world.containers = set()
    told.log.clear()
    yield world
    world.kill()


def running(world: World, port: Port | None = None, attachment: str = "endpoint-1") -> VirtualFunction:
    """Start a container, as Docker does, and let mooring see it."""
    vf = world.run(port or world.port(), attachment)
    assert isinstance(vf, VirtualFunction)
    world.core.round()
    return vf


def start(world: World, kind: str) -> Lease:
    """Start a container of some kind, as Docker does, and let mooring see it."""
    vnic_type, wishes = KINDS[kind]
    world.run(world.port(vnic_type=vnic_type), **wishes)
    world.core.round()
    lease = world.core.engine.find("endpoint-1")
    assert lease is not None
    return lease


def removed(world: World, attachment: str = "endpoint-1") -> None:
    """Let Docker remove a container whose device does not come home before."""
    if world.containers is not None:
        world.containers.discard(attachment)
    world.core.engine.detach(attachment)


def status(world: World) -> str:
    """Return the status of the only port."""
    (port,) = world.neutron.server.tables["ports"].values()
    return str(port["status"])


def everything(world: World) -> tuple[object, ...]:
    """Return how kernel, Open vSwitch, container engines' catalogue and ports are."""
    ports = repr(world.neutron.server.tables["ports"])
    return world.kernel.state(), world.switch.state(), world.catalogue.devices, ports


def pf(world: World) -> PhysicalFunction:
    found = world.kernel.find(PF)
    assert isinstance(found, PhysicalFunction)
    return found


def states(world: World) -> dict[PciAddress, VfState]:
    return {status.pooled.address: status.state for status in world.core.devices.pool.statuses()}


# Nothing happens


@pytest.mark.parametrize("kind", KINDS)
def test_neither_rounds_nor_restarts_change_anything_where_all_is_well(world: World, told: Told, kind: str) -> None:
    start(world, kind)
    before = everything(world)

    world.later()
    world.kill()
    world.start()
    world.later()

    assert everything(world) == before
    assert world.check() == ()
    assert told.findings == []


# Containers and Docker


@pytest.mark.parametrize("kind", KINDS)
def test_a_container_that_was_killed_and_of_which_nobody_told_is_ended(world: World, told: Told, kind: str) -> None:
    lease = start(world, kind)
    world.die(lease)

    world.core.round()
    assert world.core.engine.find("endpoint-1") is not None, "Docker may be about to tell"
    world.later()

    assert "container-gone" in told.findings
    assert len(told.findings) == len(set(told.findings)), "each was told once"
    assert world.unclean() == []


@pytest.mark.parametrize("kind", ["direct", "direct-physical", "normal"])
def test_a_container_that_was_killed_shows_in_the_kernel_too_where_docker_cannot_be_asked(
    world: World, told: Told, kind: str
) -> None:
    lease = start(world, kind)
    world.containers = None
    world.die(lease)

    world.later()

    assert told.findings == ["container-gone"]
    assert world.unclean() == []


def test_a_killed_containers_vf_that_comes_home_late_is_cleaned_and_its_port_given_back(
    world: World, told: Told
) -> None:
    vf = running(world)
    world.kernel.container_dies(vf)
    assert world.kernel.vf(vf.address).netdev != "vf000002100", "it bears no name of the host's"

    world.later()

    assert told.findings == ["container-gone"]
    assert world.unclean() == []


def test_endpoints_that_a_killed_dockerd_forgot_are_ended_although_their_namespace_lives_on(
    world: World, told: Told
) -> None:
    running(world)
    world.containers = set()

    world.core.round()
    assert world.core.engine.find("endpoint-1") is not None, "Docker may be about to tell"
    world.later()

    assert told.findings == ["container-gone"]
    assert world.unclean() == []


def test_a_docker_that_does_not_answer_ends_nothing(world: World, told: Told) -> None:
    running(world)
    world.containers = None

    world.later(rounds=10)

    assert (status(world), told.findings) == ("ACTIVE", [])
    assert world.check() == ()


def test_a_container_that_docker_does_not_list_yet_is_not_ended(world: World, told: Told) -> None:
    running(world)
    world.containers = set()
    world.core.round()
    world.later(50, rounds=5)

    world.containers = {"endpoint-1"}
    world.later()

    assert (status(world), told.findings) == ("ACTIVE", [])


def test_a_device_that_is_home_for_a_moment_is_not_taken_away(world: World, told: Told) -> None:
    vf = running(world)
    for _ in range(5):
        world.kernel.move_to_host(vf, "vf000002100")
        world.later(100, rounds=5)
        world.kernel.move_to_container(world.kernel.vf(vf.address), "eth0")
        world.later(100, rounds=5)

    assert (status(world), set(told.findings)) == ("ACTIVE", {"device-gone"})
    assert len(world.core.journal.leases()) == 1


def test_a_start_that_waits_for_neutron_for_long_is_not_taken_for_a_dead_container(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.core.engine.lease(world.request(world.port()))

    def wait_long(attachment: str) -> None:
        assert attachment == "endpoint-1"
        world.later()

    monkeypatch.setattr(world.core.engine, "_await_active", lambda lease: wait_long(lease.attachment))
    world.core.engine.attach("endpoint-1")

    assert world.check() != (), "its VF is still home"
    assert told.findings == []


def test_containers_that_were_removed_while_mooring_was_away_are_ended_when_it_returns(
    world: World, told: Told
) -> None:
    running(world, attachment="endpoint-1")
    vf = running(world, attachment="endpoint-2")
    running(world, attachment="endpoint-3")
    world.kill()
    world.containers = {"endpoint-3"}
    world.kernel.container_dies(vf)

    world.start()
    world.later()

    assert [lease.attachment for lease in world.core.journal.leases()] == ["endpoint-3"]
    assert told.findings == ["container-gone"] * 2


def test_after_a_reboot_nothing_is_leased_and_every_port_is_given_back(world: World, told: Told) -> None:
    running(world, attachment="endpoint-1")
    world.core.engine.lease(world.request(world.port(), "endpoint-2"))
    world.kill()
    world.kernel.reboot()
    world.containers = set()

    world.start()
    world.later()

    assert world.unclean() == []
    assert "container-gone" not in told.findings


def test_a_start_that_was_between_its_two_calls_when_mooring_was_restarted_succeeds(world: World) -> None:
    world.core.engine.lease(world.request(world.port()))
    world.kill()

    world.start()
    world.core.engine.attach("endpoint-1")

    assert world.core.engine.find("endpoint-1") is not None
    removed(world)
    assert world.unclean() == []


def test_a_start_that_was_cut_off_and_that_docker_knows_no_more_gives_its_vf_back_soon(
    world: World, told: Told
) -> None:
    world.core.engine.lease(world.request(world.port()))
    world.kill()

    world.start()
    world.core.round()
    world.later(90)

    assert told.findings == ["container-gone"]
    assert world.unclean() == []


def test_containers_of_a_kind_that_is_enabled_no_more_stay_and_end_as_all_do(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(world)
    world.kill()
    monkeypatch.setattr(attach_world, "DRIVERS", ("veth",))

    world.start()
    world.later()
    assert (status(world), told.findings) == ("ACTIVE", [])
    removed(world)

    assert world.unclean() == []


def test_a_release_that_docker_is_at_is_not_told_as_cut_off(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(world)
    write_settings = world.kernel.write_settings
    inside: list[LeaseStep] = []

    def sweep_meanwhile(vf: VirtualFunction, wanted: VfSettings) -> frozenset[str]:
        lease = world.core.engine.find("endpoint-1")
        assert lease is not None
        inside.append(lease.step)
        world.core.reconciler.sweep()
        return write_settings(vf, wanted)

    with monkeypatch.context() as patched:
        patched.setattr(world.kernel, "write_settings", sweep_meanwhile)
        removed(world)

    assert inside == [LeaseStep.RELEASING]
    assert (told.findings, world.unclean()) == ([], [])


# Neutron


def test_the_attachment_of_a_deleted_port_is_ended(world: World, told: Told) -> None:
    port = world.port()
    running(world, port)
    world.neutron.listen(HOST, world.core.follower.hear)
    world.neutron.drop_port(port.id)

    world.core.follower.attend()

    assert told.findings == ["port-deleted"]
    world.later()
    assert world.unclean() == []
    removed(world)


def test_the_attachment_of_a_port_whose_deletion_nobody_announced_is_ended_when_it_stays_away(
    world: World, told: Told
) -> None:
    port = world.port()
    running(world, port)
    world.neutron.drop_port(port.id)

    world.later(120)
    assert (told.findings, len(world.core.journal.leases())) == (["port-unseen"], 1)

    world.later()
    assert told.findings == ["port-unseen", "port-deleted"]
    assert world.unclean() == []
    removed(world)


@pytest.mark.parametrize(
    "change",
    [
        {"binding:host_id": "host-b"},
        {"device_id": "a machine", "device_owner": "compute:nova"},
        {"binding:host_id": "host-b", "device_id": "a machine", "device_owner": "compute:nova"},
    ],
    ids=["host", "device", "both"],
)
def test_a_port_that_somebody_else_took_is_left_to_them_and_the_attachment_is_ended(
    world: World, told: Told, change: dict[str, object]
) -> None:
    port = world.port()
    running(world, port)
    taken = world.neutron.change_port(port.id, **change)

    world.later()

    assert told.findings == ["port-taken"]
    assert world.neutron.now(port.id) == taken
    world.neutron.drop_port(port.id)
    assert world.unclean() == []


@pytest.mark.parametrize(
    "change",
    [
        {"binding:host_id": "", "device_id": "", "device_owner": "", "binding:profile": {}},
        {"binding:host_id": ""},
        {"device_id": "", "device_owner": ""},
    ],
    ids=["all", "host", "device"],
)
def test_a_port_that_was_unbound_by_hand_is_given_up_and_bears_no_trace(
    world: World, told: Told, change: dict[str, object]
) -> None:
    port = world.port()
    running(world, port)
    world.neutron.change_port(port.id, **change)

    world.later()

    assert told.findings == ["port-taken"]
    assert world.unclean() == []
    assert world.neutron.now(port.id).profile == {}


def test_a_binding_that_fails_later_is_bound_once_more_as_soon_as_neutron_can(world: World, told: Told) -> None:
    port = world.port()
    running(world, port)
    world.neutron.kill_agent(HOST)
    assert world.write_in_profile(port, somebodys="key").vif_type == "binding_failed"

    world.later()
    assert (status(world), set(told.findings)) == ("DOWN", {"port-changed", "port-taken"})
    assert len(told.findings) == 2

    world.neutron.report_agent(HOST, world.core.devices.pool.mappings(), started=True)
    world.later()
    assert (status(world), len(told.findings)) == ("ACTIVE", 2)
    removed(world)
    assert world.unclean() == []


def test_a_port_whose_container_is_removed_while_neutron_is_asked_is_not_bound_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = world.port()
    running(world, port)
    world.neutron.kill_agent(HOST)
    world.write_in_profile(port, somebodys="key")
    world.neutron.report_agent(HOST, world.core.devices.pool.mappings(), started=True)
    list_ports = world.neutron.ports

    def removed_meanwhile(**filters: Any) -> tuple[Port, ...]:  # noqa: ANN401 - whatever ports() takes
        ports = list_ports(**filters)
        removed(world)
        return ports

    with monkeypatch.context() as patched:
        patched.setattr(world.neutron, "ports", removed_meanwhile)
        world.core.follower.round()

    assert world.neutron.now(port.id).host == ""
    assert world.unclean() == []


def test_a_port_that_another_agent_sets_down_is_active_again_soon(world: World, told: Told) -> None:
    port = world.port()
    running(world, port)

    for _ in range(3):
        world.neutron.server.report_devices(HOST, up=[], down=[port.id])
        assert status(world) == "DOWN"
        world.core.round()
        world.core.round()
        assert status(world) == "ACTIVE"

    assert told.findings == []


def test_what_neutron_announces_is_followed_before_the_next_round(world: World, told: Told) -> None:
    port = world.port()
    vf = running(world, port)
    world.neutron.listen(HOST, world.core.follower.hear)

    world.neutron.change_port(port.id, port_security_enabled=False)
    world.core.follower.attend()

    assert world.held(vf.address).spoof_check is False
    world.later()
    assert told.findings == ["port-changed"]


def test_what_neutron_announces_before_it_falls_silent_is_followed_as_soon_as_it_answers(
    world: World, told: Told
) -> None:
    changed, deleted = world.port(), world.port()
    vf = running(world, changed)
    running(world, deleted, "endpoint-2")
    world.neutron.listen(HOST, world.core.follower.hear)
    world.neutron.change_port(changed.id, port_security_enabled=False)
    world.neutron.drop_port(deleted.id)
    world.neutron.unreachable = True

    for _ in range(2):
        with pytest.raises(NeutronUnreachable):
            world.core.follower.attend()
    world.neutron.unreachable = False
    world.core.follower.attend()

    assert world.held(vf.address).spoof_check is False
    assert sorted(told.findings) == ["port-changed", "port-deleted"]
    world.neutron.calls.clear()
    world.core.follower.attend()
    assert world.neutron.calls == []


def test_what_neutron_announces_is_followed_though_neutron_fails_when_it_is_asked(world: World, told: Told) -> None:
    changed, deleted, last = world.port(), world.port(), world.port()
    vfs = [running(world, port, port.id) for port in (changed, deleted, last)]
    world.neutron.listen(HOST, world.core.follower.hear)
    world.neutron.change_port(changed.id, port_security_enabled=False)
    world.neutron.drop_port(deleted.id)
    world.neutron.change_port(last.id, port_security_enabled=False)
    for call in (1, 2):
        world.neutron.fail_call(call, error=NeutronRefused("reading a port", 500, "Request Failed: internal error"))

    world.core.follower.attend()
    assert [world.held(vf.address).spoof_check for vf in vfs] == [True, True, False]
    world.now_s += 30
    world.core.follower.attend()

    assert world.held(vfs[0].address).spoof_check is False
    assert world.core.engine.find(deleted.id) is None
    assert sorted(set(told.findings)) == ["port-changed", "port-deleted", "port-unseen"]


def test_a_neutron_that_fails_for_a_port_is_asked_at_a_pace_and_told_of_once(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, other = world.port(), world.port()
    vfs = [running(world, port, port.id) for port in (failing, other)]
    read, asked = world.neutron.port, []

    def fail(port_id: str) -> Port:
        asked.append(port_id)
        if port_id == failing.id:
            raise NeutronRefused("reading a port", 500, "Request Failed: internal error")
        return read(port_id)

    with monkeypatch.context() as broken:
        broken.setattr(world.neutron, "port", fail)
        world.core.follower.hear(PortNews(port_id=failing.id))
        for _ in range(20):
            world.core.follower.attend()
        assert asked == [failing.id]
        world.neutron.listen(HOST, world.core.follower.hear)
        world.neutron.change_port(other.id, port_security_enabled=False)
        world.core.follower.attend()
        assert asked == [failing.id, other.id], "others do not wait for it"
        # Neutron's list shows the port all the while.
        for _ in range(4):
            world.core.follower.round()
            world.now_s += 30
            world.core.follower.attend()
    assert asked == [failing.id, other.id, *4 * [failing.id]]
    assert [entry["event"] for entry in told.log if entry.get("subject") == failing.id] == ["finding"]
    world.now_s += 30
    world.core.follower.attend()
    world.core.follower.round()

    assert [entry["event"] for entry in told.log if entry.get("subject") == failing.id] == ["finding", "finding.over"]
    assert [world.held(vf.address).spoof_check for vf in vfs] == [True, False]


def test_what_neutron_announces_and_does_not_show_is_asked_for_once_and_left_to_the_rounds(
    world: World, told: Told
) -> None:
    port = world.port()
    vf = running(world, port)
    world.neutron.listen(HOST, world.core.follower.hear)
    world.neutron.change_port(port.id, port_security_enabled=False)
    world.neutron.fail_call(1, error=NeutronRefused("reading a port", 403, "rule:get_port is disallowed"))

    world.core.follower.attend()
    assert told.findings == ["port-unseen"]
    world.neutron.calls.clear()
    world.core.follower.attend()
    assert world.neutron.calls == []
    world.core.follower.round()

    assert world.held(vf.address).spoof_check is False


@pytest.mark.parametrize("silent", [0, 1])
def test_a_port_that_neutron_never_answers_for_does_not_keep_the_others_from_being_followed(
    world: World, monkeypatch: pytest.MonkeyPatch, silent: int
) -> None:
    ports = [world.port(), world.port()]
    vfs = [running(world, port, port.id) for port in ports]
    world.neutron.listen(HOST, world.core.follower.hear)
    for port in ports:
        world.neutron.change_port(port.id, port_security_enabled=False)
    read = world.neutron.port

    def hang(port_id: str) -> Port:
        if port_id == ports[silent].id:
            raise NeutronUnreachable(f"reading port {port_id}", "timed out")
        return read(port_id)

    monkeypatch.setattr(world.neutron, "port", hang)
    for _ in range(2):
        with pytest.raises(NeutronUnreachable):
            world.core.follower.attend()

    assert [world.held(vf.address).spoof_check for vf in vfs] == [silent == 0, silent == 1]


def test_what_neutron_announces_while_a_start_is_under_way_is_followed_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = world.port()
    world.neutron.listen(HOST, world.core.follower.hear)
    write = world.kernel.write_settings

    def announce(vf: VirtualFunction, wanted: VfSettings) -> frozenset[str]:
        monkeypatch.setattr(world.kernel, "write_settings", write)
        world.neutron.change_port(port.id, port_security_enabled=False)
        world.core.follower.attend()
        return write(vf, wanted)

    monkeypatch.setattr(world.kernel, "write_settings", announce)
    vf = world.run(port)
    assert world.held(vf.address).spoof_check is True

    world.core.follower.attend()

    assert world.held(vf.address).spoof_check is False


def test_a_port_set_down_by_its_owner_is_silenced_and_heard_again(world: World, told: Told) -> None:
    world.kernel._pfs[PF].unsupported = frozenset()
    port = world.port()
    vf = running(world, port)

    world.neutron.change_port(port.id, admin_state_up=False)
    world.later()
    assert (world.held(vf.address).link_state, status(world)) == ("disable", "DOWN")
    assert told.findings == ["port-changed"]

    world.neutron.change_port(port.id, admin_state_up=True)
    world.later()
    assert (world.held(vf.address).link_state, status(world)) == ("auto", "ACTIVE")
    removed(world)
    assert world.unclean() == []


def test_a_card_that_cannot_silence_a_vf_says_so_once_and_the_container_stays(world: World, told: Told) -> None:
    port = world.port()
    running(world, port)

    world.neutron.change_port(port.id, admin_state_up=False)
    world.later(rounds=10)

    assert sorted(told.findings) == ["port-changed", "settings-lacking"]
    assert status(world) == "DOWN"
    removed(world)
    assert world.unclean() == []


def test_a_port_that_changes_before_it_is_reported_up_is_followed_all_the_same(world: World, told: Told) -> None:
    port = world.port()
    vf = world.run(port)
    world.neutron.change_port(port.id, port_security_enabled=False)

    world.later()

    assert world.held(vf.address).spoof_check is False
    assert (status(world), told.findings) == ("ACTIVE", ["port-changed"])
    removed(world)
    assert world.unclean() == []


def test_trust_is_given_and_taken_away_with_the_port(world: World, told: Told) -> None:
    network = world.neutron.add_network("trusting", physical_network="physnet1", vlan=8)
    port = world.neutron.add_port(network)
    vf = running(world, port)

    for trusted in (True, False):
        world.neutron.change_port(port.id, trusted=trusted)
        world.later()
        assert world.held(vf.address).trust is trusted
    removed(world)

    assert told.findings == ["port-changed"] * 2
    assert world.unclean() == []


def test_a_qos_policy_is_followed_when_it_is_attached_edited_detached_and_dropped(world: World, told: Told) -> None:
    port = world.port()
    vf = running(world, port)
    policy = world.neutron.add_qos_policy(max_kbps=100_000)

    world.neutron.change_port(port.id, qos_policy_id=policy)
    world.later()
    assert world.held(vf.address).max_tx_rate == 100
    world.neutron.change_rule(policy, max_kbps=50_000)
    world.later()
    assert world.held(vf.address).max_tx_rate == 50
    world.neutron.change_port(port.id, qos_policy_id=None)
    world.later()
    assert world.held(vf.address).max_tx_rate == 0
    assert told.findings == ["port-changed"] * 3

    world.neutron.change_port(port.id, qos_policy_id=policy)
    world.later()
    removed(world)
    assert world.unclean() == []


def test_a_round_asks_neutron_once_for_all_ports_and_once_for_a_policy_that_several_have(world: World) -> None:
    policy = world.neutron.add_qos_policy(max_kbps=100_000)
    for number in range(3):
        running(world, world.port(qos_policy_id=policy), f"endpoint-{number}")
    world.neutron.calls.clear()

    world.core.follower.round()

    assert len(world.neutron.calls) == 2


def test_a_port_that_no_lease_knows_any_more_is_unbound_when_its_attachment_is_dead(
    world: World, told: Told, tmp_path: Path
) -> None:
    vf = running(world)
    world.kill()
    for file in tmp_path.glob("node.sqlite*"):
        file.unlink()
    world.kernel.container_dies(vf)
    world.containers = set()

    world.start()
    world.later()

    assert world.unclean() == []
    assert told.findings.count("port-orphaned") == 1


def test_a_port_that_no_lease_knows_stays_bound_while_its_container_lives(
    world: World, told: Told, tmp_path: Path
) -> None:
    port = world.port()
    running(world, port)
    bound = world.neutron.now(port.id)
    world.kill()
    for file in tmp_path.glob("node.sqlite*"):
        file.unlink()

    world.start()
    world.later()

    assert world.neutron.now(port.id) == bound
    assert "port-orphaned" not in told.findings


def test_the_ports_of_another_service_on_this_host_are_left_alone(world: World, told: Told) -> None:
    port = world.port()
    theirs = {"binding:host_id": HOST, "device_id": "a machine", "device_owner": "compute:nova"}
    bound = world.neutron.change_port(port.id, **theirs)

    world.later()

    assert world.neutron.now(port.id) == bound
    assert told.findings == []


# Cards and VFs


def test_a_vf_that_is_unplugged_takes_its_port_down_and_its_lease_waits_for_the_container(
    world: World, told: Told
) -> None:
    vf = running(world)
    world.kernel.unplug(vf)

    world.later()
    assert (status(world), told.findings) == ("DOWN", ["device-gone"])
    assert world.core.engine.find("endpoint-1") is not None

    removed(world)
    assert world.unclean() == []


def test_a_card_that_is_unplugged_takes_its_ports_down_and_serves_again_when_it_is_back(
    world: World, told: Told
) -> None:
    running(world)
    card = pf(world)
    world.kernel.unplug(card)
    world.later()
    assert (status(world), told.findings) == ("DOWN", ["device-gone"])

    removed(world)
    world.kernel.add_pf(str(card.address), "enp2s0", vfs=3)
    world.later()

    assert set(states(world).values()) == {VfState.FREE}
    running(world, attachment="endpoint-2")


def test_vfs_that_were_taken_from_under_a_container_leave_nothing_behind_when_they_are_made_again(
    world: World, told: Told
) -> None:
    running(world)
    world.kernel.set_vf_count(pf(world), 0)
    world.later()
    assert (status(world), told.findings) == ("DOWN", ["device-gone"])

    world.kernel.set_vf_count(pf(world), 3)
    world.later()

    assert world.unclean() == []


def test_vfs_made_anew_under_a_container_between_two_rounds_are_not_taken_for_its_own(world: World) -> None:
    running(world)
    world.kernel.set_vf_count(pf(world), 0)
    world.kernel.set_vf_count(pf(world), 3)

    world.later()

    assert world.unclean() == []


def test_a_leased_vf_that_another_driver_takes_is_told_and_cleaned_in_the_end(world: World, told: Told) -> None:
    vf = running(world)
    world.kernel.bind_driver(vf, VFIO)

    world.later()
    assert (status(world), told.findings) == ("DOWN", ["device-taken"])

    removed(world)
    assert world.unclean() == []


def test_a_leased_vf_that_loses_its_driver_is_told_and_cleaned_in_the_end(world: World, told: Told) -> None:
    vf = running(world)
    world.kernel.bind_driver(vf, None)

    world.later()
    assert (status(world), told.findings) == ("DOWN", ["device-taken"])

    removed(world)
    assert world.unclean() == []


def test_a_taken_vf_that_a_program_has_open_is_quarantined_until_the_program_ends(world: World, told: Told) -> None:
    vf = running(world)
    world.kernel.bind_driver(vf, VFIO)
    world.kernel.open_vfio(vf)
    removed(world)

    world.later(rounds=5)
    assert states(world)[vf.address] is VfState.QUARANTINED
    assert told.findings == ["vf-quarantined"]

    world.kernel.close_vfio(vf)
    world.later()
    assert world.unclean() == []


def quarantined(world: World, monkeypatch: pytest.MonkeyPatch, vf: VirtualFunction) -> None:
    """Let the container of a VF be removed while the VF's card refuses to be set."""

    def refuse(vf: VirtualFunction, _: VfSettings) -> frozenset[str]:
        raise KernelRefused("setting the VLAN", vf.address, errno.EIO)

    with monkeypatch.context() as patch:
        patch.setattr(world.kernel, "write_settings", refuse)
        removed(world)
    assert states(world)[vf.address] is VfState.QUARANTINED


def taken_by_hand(world: World, vf: VirtualFunction, hand: str) -> Callable[[], None]:
    """Let somebody take a VF for a purpose of their own; return how they give it back."""
    match hand:
        case "vfio":
            world.kernel.bind_driver(vf, VFIO)
            return lambda: world.kernel.bind_driver(vf, "igbvf")
        case "namespace":
            world.kernel.move_to_container(vf, "eth0", container="theirs")
            return lambda: world.kernel.container_dies(vf)
        case _:
            world.kernel.add_address(vf, "192.0.2.1/24")
            return lambda: world.kernel.bind_driver(vf, "igbvf")


@pytest.mark.parametrize("hand", ["vfio", "namespace", "address"])
def test_a_quarantined_vf_that_somebody_takes_is_left_to_them(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch, hand: str
) -> None:
    vf = running(world)
    world.kernel.container_dies(vf)
    quarantined(world, monkeypatch, vf)
    give_back = taken_by_hand(world, vf, hand)
    before = world.kernel.state()

    world.later()
    world.kill()
    world.start()
    world.later()

    assert (states(world)[vf.address], told.findings[:1]) == (VfState.TAKEN, ["vf-taken"])
    assert world.kernel.state() == before
    give_back()
    world.later()
    assert world.unclean() == []


def test_a_quarantined_vf_is_fetched_from_the_namespace_that_its_container_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = running(world)
    quarantined(world, monkeypatch, vf)
    world.kill()

    world.start()
    world.later()

    assert world.unclean() == []


def test_a_quarantined_vf_is_cleaned_though_what_its_container_left_is_called_otherwise_by_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = running(world)
    world.kernel.container_dies(vf)
    world.kernel.add_upper(vf, "vlan7")
    quarantined(world, monkeypatch, vf)

    world.kernel.add_upper(vf, "vlan8")
    world.later()

    assert states(world)[vf.address] is VfState.FREE
    assert world.unclean() == []


def test_a_quarantined_vf_that_somebody_takes_as_the_host_had_it_is_left_to_them(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = running(world)
    world.kernel.container_dies(vf)
    world.kernel.add_address(vf, "198.51.100.7/24")
    quarantined(world, monkeypatch, vf)
    give_back = taken_by_hand(world, vf, "address")
    before = world.kernel.state()

    world.kill()
    world.start()
    world.later()

    assert (states(world)[vf.address], told.findings[:1]) == (VfState.TAKEN, ["vf-taken"])
    assert world.kernel.state() == before
    give_back()
    world.later()
    assert world.unclean() == []


def test_a_quarantined_vf_that_somebody_binds_to_another_driver_is_left_to_them(world: World) -> None:
    vf = running(world)
    world.kernel.bind_driver(vf, VFIO)
    world.kernel.open_vfio(vf)
    removed(world)
    world.kernel.close_vfio(vf)
    world.kernel.bind_driver(vf, "uio_pci_generic")

    world.later()

    assert states(world)[vf.address] is VfState.TAKEN
    assert world.kernel.vf(vf.address).driver == "uio_pci_generic"


def test_a_quarantined_vf_is_cleaned_though_the_host_has_lost_an_address_on_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = running(world)
    world.kernel.container_dies(vf)
    for address in ("192.0.2.7/24", "2001:db8::7/64"):
        world.kernel.add_address(vf, address)
    quarantined(world, monkeypatch, vf)

    world.kernel.move_to_host(vf, "renamed0")
    world.kernel.add_address(vf, "192.0.2.7/24")
    world.later()

    assert states(world)[vf.address] is VfState.FREE
    assert world.unclean() == []


def test_what_a_container_left_in_an_earlier_boot_excuses_nobody_who_takes_its_vf(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = running(world)
    quarantined(world, monkeypatch, vf)
    world.kill()
    world.kernel.reboot()
    give_back = taken_by_hand(world, world.kernel.vf(vf.address), "namespace")
    before = world.kernel.state()

    world.start()
    world.later()

    assert (states(world)[vf.address], told.findings[:1]) == (VfState.TAKEN, ["vf-taken"])
    assert world.kernel.state() == before
    give_back()
    world.later()
    assert world.unclean() == []


def test_a_round_over_vfs_that_do_not_come_clean_shows_its_progress_at_each(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = tuple(states(world))
    for address in addresses:
        world.core.journal.quarantine(address, "it did not come clean")
    began, seen_at = world.now_s, []

    def refuse(vf: VirtualFunction, _: VfSettings) -> frozenset[str]:
        world.now_s += 20
        raise KernelRefused("setting the VLAN", vf.address, errno.ETIMEDOUT)

    monkeypatch.setattr(world.kernel, "write_settings", refuse)
    world.core.reconciler.sweep(lambda: seen_at.append(world.now_s))

    assert world.now_s - began == 20 * len(addresses)
    assert {after - before for before, after in pairwise(seen_at)} <= {0, 20}


def test_a_free_vf_that_another_driver_takes_is_left_alone_and_not_handed_out(world: World, told: Told) -> None:
    world.kernel.bind_driver(world.kernel.vf(SLOT), VFIO)

    world.later()

    assert (states(world)[SLOT], told.findings) == (VfState.TAKEN, ["vf-taken"])
    world.kernel.bind_driver(world.kernel.vf(SLOT), "igbvf")
    world.later()
    assert world.unclean() == []


def test_a_free_vf_that_loses_its_driver_can_be_handed_out_all_the_same(world: World) -> None:
    world.kernel.bind_driver(world.kernel.vf(SLOT), None)
    world.later()

    running(world, world.port(profile={"pci_slot": str(SLOT)}))
    removed(world)

    assert world.unclean() == []


@pytest.mark.parametrize("hand", ["add_address", "add_upper"])
def test_a_free_vf_that_the_host_uses_is_left_alone_and_not_handed_out(world: World, told: Told, hand: str) -> None:
    getattr(world.kernel, hand)(world.kernel.vf(SLOT), "192.0.2.1/24" if hand == "add_address" else "br0")

    world.later(rounds=5)

    assert (states(world)[SLOT], told.findings) == (VfState.TAKEN, ["vf-taken"])


def test_what_was_changed_by_hand_on_the_pf_is_set_again(world: World, told: Told) -> None:
    vf = running(world)
    wanted = world.held(vf.address)
    for change in ({"vlan": 77}, {"spoof_check": False}, {"mac": "02:00:00:00:00:77"}, {"trust": True}):
        world.kernel.write_settings(vf, replace(wanted, **change))
        world.later()
        assert world.held(vf.address) == wanted

    assert told.findings == ["settings-changed"] * 4
    assert status(world) == "ACTIVE"
    removed(world)
    assert world.unclean() == []


def test_a_pf_that_is_down_takes_its_ports_down_and_up_again(world: World, told: Told) -> None:
    running(world)
    world.kernel.set_pf_up(pf(world), up=False)
    world.later()
    assert (status(world), sorted(told.findings)) == ("DOWN", ["card-sick", "link-down"])

    world.kernel.set_pf_up(pf(world), up=True)
    world.later()

    assert (status(world), len(told.findings)) == ("ACTIVE", 2)


def test_a_pf_whose_link_flaps_leaves_its_ports_active(world: World, told: Told) -> None:
    running(world)

    for _ in range(5):
        for up in (False, True):
            world.kernel.set_pf_up(pf(world), up=up)
            world.later(6, rounds=2)
            assert status(world) == "ACTIVE"

    assert "link-down" not in told.findings


def test_a_container_removed_while_the_pf_is_down_leaves_a_vf_that_is_clean_when_the_pf_is_up(
    world: World, told: Told
) -> None:
    policy = world.neutron.add_qos_policy(max_kbps=100_000)
    vf = running(world, world.port(qos_policy_id=policy))
    world.kernel.set_pf_up(pf(world), up=False)
    removed(world)
    world.later()
    assert states(world)[vf.address] is VfState.QUARANTINED

    world.kernel.set_pf_up(pf(world), up=True)
    world.later()

    assert world.unclean() == []
    assert told.findings.count("vf-quarantined") == 1


def test_a_restart_while_a_card_is_lost_does_not_report_its_ports_up(world: World) -> None:
    port = world.port()
    vf = running(world, port)
    world.kernel.unplug(vf)
    world.later()
    world.kill()
    world.neutron.device_reports.clear()

    world.start()
    world.later()

    assert [report for report in world.neutron.device_reports if port.id in report.up] == []
    assert status(world) == "DOWN"


def test_a_card_that_cannot_be_read_for_a_while_says_nothing_new_of_its_ports(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(world)
    world.kernel.set_pf_up(pf(world), up=False)
    world.later()
    assert status(world) == "DOWN"

    def refuse(card: PhysicalFunction) -> object:
        raise KernelRefused("reading the VFs", card.address, errno.EIO)

    with monkeypatch.context() as sick:
        sick.setattr(world.kernel, "read_settings", refuse)
        world.later()
        assert status(world) == "DOWN"
    world.later()

    assert status(world) == "DOWN"
    assert told.findings.count("link-down") == 1


# Rounds that fail


def test_what_does_not_come_clean_is_tried_at_a_pace_however_often_the_kernel_tells_of_the_trying(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = running(world)
    tried: list[object] = []

    def refuse(*_: object, **__: object) -> object:
        tried.append(world.now_s)
        raise KernelRefused("binding its driver", vf.address, errno.EIO)

    with monkeypatch.context() as broken:
        broken.setattr(world.kernel, "adopt_mac", refuse)
        removed(world)
        for _ in range(20):
            world.core.reconciler.sweep()
        assert len(tried) == 1 + 1, "at the removal, and in the first round"
        world.later(31, rounds=1)
        assert len(tried) == 1 + 2

    world.later()
    assert told.findings == ["vf-quarantined"]
    assert world.unclean() == []


def test_a_setting_that_does_not_stay_is_set_again_at_a_pace(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = running(world)
    world.kernel.write_settings(vf, replace(world.held(vf.address), vlan=77))
    tried: list[object] = []

    def forget(*_: object) -> frozenset[str]:
        tried.append(world.now_s)
        return frozenset()

    with monkeypatch.context() as broken:
        broken.setattr(world.kernel, "write_settings", forget)
        for _ in range(20):
            world.core.reconciler.sweep()
        assert len(tried) == 1

    world.later()
    assert told.findings == ["settings-changed"]
    assert world.check() == ()


def test_a_round_that_is_cut_off_each_time_tells_what_it_finds_once(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = running(world)
    world.kernel.unplug(vf)

    def broken() -> None:
        raise StateFileUnusable("node.sqlite", "the disk is full", "make room")

    monkeypatch.setattr(world.core.devices.pool, "statuses", broken)
    for _ in range(5):
        with pytest.raises(StateFileUnusable):
            world.core.reconciler.sweep()

    assert told.findings == ["device-gone"]
    assert world.core.reconciler.findings.counts() == {"device-gone": 1}


def test_an_attachment_whose_lease_was_ended_behind_dockers_back_can_still_be_removed(world: World) -> None:
    port = world.port()
    running(world, port)
    world.neutron.drop_port(port.id)
    world.later()

    with pytest.raises(InvalidRequest):
        world.core.engine.attach("endpoint-1")
    removed(world)
    assert world.unclean() == []
