"""Never in Docker's way: an absent daemon makes calls late, an absent Neutron makes removals owe, and neither is felt
by the containers that run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.neutron import GUEST_VIEW_OF_HOST
from lab.neutron.client import Resource
from lab.node import UNIT, MooringNode
from tests.lab.stage import PATIENCE_S, Container, Stage, address_of, eventually, findings

VLAN = 166
LATE_S = 10
DROP_IN = f"/run/systemd/system/{UNIT}.d/late.conf"
KILL = f"systemctl kill --signal=KILL {UNIT}"
# What systemd does on `stop` differs from a crash: only the socket brings the daemon back.
STOP = f"systemctl stop {UNIT}"
Scene = tuple[Resource, tuple[str, str]]


@pytest.fixture(scope="module", name="scene")
def _scene(stage: Stage) -> Iterator[Scene]:
    """A network, and a Docker network on it on each node."""
    network = stage.network(vlan=VLAN)
    one, two = (stage.null_network(node, network) for node in stage.nodes)
    yield network, (one, two)
    stage.clear()
    stage.await_nothing_left()


@pytest.fixture(autouse=True)
def _no_container_is_left(stage: Stage) -> Iterator[None]:
    yield
    for node in stage.nodes:
        node.guest.run("docker ps -aq | xargs -r docker rm -f", timeout=PATIENCE_S)


@pytest.fixture(name="late")
def _late(stage: Stage) -> Iterator[None]:
    """Whenever a daemon starts, it first is absent for a while."""
    for node in stage.nodes:
        node.guest.run(f"mkdir -p $(dirname {DROP_IN})")
        node.write(DROP_IN, f"[Service]\nExecStartPre=/bin/sleep {LATE_S}\n")
        node.guest.run("systemctl daemon-reload")
    yield
    for node in stage.nodes:
        node.guest.run(f"rm {DROP_IN} && systemctl daemon-reload && systemctl start {UNIT}", timeout=PATIENCE_S + 120)


@pytest.mark.usefixtures("late")
def test_starts_and_removals_come_late_instead_of_failing_while_the_daemon_is_absent(
    stage: Stage, scene: Scene
) -> None:
    """On one node it was killed, on the other one stopped, each before the start and again before the removal."""
    network, docker_networks = scene

    def come_and_go(node: MooringNode, docker_network: str, end_daemon: str) -> None:
        port = stage.port(network)
        first = _daemon(node)
        node.guest.run(end_daemon)
        container = stage.start_at(node, docker_network, port)
        second = _daemon(node)

        assert second not in (first, "0")
        assert container.mac() == port["mac_address"]

        node.guest.run(end_daemon)
        container.remove()

        assert _daemon(node) not in (second, "0")
        eventually(lambda: stage.now(port)["binding:vif_type"] == "unbound", "the port is given back")
        assert not findings(node, "container-gone", port["id"])

    with ThreadPoolExecutor() as pool:
        list(pool.map(come_and_go, stage.nodes, docker_networks, (KILL, STOP)))


def test_containers_feel_nothing_of_restarts_and_crashes_of_the_daemon(stage: Stage, scene: Scene) -> None:
    network, docker_networks = scene
    ports = [stage.port(network) for _ in stage.nodes]
    here, there = (
        stage.start_at(node, name, port) for node, name, port in zip(stage.nodes, docker_networks, ports, strict=True)
    )
    assert here.hears(address_of(ports[1]))
    # In the background of a shell it would not hear the signal that has it sum up.
    here.node.guest.run(f"docker exec --detach {here.name} sh -c 'exec ping {address_of(ports[1])} > /tmp/pings'")

    for container, end_daemon in ((here, f"systemctl restart {UNIT}"), (there, KILL)):
        container.node.guest.run(end_daemon)
        container.node.start()

    assert _lost(here) == "0"


def test_neutron_that_is_silent_holds_up_no_removal_and_fails_starts_clearly(stage: Stage, scene: Scene) -> None:
    network, (docker_network, _) = scene
    node, _ = stage.nodes
    running, waiting = stage.port(network), stage.port(network)
    container = stage.start_at(node, docker_network, running)
    # All but our own ssh: Neutron, Keystone and the message bus swallow whatever is said to them.
    silence = f"OUTPUT -d {GUEST_VIEW_OF_HOST} -p tcp ! --sport 22 -j DROP"
    node.guest.run(f"iptables -I {silence}")
    try:
        said = stage.refused(node, f"--network name={docker_network},driver-opt=neutron.port.uuid={waiting['id']}")
        container.remove()

        assert "Neutron did not answer" in said
        assert [row["step"] for row in node.leases()] == ["owed: unbind"]
        assert {vf["state"] for vf in node.vfs()} == {"free"}
    finally:
        node.guest.run(f"iptables -D {silence}")
    eventually(lambda: stage.now(running)["binding:vif_type"] == "unbound", "the debt is paid")


def _daemon(node: MooringNode) -> str:
    return node.guest.run(["systemctl", "show", "--property=MainPID", "--value", UNIT]).stdout.strip()


def _lost(container: Container) -> str:
    """End the container's ping; return how many of its calls were not answered, in percent."""
    container.run("kill -INT $(pidof ping) && while pidof ping; do sleep 0.1; done")
    said = container.run("cat /tmp/pings").stdout
    (percent,) = re.findall(r"(\d+)% packet loss", said)
    return str(percent)
