"""The door on the real core: what a container start and stop cost Neutron, and what they leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attach_world
import pytest
from libnetwork_world import Dockerd, DockerError

from mooring.config.settings import LibnetworkSettings
from mooring.libnetwork.plugin import Plugin


@pytest.fixture
def host(tmp_path: Path) -> Iterator[attach_world.World]:
    host = attach_world.World(tmp_path)
    yield host
    host.kill()


@pytest.fixture
def docker(host: attach_world.World, tmp_path: Path) -> Iterator[Dockerd]:
    plugin = Plugin(
        neutron=host.neutron,
        attachments=host.core.engine,
        host=attach_world.HOST,
        settings=LibnetworkSettings(),
        state_dir=tmp_path,
    )
    yield Dockerd(plugin.app)
    plugin.close()


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
