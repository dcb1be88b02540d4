"""A real dockerd drives the plugin, in a network namespace of its own; veth pairs stand in for VFs.

Needs root.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dockerd import DRIVER, Dockerd, Door, docker, door
from libnetwork_world import FakeAttachments, World

from mooring.attach.types import Attachment
from mooring.neutron.model import Network, Port
from mooring.node.docker import DockerEngine, find_plugin

__all__ = ["docker", "door"]


class VethAttachments(FakeAttachments):
    """The core of the unit tests, with an interface to hand over."""

    engine: Dockerd

    def attach(self, attachment: str) -> Attachment:
        attached = super().attach(attachment)
        name = f"vf{attachment[:8]}"
        mac = self.leases[attachment].port.mac
        self.engine.in_namespace("ip", "link", "add", name, "address", mac, "type", "veth", "peer", f"p{name}")
        self.engine.in_namespace("ip", "link", "set", f"p{name}", "up")
        return replace(attached, interface=name)

    def detach(self, attachment: str) -> None:
        name = f"vf{attachment[:8]}"
        if attachment in self.leases and name in self.engine.in_namespace("ip", "-o", "link"):
            self.engine.in_namespace("ip", "link", "delete", name)
        super().detach(attachment)


@pytest.fixture
def world(docker: Dockerd, door: Door, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    core = VethAttachments(world.neutron)
    core.engine = docker
    world.core = core
    world.restart()
    door.open(world.plugin.app)
    yield world
    for name in docker("ps", "--all", "--quiet").split():
        docker("rm", "--force", name)
    for name in docker("network", "ls", "--quiet", "--filter", "name=kuryr_").split():
        docker("network", "rm", name)
    door.shut()
    world.plugin.close()


@pytest.fixture
def network(world: World) -> Network:
    network = world.neutron.add_network()
    world.neutron.add_subnet(network, "10.10.0.0/24")
    return network


@pytest.fixture
def port(world: World, network: Network) -> Port:
    return world.neutron.add_port(network, address="10.10.0.5")


def create_network(docker: Dockerd, network: Network, *more: str, ipam: str = DRIVER) -> None:
    uuid = f"neutron.net.uuid={network.id}"
    docker("network", "create", "-d", DRIVER, f"--ipam-driver={ipam}", "-o", uuid, *more, "kuryr_net")


def run(docker: Dockerd, *options: str) -> Mapping[str, Any]:
    """Start a container and return what ``docker inspect`` says of its network."""
    name = docker("run", "--detach", *options, "busybox", "/bin/sleep", "600")
    networks: Mapping[str, Any] = json.loads(docker("inspect", name))[0]["NetworkSettings"]["Networks"]
    return {**networks["kuryr_net"], "Container": name}


def inside(docker: Dockerd, container: Mapping[str, Any], *words: str) -> str:
    return docker("exec", container["Container"], "/bin/ip", *words)


GUIDE = ("--subnet=10.10.0.0/24", "--gateway=10.10.0.1")


def test_the_guides_commands_give_the_container_the_ports_interface(
    docker: Dockerd, world: World, network: Network, port: Port
) -> None:
    create_network(docker, network, *GUIDE)

    container = run(docker, "--net=kuryr_net", "--ip=10.10.0.5")

    assert (container["IPAddress"], container["MacAddress"]) == ("10.10.0.5", port.mac)
    link = inside(docker, container, "addr", "show", "eth0")
    assert port.mac in link
    assert "10.10.0.5/24" in link
    assert "default via 10.10.0.1 dev eth0" in inside(docker, container, "route")
    docker("rm", "--force", container["Container"])
    assert world.neutron.now(port.id).vif_type == "unbound"
    docker("network", "rm", "kuryr_net")
    assert not world.neutron.server.tables["subnetpools"]


@pytest.mark.usefixtures("port")
def test_a_container_restarts_with_its_port(docker: Dockerd, network: Network) -> None:
    create_network(docker, network, *GUIDE)
    container = run(docker, "--net=kuryr_net", "--ip=10.10.0.5")

    docker("restart", "--time=0", container["Container"])

    assert "10.10.0.5/24" in inside(docker, container, "addr", "show", "eth0")


def test_the_command_lines_endpoint_option_names_the_port(docker: Dockerd, network: Network, port: Port) -> None:
    create_network(docker, network, ipam="null")

    container = run(docker, "--network", f"name=kuryr_net,driver-opt=neutron.port.uuid={port.id}")

    assert (container["IPAddress"], container["MacAddress"]) == ("10.10.0.5", port.mac)
    assert "10.10.0.5/24" in inside(docker, container, "addr", "show", "eth0")


@pytest.mark.usefixtures("world")
def test_a_port_is_made_and_deleted_with_the_container(docker: Dockerd, world: World, network: Network) -> None:
    create_network(docker, network, *GUIDE, "-o", "neutron.vnic_type=direct")

    container = run(docker, "--net=kuryr_net")

    (port,) = world.neutron.server.tables["ports"].values()
    assert container["MacAddress"] == port["mac_address"]
    docker("rm", "--force", container["Container"])
    assert not world.neutron.server.tables["ports"]


def test_dual_stack_needs_the_ipv4_address_only(docker: Dockerd, world: World, network: Network) -> None:
    world.neutron.add_subnet(network, "2001:db8::/64")
    subnets = {item["ip_version"]: item["id"] for item in world.neutron.server.tables["subnets"].values()}
    addresses = {4: "10.10.0.7", 6: "2001:db8::7"}
    fixed = [{"subnet_id": subnets[version], "ip_address": address} for version, address in addresses.items()]
    world.neutron.add_port(network, fixed_ips=fixed)
    create_network(docker, network, "--ipv6", *GUIDE, "--subnet=2001:db8::/64")

    container = run(docker, "--net=kuryr_net", "--ip=10.10.0.7")

    assert container["GlobalIPv6Address"] == "2001:db8::7"
    assert "2001:db8::7/64" in inside(docker, container, "addr", "show", "eth0")
    assert "default via 2001:db8::1 dev eth0" in inside(docker, container, "-6", "route")


def test_a_network_without_gateway_makes_a_container_without_default_route(docker: Dockerd, world: World) -> None:
    network = world.neutron.add_network()
    world.neutron.add_subnet(network, "10.10.0.0/24", gateway_ip=None)
    world.neutron.add_port(network, address="10.10.0.5")
    create_network(docker, network, "--subnet=10.10.0.0/24")

    container = run(docker, "--net=kuryr_net", "--ip=10.10.0.5")

    assert "10.10.0.5/24" in inside(docker, container, "addr", "show", "eth0")
    assert "default" not in inside(docker, container, "route")


@pytest.mark.usefixtures("world")
def test_the_user_reads_why_a_container_was_refused(docker: Dockerd, network: Network) -> None:
    create_network(docker, network, *GUIDE)

    with pytest.raises(AssertionError, match=r"no Neutron port with address 10.10.0.99 on subnet 10.10.0.0/24"):
        run(docker, "--net=kuryr_net", "--ip=10.10.0.99")


@pytest.mark.usefixtures("world")
def test_the_user_reads_why_a_network_was_refused(docker: Dockerd, network: Network) -> None:
    with pytest.raises(AssertionError, match=r"its subnet 10.10.0.0/24 has gateway 10.10.0.1, not 10.10.0.254"):
        create_network(docker, network, "--subnet=10.10.0.0/24", "--gateway=10.10.0.254")


def while_nobody_serves(door: Door, world: World, command: Callable[[], object]) -> object:
    """Run a command of Docker's that begins while the daemon is absent; it comes back once Docker waits for it."""
    door.shut()
    with ThreadPoolExecutor() as user:
        waiting = user.submit(command)
        door.await_knock()
        world.restart()
        door.open(world.plugin.app)
        return waiting.result()


def test_starts_and_removals_wait_for_a_daemon_that_is_absent_and_succeed(
    docker: Dockerd, door: Door, world: World, network: Network, port: Port
) -> None:
    create_network(docker, network, *GUIDE)

    while_nobody_serves(door, world, lambda: run(docker, "--name=web", "--net=kuryr_net", "--ip=10.10.0.5"))

    assert "10.10.0.5/24" in docker("exec", "web", "/bin/ip", "addr", "show", "eth0")
    assert world.neutron.now(port.id).host

    while_nobody_serves(door, world, lambda: docker("rm", "--force", "web"))

    assert not world.core.leases
    assert world.neutron.now(port.id).vif_type == "unbound"


def living(docker: Dockerd) -> frozenset[str] | None:
    """What the daemon would learn of the engine, which runs no other plugin's networks."""
    engine = DockerEngine(docker.address)
    try:
        return engine.living()
    finally:
        engine.close()


@pytest.mark.parametrize(("ipam", "more", "address"), [(DRIVER, GUIDE, ",ip=10.10.0.5"), ("null", (), "")])
def test_the_engine_lists_the_endpoints_of_containers_that_run(
    docker: Dockerd, world: World, network: Network, port: Port, ipam: str, more: tuple[str, ...], address: str
) -> None:
    create_network(docker, network, *more, ipam=ipam)
    other = docker("run", "--detach", "--net=none", "busybox", "/bin/sleep", "600")
    assert living(docker) == frozenset()

    container = run(docker, "--network", f"name=kuryr_net{address},driver-opt=neutron.port.uuid={port.id}")
    assert living(docker) == {container["EndpointID"]} == world.core.leases.keys()

    docker("stop", "--time=0", container["Container"])
    assert living(docker) == frozenset()
    docker("start", container["Container"])
    assert living(docker) == world.core.leases.keys()
    assert container["EndpointID"] not in world.core.leases
    docker("rm", "--force", container["Container"], other)
    assert living(docker) == frozenset()


def test_the_engine_says_which_it_is(docker: Dockerd) -> None:
    engine = DockerEngine(docker.address)

    facts = engine.facts()

    engine.close()
    assert facts.version == docker("version", "--format", "{{.Server.Version}}")
    assert facts.api_version == docker("version", "--format", "{{.Server.APIVersion}}")


@pytest.mark.usefixtures("world")
def test_docker_finds_the_plugin_where_mooring_says_it_does(docker: Dockerd, network: Network) -> None:
    assert find_plugin(Path(f"/run/docker/plugins/{DRIVER}.sock")) == f"/run/docker/plugins/{DRIVER}.sock"
    create_network(docker, network, *GUIDE)
