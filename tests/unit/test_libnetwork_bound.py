"""Endpoints of ports that a controller has bound: Neutron is asked and told nothing, and what was told lasts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from libnetwork_world import HOST, DockerError, DockerNetwork, World

from mooring.errors import BindingRefused, NoFreeDevice, PortNotFound
from mooring.libnetwork.bound_ports import BoundPort
from mooring.libnetwork.plugin import STATE_FILE
from mooring.libnetwork.schema import SCHEMA
from mooring.neutron.model import EgressLimits, Network, Port, Subnet

OWNER = "compute:mooring"


@pytest.fixture(params=["20.10", "29"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, version=request.param)
    yield world
    assert world.neutron.calls == []
    world.plugin.close()


@pytest.fixture
def network(world: World) -> Network:
    return world.neutron.add_network()


@pytest.fixture
def subnet(world: World, network: Network) -> Subnet:
    return world.neutron.add_subnet(network, "10.0.0.0/24")


@pytest.fixture
def port(world: World, network: Network, subnet: Subnet) -> Port:
    """A port that the node was told of."""
    port = bound(world, network)
    tell(world, network, subnet, port)
    world.neutron.unreachable = True
    return port


def bound(world: World, network: Network, address: str = "10.0.0.5") -> Port:
    port = world.neutron.add_port(network, address=address)
    binding = {"binding:host_id": HOST, "device_id": "c1", "device_owner": OWNER}
    return world.neutron.change_port(port.id, **binding, **{"binding:profile": {"pci_slot": "0000:0a:00.1"}})


def tell(world: World, network: Network, subnet: Subnet, *ports: Port) -> None:
    limits = EgressLimits(max_kbps=1000)
    world.plugin.bound_ports.keep(
        BoundPort(port=port, network=network, subnets=(subnet,), limits=limits) for port in ports
    )


def bound_net(world: World, network: Network) -> DockerNetwork:
    return world.docker.create_network(options={"neutron.net.uuid": network.id, "neutron.bound": "true"})


def named(port: Port) -> dict[str, object]:
    return {"neutron.port.uuid": port.id}


def test_a_container_lives_without_neutron(world: World, network: Network, port: Port) -> None:
    docker_network = bound_net(world, network)

    container = world.docker.run(docker_network, options=named(port))

    assert container.interface == {"Address": "10.0.0.5/24", "AddressIPv6": "", "MacAddress": port.mac}
    assert container.joined["Gateway"] == "10.0.0.1"
    (lease,) = world.core.leases.values()
    assert (lease.is_bound, lease.device_owner) == (True, OWNER)
    world.docker.remove(container)
    world.docker.remove_network(docker_network)
    assert world.core.leases == {}
    assert world.neutron.now(port.id) == port


def test_docker_starts_it_again_after_a_restart_of_the_daemon(world: World, network: Network, port: Port) -> None:
    docker_network = bound_net(world, network)
    world.docker.remove(world.docker.run(docker_network, options=named(port)))

    world.restart()

    assert world.docker.run(docker_network, options=named(port)).interface["MacAddress"] == port.mac


def test_an_endpoint_that_was_made_before_the_restart_can_be_joined_after_it(
    world: World, network: Network, port: Port
) -> None:
    ids = {"NetworkID": bound_net(world, network).id, "EndpointID": "e1"}
    interface = world.docker._create_endpoint(ids, {}, "", named(port))

    world.restart()

    assert world.docker._create_endpoint(ids, {}, "", named(port)) == interface
    assert world.docker.call("NetworkDriver.Join", ids)["Gateway"] == "10.0.0.1"


def test_a_port_that_is_not_bound_here_any_more_is_refused(
    world: World, network: Network, subnet: Subnet, port: Port
) -> None:
    docker_network = bound_net(world, network)
    tell(world, network, subnet)

    with pytest.raises(DockerError, match="no controller has told this node of it"):
        world.docker.run(docker_network, options=named(port))

    assert isinstance(world.plugin.bound_ports.refusal_of(port.id), PortNotFound)
    assert world.core.leases == {}


@pytest.mark.usefixtures("port")
def test_an_endpoint_must_name_its_port(world: World, network: Network) -> None:
    docker_network = bound_net(world, network)

    with pytest.raises(DockerError, match=r"takes ports of the container service; name one with neutron\.port\.uuid"):
        world.docker.run(docker_network)


def test_a_port_of_another_network_is_refused(world: World, port: Port) -> None:
    docker_network = bound_net(world, world.neutron.add_network("other"))

    with pytest.raises(DockerError, match=r"it is on network .*, and this Docker network stands for"):
        world.docker.run(docker_network, options=named(port))

    assert world.core.leases == {}


def test_why_a_device_could_not_be_had_is_known_until_it_can(world: World, network: Network, port: Port) -> None:
    docker_network = bound_net(world, network)
    known = world.plugin.bound_ports
    world.core.free = 0
    with pytest.raises(DockerError):
        world.docker.run(docker_network, options=named(port))
    assert isinstance(known.refusal_of(port.id), NoFreeDevice)

    world.core.free, world.core.binding_fails = 4, True
    with pytest.raises(DockerError):
        world.docker.run(docker_network, options=named(port))
    assert isinstance(known.refusal_of(port.id), BindingRefused)

    world.core.binding_fails = False
    world.docker.run(docker_network, options=named(port))
    assert known.refusal_of(port.id) is None


def test_a_forced_mac_that_is_not_the_ports_leaves_nothing(world: World, network: Network, port: Port) -> None:
    docker_network = bound_net(world, network)

    with pytest.raises(DockerError, match="leave out --mac-address"):
        world.docker.run(docker_network, options=named(port), mac="02:00:00:00:00:01")

    assert world.core.leases == {}


@pytest.mark.parametrize("options", [{"neutron.bound": "true"}, {"neutron.bound": "perhaps"}])
def test_a_network_for_bound_ports_must_say_which_it_is(world: World, options: dict[str, str]) -> None:
    with pytest.raises(DockerError, match=r"neutron\.bound"):
        world.docker.create_network(options=options)


def test_what_is_told_twice_is_written_once(world: World, network: Network, subnet: Subnet, port: Port) -> None:
    before = world.plugin._file._connection.total_changes

    tell(world, network, subnet, port)

    assert world.plugin._file._connection.total_changes == before


def test_a_memory_of_the_first_form_is_brought_up_to_date(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / STATE_FILE)) as db, db:
        db.executescript(SCHEMA)
        db.executescript("INSERT INTO network VALUES ('d1', 'n1', 1, 'direct', 0); PRAGMA user_version=1;")

    world = World(tmp_path)

    record = world.plugin._networks._records.network("d1")
    world.plugin.close()
    assert record is not None
    assert (record.network_id, record.created, record.vnic_type, record.bound) == ("n1", True, "direct", False)


def test_a_port_whose_subnet_was_not_told_is_refused(world: World, network: Network, port: Port) -> None:
    docker_network = bound_net(world, network)
    world.plugin.bound_ports.keep([BoundPort(port=port, network=network, subnets=())])

    with pytest.raises(DockerError, match="the controller did not tell of its subnet"):
        world.docker.run(docker_network, options=named(port))

    assert world.core.leases == {}
