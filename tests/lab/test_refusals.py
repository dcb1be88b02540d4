"""Bad input: what Docker's user reads, and that nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.errors import CommandError
from lab.neutron import GUEST_VIEW_OF_HOST
from lab.neutron.client import Resource
from lab.node import MooringNode
from tests.lab.stage import Stage, eventually

VLAN = 140


@pytest.fixture(scope="module", name="scene")
def _scene(stage: Stage) -> Iterator[tuple[MooringNode, Resource, str]]:
    """A network, and a Docker network on it."""
    node, _ = stage.nodes
    network = stage.network(vlan=VLAN)
    yield node, network, stage.docker_network(node, network)
    stage.clear()


@pytest.fixture(autouse=True)
def _nothing_is_left(stage: Stage) -> Iterator[None]:
    yield
    for node in stage.nodes:
        node.guest.run("docker ps -aq | xargs -r docker rm -f", timeout=120)
    eventually(lambda: not stage.unclean(), "hosts and ports are as they were")


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        ({"pci_slot": "2:10.0"}, "'2:10.0' is not a PCI address"),
        ({"pci_slot": "/sys/bus/pci/devices/0000:02:10.0"}, "is not a PCI address"),
        ({"pci_slot": "0000:02:00.0"}, "it is a physical function"),
        ({"pci_slot": "0000:00:02.0"}, "it is not a virtual function"),
        ({"pci_slot": "0000:7f:00.0"}, "there is no such device on this host"),
        ({"pci_slot": "0000:01:10.0"}, "it is on physnet1, but the port's network is on physnet2"),
        ({"pci_vendor_info": "1137:0047"}, "the port asks for pci_vendor_info 1137:0047"),
    ],
    ids=["malformed", "path", "PF", "not-SR-IOV", "absent", "other-physical-network", "other-vendor"],
)
def test_a_profile_that_cannot_be_meant(
    stage: Stage, scene: tuple[MooringNode, Resource, str], profile: dict[str, str], sentence: str
) -> None:
    node, network, docker_network = scene
    port = stage.port(network, profile=profile)

    said = stage.refused(node, f"--net={docker_network} --ip={_address(port)}")

    assert sentence in said
    assert port["id"] in said or "PCI device 0000:" in said


def test_a_vf_in_use(stage: Stage, scene: tuple[MooringNode, Resource, str]) -> None:
    node, network, docker_network = scene
    first, second = (stage.port(network, profile={"pci_slot": "0000:02:10.0"}) for _ in range(2))
    stage.start(node, f"--net={docker_network} --ip={_address(first)}")

    assert "PCI device 0000:02:10.0 is in use by attachment" in stage.refused(
        node, f"--net={docker_network} --ip={_address(second)}"
    )


def test_a_port_in_use_elsewhere(stage: Stage, scene: tuple[MooringNode, Resource, str]) -> None:
    node, network, docker_network = scene
    port = stage.port(network)
    stage.neutron.update("port", port["id"], device_id="another-machine", device_owner="compute:nova")

    said = stage.refused(node, f"--net={docker_network} --ip={_address(port)}")

    assert f"Neutron port {port['id']} is in use by" in said
    assert stage.now(port)["device_id"] == "another-machine"
    stage.neutron.update("port", port["id"], device_id="", device_owner="")


@pytest.mark.parametrize("vnic_type", ["vdpa", "virtio-forwarder", "baremetal"])
def test_kinds_of_ports_that_are_not_served(
    stage: Stage, scene: tuple[MooringNode, Resource, str], vnic_type: str
) -> None:
    node, network, docker_network = scene
    port = stage.port(network, vnic_type=vnic_type)

    said = stage.refused(node, f"--net={docker_network} --ip={_address(port)}")

    assert f"has vnic_type {vnic_type}, which cannot be served here" in said


def test_an_address_that_no_port_has(stage: Stage, scene: tuple[MooringNode, Resource, str]) -> None:
    node, _, docker_network = scene

    said = stage.refused(node, f"--net={docker_network} --ip=10.10.0.250")

    assert "no Neutron port with" in said
    assert "10.10.0.250" in said


def test_a_mac_that_is_not_the_ports(stage: Stage, scene: tuple[MooringNode, Resource, str]) -> None:
    node, network, docker_network = scene
    port = stage.port(network)

    said = stage.refused(node, f"--net={docker_network} --ip={_address(port)} --mac-address 02:00:00:00:00:01")

    assert port["mac_address"] in said
    assert "02:00:00:00:00:01" in said


def test_no_free_vf(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(vlan=VLAN + 1)
    docker_network = stage.null_network(node, network)
    ports = [stage.port(network) for _ in range(8)]

    def words(port: Resource) -> str:
        return f"--network name={docker_network},driver-opt=neutron.port.uuid={port['id']}"

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda port: stage.start(node, words(port)), ports[:7]))

    assert "no free VF on physnet2: 0 of 7 VFs free (7 leased)" in stage.refused(node, words(ports[7]))


def test_two_containers_race_for_one_port(stage: Stage, scene: tuple[MooringNode, Resource, str]) -> None:
    node, network, docker_network = scene
    port = stage.port(network)
    run = f"docker run -itd --net={docker_network} --ip={_address(port)} ubuntu"

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda _: node.guest.run(run, check=False, timeout=120), range(2)))

    assert sorted(end.code == 0 for end in ends) == [False, True]
    (loser,) = [end for end in ends if end.code != 0]
    assert port["id"] in loser.stderr or _address(port) in loser.stderr
    assert "in use" in loser.stderr


def test_two_containers_race_for_the_last_vf(stage: Stage, scene: tuple[MooringNode, Resource, str]) -> None:
    node, network, docker_network = scene
    ports = [stage.port(network, profile={"pci_slot": "0000:02:10.2"}) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        ends = list(
            pool.map(
                lambda port: node.guest.run(
                    f"docker run -itd --net={docker_network} --ip={_address(port)} ubuntu", check=False, timeout=120
                ),
                ports,
            )
        )

    assert sorted(end.code == 0 for end in ends) == [False, True]
    assert any("0000:02:10.2 is in use by attachment" in end.stderr for end in ends)


def test_a_network_that_neutron_does_not_have(stage: Stage) -> None:
    node, _ = stage.nodes

    with pytest.raises(CommandError, match="00000000-0000-0000-0000-00000000dead"):
        stage.docker_network(node, {"id": "00000000-0000-0000-0000-00000000dead"})


def test_an_option_that_does_not_exist(scene: tuple[MooringNode, Resource, str]) -> None:
    node, network, _ = scene

    with pytest.raises(CommandError, match=r"neutron\.net\.uuid"):
        node.guest.run(f"docker network create -d kuryr --ipam-driver null -o neutron.net.uid={network['id']} wrong")


def test_neutron_away(stage: Stage, scene: tuple[MooringNode, Resource, str]) -> None:
    node, network, docker_network = scene
    running, waiting = stage.port(network), stage.port(network)
    container = stage.start(node, f"--net={docker_network} --ip={_address(running)}")
    # The guest's way to the host's services is the management network: nothing else of it is needed here.
    facts = node.cloud.facts
    block = f"OUTPUT -d {GUEST_VIEW_OF_HOST} -p tcp --dport {facts.network_port} -j REJECT --reject-with tcp-reset"
    node.guest.run(f"iptables -I {block}")
    try:
        assert "Neutron did not answer" in stage.refused(node, f"--net={docker_network} --ip={_address(waiting)}")

        node.guest.run(f"docker rm -f {container.name}", timeout=30)

        assert [row["step"] for row in node.leases()] == ["owed: unbind"]
        assert all(vf["state"] == "free" for vf in node.vfs())
    finally:
        node.guest.run(f"iptables -D {block}")
    stage.await_status(running, "DOWN")


def test_plugin_requests_that_nobody_should_send(stage: Stage) -> None:
    node, _ = stage.nodes

    assert _ask(node, "NetworkDriver.CreateEndpoint", "") == 400
    assert _ask(node, "NetworkDriver.Join", '{"x": 1}') == 400
    assert _ask(node, "NetworkDriver.NoSuchCall", "{}") == 404
    unknown = '{"NetworkID": "none", "EndpointID": "none"}'
    assert [_ask(node, "NetworkDriver.DeleteEndpoint", unknown) for _ in range(2)] == [200, 200]


def _ask(node: MooringNode, call: str, body: str) -> int:
    """Send a request to the plugin's socket, as dockerd would; return the HTTP status."""
    program = f"""
import http.client, socket
connection = http.client.HTTPConnection("plugin")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/docker/plugins/kuryr.sock")
connection.request("POST", "/{call}", {body!r})
print(connection.getresponse().status)
"""
    return int(node.guest.run("python3 -", stdin=program).stdout)


def _address(port: Resource) -> str:
    return str(port["fixed_ips"][0]["ip_address"])
