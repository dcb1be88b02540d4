"""The door on the real core: what a container start and stop cost Neutron, and what they leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import attach_world
import pytest
from libnetwork_world import Container, Dockerd, DockerError

from mooring.attach.types import Lease
from mooring.config.settings import LibnetworkSettings
from mooring.libnetwork.bound_ports import BoundPort
from mooring.libnetwork.plugin import Plugin


@pytest.fixture
def host(tmp_path: Path) -> Iterator[attach_world.World]:
    host = attach_world.World(tmp_path)
    yield host
    host.kill()


@pytest.fixture
def plugin(host: attach_world.World, tmp_path: Path) -> Iterator[Plugin]:
    plugin = Plugin(
        neutron=host.neutron,
        attachments=host.core.engine,
        host=attach_world.HOST,
        settings=LibnetworkSettings(),
        state_dir=tmp_path,
    )
    yield plugin
    plugin.close()


@pytest.fixture
def docker(plugin: Plugin) -> Dockerd:
    return Dockerd(plugin.app)


def options(host: attach_world.World, **more: str) -> dict[str, str]:
    return {"neutron.net.uuid": host.network.id} | {key.replace("__", "."): value for key, value in more.items()}


def test_a_start_costs_neutron_three_calls_and_a_stop_one(host: attach_world.World, docker: Dockerd) -> None:
    made = docker.create_network("10.10.0.0/24", options=options(host))
    for last in (5, 6):
        host.port(address=f"10.10.0.{last}")
    docker.run(made, ip="10.10.0.5")
    host.core.settlement.settle()
    host.neutron.calls.clear()

    container = docker.run(made, ip="10.10.0.6")
    host.core.settlement.settle()

    assert host.neutron.calls == ["list_ports", "bind_port", "show_port"]
    host.neutron.calls.clear()
    docker.remove(container)
    host.core.settlement.settle()
    assert host.neutron.calls == ["unbind_port"]


def test_the_ports_mac_and_vlan_are_on_the_vf_whose_interface_docker_is_given(
    host: attach_world.World, docker: Dockerd
) -> None:
    port = host.port(address="10.10.0.5")
    made = docker.create_network("10.10.0.0/24", options=options(host))

    container = docker.run(made, ip="10.10.0.5")

    lease = host.core.engine.find(container.endpoint)
    assert lease is not None
    held = host.held(lease.device)
    assert (held.mac, held.vlan) == (port.mac, 150)
    assert container.joined["InterfaceName"]["SrcName"] == host.kernel.vf(lease.device).netdev
    docker.remove(container)
    assert host.unclean() == []


def test_a_made_port_is_made_bound_and_deleted(host: attach_world.World, docker: Dockerd) -> None:
    made = docker.create_network("10.10.0.0/24", options=options(host, neutron__vnic_type="direct"))

    container = docker.run(made)

    (port,) = host.neutron.server.tables["ports"].values()
    assert (port["binding:vif_type"], port["mac_address"]) == ("hw_veb", container.interface["MacAddress"])
    docker.remove(container)
    assert not host.neutron.server.tables["ports"]
    assert host.unclean() == []


@pytest.mark.parametrize("ipam", ["own", "null"])
@pytest.mark.parametrize("kind", ["existing", "made"])
def test_a_start_that_neutron_cannot_bind_leaves_nothing(
    host: attach_world.World, docker: Dockerd, kind: str, ipam: str
) -> None:
    wanted = options(host, **({"neutron__vnic_type": "direct"} if kind == "made" else {}))
    made = docker.create_network(*(["10.10.0.0/24"] if ipam == "own" else []), options=wanted)
    port = host.port(address="10.10.0.5") if kind == "existing" else None
    host.neutron.kill_agent(attach_world.HOST)

    with pytest.raises(DockerError, match="could not be bound on host host-a"):
        docker.run(
            made,
            ip="10.10.0.5" if port and ipam == "own" else "",
            options={"neutron.port.uuid": port.id} if port and ipam == "null" else {},
        )

    assert host.unclean() == []
    assert list(host.neutron.server.tables["ports"]) == ([port.id] if port else [])


def test_a_container_removed_while_neutron_was_down_may_start_again_with_its_port(
    host: attach_world.World, docker: Dockerd
) -> None:
    host.port(address="10.10.0.5")
    made = docker.create_network("10.10.0.0/24", options=options(host))
    container = docker.run(made, ip="10.10.0.5")
    host.neutron.unreachable = True
    docker.remove(container)
    host.neutron.unreachable = False

    again = docker.run(made, ip="10.10.0.5")

    docker.remove(again)
    host.core.settlement.settle()
    assert host.unclean() == []


def test_a_port_of_a_kind_that_is_not_served_is_refused_in_so_many_words(
    host: attach_world.World, docker: Dockerd
) -> None:
    host.port(address="10.10.0.5", vnic_type="vdpa")
    made = docker.create_network("10.10.0.0/24", options=options(host))

    with pytest.raises(DockerError, match="has vnic_type vdpa, which cannot be served here"):
        docker.run(made, ip="10.10.0.5")

    assert host.unclean() == []


def null_run(
    host: attach_world.World, docker: Dockerd, kind: str = "direct"
) -> tuple[Container, Callable[[], Container]]:
    """Start a container without our IPAM, as Docker does to its end; return it and how it is started once more."""
    vnic_type, wishes = attach_world.KINDS[kind]
    port = host.port(vnic_type=vnic_type)
    made = docker.create_network(options=options(host))
    asked = {"neutron.port.uuid": port.id} | {f"neutron.{key}": value for key, value in wishes.items()}

    def run() -> Container:
        container = docker.run(made, options=asked)
        host.move_in(lease_of(host, container), host.core.engine.attach(container.endpoint))
        return container

    return run(), run


def lease_of(host: attach_world.World, container: Container) -> Lease:
    lease = host.core.engine.find(container.endpoint)
    assert lease is not None
    return lease


@pytest.mark.parametrize("kind", ["direct", "direct-physical", "normal"])
def test_what_docker_starts_again_after_it_was_killed_has_its_port_at_once(
    host: attach_world.World, docker: Dockerd, kind: str
) -> None:
    before, run = null_run(host, docker, kind)
    host.core.round()
    host.die(lease_of(host, before))

    again = run()

    assert host.check(again.endpoint) == ()
    assert host.core.engine.find(before.endpoint) is None
    docker.remove(before)  # late, and of no effect
    host.later()
    assert host.check(again.endpoint) == ()
    host.end(again.endpoint)
    assert host.unclean() == []


def test_docker_waits_for_no_answer_of_neutrons_while_a_dead_container_makes_way(
    host: attach_world.World, docker: Dockerd
) -> None:
    before, run = null_run(host, docker)
    host.core.round()
    host.die(lease_of(host, before))
    host.neutron.calls.clear()

    again = run()

    assert host.neutron.calls == ["show_port", "bind_port"]
    host.later()
    assert host.check(again.endpoint) == ()
    host.end(again.endpoint)
    assert host.unclean() == []


def test_what_a_dead_container_leaves_owed_is_paid_though_no_other_gets_its_port(
    host: attach_world.World, docker: Dockerd
) -> None:
    before, _ = null_run(host, docker)
    lease = lease_of(host, before)
    host.die(lease)

    host.core.engine.make_way(lease.port.id)
    host.core.settlement.settle()

    assert host.unclean() == []


def test_a_container_of_the_service_that_docker_starts_again_after_it_was_killed_has_its_port_at_once(
    host: attach_world.World, plugin: Plugin, docker: Dockerd
) -> None:
    port = host.bound_port(address="10.10.0.5")
    subnets = host.neutron.subnets(network_id=host.network.id)
    plugin.bound_ports.keep([BoundPort(port=port, network=host.network, subnets=subnets)])
    made = docker.create_network(options=options(host, neutron__bound="true"))
    before = docker.run(made, options={"neutron.port.uuid": port.id})
    host.move_in(lease_of(host, before), host.core.engine.attach(before.endpoint))
    host.die(lease_of(host, before))

    again = docker.run(made, options={"neutron.port.uuid": port.id})

    host.move_in(lease_of(host, again), host.core.engine.attach(again.endpoint))
    host.later()
    assert (host.check(again.endpoint), host.neutron.now(port.id).status) == ((), "ACTIVE")


def test_a_namespace_that_ends_while_docker_starts_its_container_again_is_waited_for(
    host: attach_world.World, docker: Dockerd
) -> None:
    before, run = null_run(host, docker)
    host.on_pause = lambda: host.die(lease_of(host, before))

    again = run()

    assert host.check(again.endpoint) == ()


@pytest.mark.parametrize("kind", attach_world.KINDS)
def test_the_port_of_a_container_that_may_live_is_refused_to_another(
    host: attach_world.World, docker: Dockerd, kind: str
) -> None:
    first, run = null_run(host, docker, kind)

    with pytest.raises(DockerError, match=r"in use by .*endpoint|in use by .*EndpointID"):
        run()

    assert host.check(first.endpoint) == ()


@pytest.mark.parametrize("kind", ["macvtap", "vfio"])
def test_the_port_of_a_dead_container_is_refused_while_nothing_shows_that_it_is_dead(
    host: attach_world.World, docker: Dockerd, kind: str
) -> None:
    first, run = null_run(host, docker, kind)
    host.die(lease_of(host, first))

    with pytest.raises(DockerError, match="in use by"):
        run()

    assert host.core.engine.find(first.endpoint) is not None


@pytest.mark.parametrize("kind", ["direct", "direct-physical", "normal"])
def test_an_interface_that_docker_may_be_about_to_move_is_not_taken_for_a_dead_containers(
    host: attach_world.World, docker: Dockerd, kind: str
) -> None:
    first, run = null_run(host, docker, kind)
    host.leave(lease_of(host, first))

    with pytest.raises(DockerError, match="in use by"):
        run()

    assert host.core.engine.find(first.endpoint) is not None
