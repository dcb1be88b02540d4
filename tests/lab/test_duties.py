"""What an L2 agent owes Neutron, done by mooring on real cards: devices follow their ports, and ports their devices.

The first node's containers are followed; on the second one Neutron's own SR-IOV agent runs beside mooring.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from lab.agents import AGENT_TYPES, SRIOV, RealAgents, vf_addresses
from lab.lab import Lab
from lab.neutron.client import NetworkClient, Resource
from lab.node import MooringNode
from tests.lab.stage import Container, Stage, eventually, findings, held, slot_of

pytestmark = pytest.mark.long

PF = "enp2s0"
# Neutron announces most changes of a port at once; for what it does not announce, mooring asks once in a minute.
ANNOUNCED_S, ASKED_S = 60, 180
# Neutron takes an agent for dead after 75 s, and mooring asks every 30.
TAKEN_OVER_S = 240
POLLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A container of the first node, and its VF."""

    stage: Stage
    container: Container
    port: Resource
    vf: str

    @property
    def node(self) -> MooringNode:
        return self.container.node

    def update(self, **attributes: object) -> None:
        """Change the port, as its owner does."""
        self.stage.neutron.update("port", self.port["id"], **attributes)

    def await_held(self, *, seconds: float = ANNOUNCED_S, **wanted: object) -> None:
        """Wait until the PF holds these settings of the VF."""

        def is_held() -> bool:
            found = held(self.node, self.vf)
            return all(found[name] == value for name, value in wanted.items())

        eventually(is_held, f"{wanted} is held for {self.vf}", seconds=seconds)

    def await_status(self, status: str) -> None:
        eventually(lambda: self.stage.now(self.port)["status"] == status, f"the port is {status}", seconds=ANNOUNCED_S)


@pytest.fixture(scope="module", autouse=True, name="agent")
def _agent(stage: Stage, lab: Lab) -> Iterator[Future[RealAgents]]:
    """Start neutron-sriov-nic-agent on the second node, beside the tests of the first one."""
    guest = stage.nodes[1].guest
    agents = RealAgents(guest=guest, cloud=lab.cloud)

    def start() -> RealAgents:
        agents.start_sriov(exclude=vf_addresses(guest))
        return agents

    with ThreadPoolExecutor() as pool:
        yield pool.submit(start)
    agents.stop()


@pytest.fixture(scope="module", name="policy")
def _policy(stage: Stage) -> Iterator[str]:
    """A QoS policy that allows 5 Mbit/s."""
    neutron = stage.neutron
    policy = neutron.call("POST", "/qos/policies", {"policy": {"name": "slow", "shared": True}})["policy"]
    rule = {"bandwidth_limit_rule": {"max_kbps": 5000, "direction": "egress"}}
    neutron.call("POST", f"/qos/policies/{policy['id']}/bandwidth_limit_rules", rule)
    yield policy["id"]
    stage.clear()
    neutron.call("DELETE", f"/qos/policies/{policy['id']}")


@pytest.fixture(scope="module", name="pair")
def _pair(stage: Stage, policy: str) -> Iterator[tuple[Followed, Followed]]:
    """Two containers; the second one's port had the policy from its start, of which much is changed by now."""
    node, _ = stage.nodes
    network = stage.network(vlan=176)
    docker_network = stage.null_network(node, network)
    ports = [stage.port(network), stage.port(network, qos_policy_id=policy)]
    containers = [stage.start_at(node, docker_network, port) for port in ports]
    first, second = (
        Followed(stage=stage, container=container, port=port, vf=slot_of(stage.now(port)))
        for container, port in zip(containers, ports, strict=True)
    )
    second.await_held(rate=_mbps(5))
    _edit_rule(stage.neutron, policy, max_kbps=7000)
    second.update(trusted=True)
    for one in (first, second):
        one.await_status("ACTIVE")
    yield first, second
    stage.clear()
    eventually(lambda: not stage.unclean(), "hosts and ports are as they were")


def test_spoof_checking_follows_port_security(pair: tuple[Followed, Followed]) -> None:
    followed, _ = pair
    assert held(followed.node, followed.vf)["spoofchk"] is True

    followed.update(port_security_enabled=False, security_groups=[])
    followed.await_held(spoofchk=False)

    followed.update(port_security_enabled=True)
    followed.await_held(spoofchk=True)
    assert "eth0" in followed.container.run("ls /sys/class/net").stdout
    assert followed.stage.now(followed.port)["status"] == "ACTIVE"


def test_the_rate_follows_the_policy_that_a_port_is_given(pair: tuple[Followed, Followed], policy: str) -> None:
    followed, _ = pair

    followed.update(qos_policy_id=policy)
    followed.await_held(rate=_mbps(7))

    followed.update(qos_policy_id=None)
    followed.await_held(rate=_mbps(0))


def test_what_the_card_cannot_do_for_an_administratively_down_port_is_told(pair: tuple[Followed, Followed]) -> None:
    followed, _ = pair

    followed.update(admin_state_up=False)
    try:
        followed.await_status("DOWN")
        eventually(
            lambda: bool(findings(followed.node, "settings-lacking", followed.port["id"])),
            "that the VF's link state cannot be set is in the log",
            seconds=ANNOUNCED_S,
        )
        assert _verify(followed) == {(followed.vf, "link_state", "not set, for its driver cannot", "disable")}
    finally:
        followed.update(admin_state_up=True)
    followed.await_status("ACTIVE")


def test_ports_are_down_for_as_long_as_their_card_is(pair: tuple[Followed, Followed]) -> None:
    guest = pair[0].node.guest
    guest.run(f"ip link set {PF} down")
    try:
        for followed in pair:
            followed.await_status("DOWN")
    finally:
        guest.run(f"ip link set {PF} up")
    for followed in pair:
        followed.await_status("ACTIVE")


def test_mooring_leaves_the_row_of_a_host_to_its_real_agent_and_serves_all_the_same(
    stage: Stage, agent: Future[RealAgents]
) -> None:
    agents = agent.result()
    _, node = stage.nodes
    assert _row(stage, node)["configurations"].get("reported_by") is None
    assert _told_by_doctor(node) == _option(node, "exclude_devices")
    network = stage.network(vlan=177)
    docker_network = stage.null_network(node, network)
    steady, *brief = (stage.port(network) for _ in range(3))
    container = stage.start_at(node, docker_network, steady)
    stage.await_status(steady, "ACTIVE")
    vf = slot_of(stage.now(steady))
    before, polls = held(node, vf), _polls(agents)

    while _polls(agents) < polls + POLLS:
        for port in brief:
            passing = stage.start_at(node, docker_network, port)
            stage.await_status(port, "ACTIVE")
            assert stage.now(steady)["status"] == "ACTIVE"
            passing.remove()
            stage.await_status(port, "DOWN")

    assert stage.now(steady)["status"] == "ACTIVE"
    assert held(node, vf) == before
    assert "event=agent.left-to-another" in node.log()
    assert not [line for line in node.log().splitlines() if "settings-changed" in line and steady["id"] in line]
    assert _row(stage, node)["configurations"].get("reported_by") is None
    container.remove()
    agents.stop()


def test_what_neutron_does_not_announce_is_followed_within_minutes(pair: tuple[Followed, Followed]) -> None:
    """That the rule of a policy was edited, and that a port is trusted now."""
    _, followed = pair
    followed.await_held(rate=_mbps(7), trust=True, seconds=ASKED_S)


def test_mooring_takes_the_row_over_from_an_agent_that_has_ended(stage: Stage, agent: Future[RealAgents]) -> None:
    agent.result().stop()
    _, node = stage.nodes

    eventually(
        lambda: _row(stage, node)["configurations"].get("reported_by") == "mooring",
        "the row is mooring's again",
        seconds=TAKEN_OVER_S,
    )

    assert _row(stage, node)["alive"]


def _mbps(rate: int) -> dict[str, int]:
    return {"max_tx": rate, "min_tx": 0}


def _edit_rule(neutron: NetworkClient, policy: str, *, max_kbps: int) -> None:
    rules = f"/qos/policies/{policy}/bandwidth_limit_rules"
    (rule,) = neutron.call("GET", rules)["bandwidth_limit_rules"]
    neutron.call("PUT", f"{rules}/{rule['id']}", {"bandwidth_limit_rule": {"max_kbps": max_kbps}})


def _verify(followed: Followed) -> set[tuple[str, ...]]:
    """What ``mooring verify`` finds of the container's lease."""
    asked = followed.node.guest.run(f"mooring verify {followed.port['id']} --format json", check=False)
    assert asked.code == 1, asked
    return {tuple(difference.values()) for difference in json.loads(asked.stdout)["differences"]}


def _row(stage: Stage, node: MooringNode) -> Resource:
    """The host's agent, as Neutron has it."""
    (row,) = stage.neutron.list("agent", host=node.name, agent_type=AGENT_TYPES[SRIOV])
    return row


def _told_by_doctor(node: MooringNode) -> str:
    """What ``mooring doctor`` wants the real agent to leave alone."""
    findings = json.loads(node.guest.run("mooring doctor --format json", check=False).stdout)
    (told,) = [finding["found"] for finding in findings if finding["check"] == SRIOV]
    return str(told).rpartition("exclude_devices = ")[2]


def _option(node: MooringNode, name: str) -> str:
    """The value of an option of the real agent's."""
    return node.guest.run(f"sed -n 's/^{name} = //p' /etc/neutron/{SRIOV}.ini").stdout.strip()


def _polls(agents: RealAgents) -> int:
    """How often the real agent has looked at its devices."""
    counted = agents.guest.run(f"journalctl -u {SRIOV} -o cat | grep -c 'rpc_loop - iteration'", check=False)
    return int(counted.stdout)
