"""What holds of every kind of port: how they bind, what is refused, and how Docker meets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attach_world import DRIVERS, HOST, World, a_lease
from libnetwork_world import Dockerd, DockerError

from mooring.attach.drivers.registry import load_port_drivers
from mooring.config.settings import LibnetworkSettings
from mooring.errors import BindingRefused, InvalidConfiguration
from mooring.libnetwork.plugin import Plugin
from mooring.testing import neutron_server
from mooring.testing.neutron_drivers import Bound

FITTING = {
    "direct": ("hw_veb",),
    "macvtap": ("hw_veb",),
    "direct-physical": ("hostdev_physical",),
    "normal": ("ovs", "bridge"),
}
VIF_TYPES = ("hw_veb", "hostdev_physical", "ovs", "bridge", "vhostuser", "other")
ADDRESS = "10.10.0.5"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


@pytest.fixture
def docker(world: World, tmp_path: Path) -> Iterator[Dockerd]:
    plugin = Plugin(
        neutron=world.neutron,
        attachments=world.core.engine,
        host=HOST,
        settings=LibnetworkSettings(),
        state_dir=tmp_path,
    )
    yield Dockerd(plugin.app)
    plugin.close()


def network(world: World, **more: str) -> dict[str, str]:
    return {"neutron.net.uuid": world.network.id, **more}


@pytest.mark.parametrize(
    ("vnic_type", "vif_type"), [(vnic, vif) for vnic, fit in FITTING.items() for vif in VIF_TYPES if vif not in fit]
)
def test_a_vif_type_that_does_not_belong_to_the_vnic_type_is_refused_naming_both(
    world: World, monkeypatch: pytest.MonkeyPatch, vnic_type: str, vif_type: str
) -> None:
    bound = Bound(vif_type=vif_type, vif_details={"vlan": "150"})
    monkeypatch.setattr(neutron_server, "bind", lambda *_: bound)
    world.core.engine.lease(world.request(world.port(vnic_type=vnic_type)))

    with pytest.raises(BindingRefused, match=f"vif_type {vif_type} for vnic_type {vnic_type}"):
        world.core.engine.attach("endpoint-1")

    assert world.unclean() == []


@pytest.mark.parametrize("vnic_type", FITTING)
@pytest.mark.parametrize("ipam", ["own", "null"])
def test_docker_is_told_the_mac_and_the_interface_of_every_kind(
    world: World, docker: Dockerd, vnic_type: str, ipam: str
) -> None:
    port = world.port(address=ADDRESS, vnic_type=vnic_type)
    made = docker.create_network(*(["10.10.0.0/24"] if ipam == "own" else []), options=network(world))

    container = docker.run(
        made,
        ip=ADDRESS if ipam == "own" else "",
        options={"neutron.port.uuid": port.id} if ipam == "null" else {},
    )

    bound = world.neutron.now(port.id)
    assert container.interface["MacAddress"] == bound.mac
    interface = world.kernel.link(container.joined["InterfaceName"]["SrcName"])
    assert interface is not None
    assert interface.mac == bound.mac
    docker.remove(container)
    assert world.unclean() == []


@pytest.mark.parametrize("vnic_type", FITTING)
def test_a_port_of_every_kind_is_made_and_deleted_again(world: World, docker: Dockerd, vnic_type: str) -> None:
    made = docker.create_network("10.10.0.0/24", options=network(world, **{"neutron.vnic_type": vnic_type}))

    container = docker.run(made)

    (port,) = world.neutron.server.tables["ports"].values()
    assert (port["binding:vnic_type"], port["mac_address"]) == (vnic_type, container.interface["MacAddress"])
    docker.remove(container)
    assert not world.neutron.server.tables["ports"]
    assert world.unclean() == []


def test_a_program_is_given_no_interface_and_no_route(world: World, docker: Dockerd) -> None:
    port = world.port(address=ADDRESS)
    made = docker.create_network("10.10.0.0/24", options=network(world))

    container = docker.run(made, ip=ADDRESS, options={"neutron.vf_driver": "vfio-pci"})

    assert container.joined["InterfaceName"]["SrcName"] == ""
    assert "Gateway" not in container.joined or not container.joined["Gateway"]
    assert world.catalogue.names == [port.id]
    docker.remove(container)
    assert world.catalogue.names == []
    assert world.unclean() == []


def test_the_mac_that_docker_forces_on_a_whole_card_must_be_the_cards(world: World, docker: Dockerd) -> None:
    port = world.port(address=ADDRESS, vnic_type="direct-physical")
    made = docker.create_network("10.10.0.0/24", options=network(world))
    card = world.core.devices.pool.cards()[1].pf
    uplink = world.kernel.netdev(card)
    assert uplink is not None

    with pytest.raises(DockerError, match=f"its MAC address is {uplink.mac}.*takes over that of its card"):
        docker.run(made, ip=ADDRESS, mac=port.mac)
    assert world.unclean() == []

    container = docker.run(made, ip=ADDRESS, mac=uplink.mac)
    assert world.neutron.now(port.id).mac == uplink.mac
    docker.remove(container)
    assert world.unclean() == []


def test_a_lease_whose_driver_is_gone_is_named_and_the_configuration_not_blamed(world: World) -> None:
    world.core.journal.add(a_lease(attachment="endpoint-9", driver="bond"))

    with pytest.raises(InvalidConfiguration, match="the lease of endpoint-9 needs the port driver bond, which is not"):
        load_port_drivers(DRIVERS, world.core.devices)


def test_an_enabled_driver_that_is_gone_is_the_configurations_matter(world: World) -> None:
    with pytest.raises(InvalidConfiguration, match="enabled_port_drivers names the port driver bond, which is not"):
        load_port_drivers([*DRIVERS, "bond"], world.core.devices)
