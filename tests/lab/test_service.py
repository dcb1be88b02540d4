"""Zun's specification on two hosts, with real Neutron, Keystone, RabbitMQ and PostgreSQL, and two controllers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.lab import Lab
from lab.neutron.client import Resource
from tests.lab.service_stage import IMAGE, ServiceStage, serving
from tests.lab.stage import Stage, address_of, held, slot_of, vlan_of

VLAN, PHYSICAL_NETWORK = 180, "physnet1"
# Docker gives a container no two interfaces in one subnet.
OTHER_CIDR = "10.11.0.0/24"
IGB_VF = "8086:10ca"


@pytest.fixture(scope="module", name="scene")
def _scene(stage: Stage, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceStage]:
    with serving(stage, lab.cloud, tmp_path_factory.mktemp("service"), controllers=2) as scene:
        yield scene


@pytest.fixture(autouse=True)
def _leave_no_trace(scene: ServiceStage) -> Iterator[None]:
    yield
    scene.clear()


def test_hosts_offer_what_their_whitelist_names(scene: ServiceStage) -> None:
    offered = {
        (device["host"], device["address"]): device["physical_network"]
        for device in scene.devices()
        if device["dev_type"] == "type-VF"
    }

    there = {(node.name, vf["address"]): vf["physical_network"] for node in scene.nodes for vf in node.vfs()}
    assert offered == there


def test_containers_get_the_vfs_of_their_ports_on_both_hosts_and_give_them_back(scene: ServiceStage) -> None:
    """The specification from the user's port to the deletion; ports are what Zun's clients may look for in them."""
    network = scene.network(physical_network=PHYSICAL_NETWORK, vlan=VLAN)
    ports = [scene.port(network) for _ in range(2)]
    names = ["web1", "web2"]
    for name, port in zip(names, ports, strict=True):
        scene.mooring(f"create --wait --name {name} --nets port={port['id']} {IMAGE} sleep 3600")

    containers = [scene.show(name) for name in names]
    assert [container["status"] for container in containers] == ["Created", "Created"]
    assert {container["host"] for container in containers} == {node.name for node in scene.nodes}
    for container, port in zip(containers, ports, strict=True):
        _assert_bound(scene, port, container)

    for name in names:
        scene.mooring(f"start --wait {name}")

    for name, port, other in zip(names, ports, reversed(ports), strict=True):
        scene.stage.await_status(port, "ACTIVE")
        _assert_in_place(scene, name, port)
        scene.mooring(f"exec {name} sh -c 'until ping -c 1 -W 2 {address_of(other)}; do :; done'")

    scene.mooring("rm --stop --wait web1 web2")

    scene.await_nothing_left()
    for port in ports:
        _assert_free(scene.now(port))


@pytest.mark.long
def test_a_container_keeps_its_vf_while_it_stops_and_starts(scene: ServiceStage) -> None:
    port = scene.port(scene.network(physical_network=PHYSICAL_NETWORK, vlan=VLAN))
    scene.mooring(f"run --name web --nets port={port['id']} {IMAGE} sleep 3600")
    vf = slot_of(scene.now(port))

    scene.mooring("stop --time 0 --wait web")

    stopped = scene.show("web")
    assert stopped["status"] == "Stopped"
    _assert_bound(scene, port, stopped)
    scene.stage.await_status(port, "DOWN")

    scene.mooring("start --wait web")
    scene.mooring("restart --time 0 --wait web")

    assert slot_of(scene.now(port)) == vf
    scene.stage.await_status(port, "ACTIVE")
    _assert_in_place(scene, "web", port)


@pytest.mark.long
def test_ports_come_and_go_while_a_container_runs(scene: ServiceStage) -> None:
    port = scene.port(scene.network(physical_network=PHYSICAL_NETWORK, vlan=VLAN))
    other = scene.network(physical_network="physnet2", vlan=VLAN + 1, cidr=OTHER_CIDR)
    second = scene.port(other)
    scene.mooring(f"run --name web --nets port={port['id']} {IMAGE} sleep 3600")

    scene.mooring(f"net attach --wait --port {second['id']} web")

    _assert_bound(scene, second, scene.show("web"))
    _assert_in_place(scene, "web", second, interface="eth1")
    scene.stage.await_status(second, "ACTIVE")

    scene.mooring(f"net detach --wait --port {second['id']} web")

    _assert_free(scene.now(second))
    assert "eth1" not in scene.mooring("exec web ls /sys/class/net")
    _assert_in_place(scene, "web", port)


@pytest.mark.long
def test_a_port_that_the_service_makes_goes_with_its_container(scene: ServiceStage) -> None:
    network = scene.network(physical_network=PHYSICAL_NETWORK, vlan=VLAN)
    scene.mooring(f"run --name web --nets network={network['id']} {IMAGE} sleep 3600")
    container = scene.show("web")
    (port,) = scene.stage.neutron.list("port", network_id=network["id"])
    _assert_bound(scene, port, container)
    _assert_in_place(scene, "web", port)

    scene.mooring("rm --stop --wait web")

    assert scene.stage.neutron.list("port", network_id=network["id"]) == []
    scene.await_nothing_left()


def test_a_container_that_cannot_be_made_leaves_nothing_and_says_why(scene: ServiceStage) -> None:
    port = scene.port(scene.network(physical_network=PHYSICAL_NETWORK, vlan=VLAN), user="admin")

    said = scene.try_mooring(
        f"create --wait --name web --image-pull-policy never --nets port={port['id']} nosuch", user="admin"
    )

    assert said.returncode == 1
    assert "nosuch" in said.stderr
    container = scene.show("web")
    assert (container["status"], container["host"]) == ("Error", None)
    _assert_free(scene.now(port))
    scene.mooring("rm --wait web", user="admin")
    scene.await_nothing_left()


def _assert_bound(scene: ServiceStage, port: Resource, container: Resource) -> None:
    """A port has its container's uuid, and the binding of a VF that the service says is the container's."""
    now = scene.now(port)
    assert (now["device_id"], now["binding:host_id"]) == (container["uuid"], container["host"])
    assert now["device_owner"].startswith("compute:")
    assert now["binding:vif_type"] == "hw_veb"
    profile = now["binding:profile"]
    (device,) = [device for device in container["pci_devices"] if device["port_id"] == port["id"]]
    assert profile["pci_slot"] == device["address"]
    assert profile["pci_vendor_info"] == IGB_VF
    holder = {(each["host"], each["address"]): each["container"] for each in scene.devices()}
    assert holder[container["host"], device["address"]] == container["uuid"]


def _assert_in_place(scene: ServiceStage, name: str, port: Resource, *, interface: str = "eth0") -> None:
    """A container has a port's MAC and address on an interface, and the card has the port's VLAN for its VF."""
    shown = scene.mooring(f"exec {name} ip addr show {interface}")
    assert port["mac_address"] in shown
    assert f"{address_of(port)}/24" in shown
    network = scene.stage.neutron.get("network", port["network_id"])
    settings = held(scene.node_of(name), slot_of(scene.now(port)))
    assert (settings["address"], vlan_of(settings)) == (port["mac_address"], network["provider:segmentation_id"])


def _assert_free(port: Resource) -> None:
    """A port that any container may have, and of which nothing tells who had it."""
    assert (port["device_id"], port["device_owner"], port["binding:host_id"]) == ("", "", "")
    assert (port["binding:vif_type"], port["binding:profile"]) == ("unbound", {})
