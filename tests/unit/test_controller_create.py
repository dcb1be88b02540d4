"""What is asked for is judged before anything is written."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from controller_world import World

from mooring.container.model import Container
from mooring.container.states import Status
from mooring.controller.api import NetworkWish
from mooring.db.api import ContainerQuery
from mooring.errors import (
    HostNotFound,
    InvalidAlias,
    InvalidRequest,
    MooringError,
    NameAmbiguous,
    NameTaken,
    NetworkNotFound,
    NetworkUnusable,
    NeutronUnreachable,
    NoNetwork,
    PolicyForbids,
    PortBusy,
    PortNotFound,
    PortUnusable,
    QuotaExceeded,
    UnsupportedVnicType,
)
from mooring.testing.nodes import card

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def world() -> World:
    world = World()
    world.add_host()
    return world


def refused(world: World, error: type[MooringError], *nets: NetworkWish, match: str, **spec: object) -> None:
    """Assert that a creation is refused, and that neither the database nor Neutron knows anything of it."""
    tables = world.neutron.server.tables
    before = {port_id: dict(port) for port_id, port in tables["ports"].items()}
    with pytest.raises(error, match=match):
        world.create(nets=nets, **spec)
    assert world.store.containers(ContainerQuery()) == ()
    assert tables["ports"] == before
    assert world.wakes == 0


def test_a_port_is_found_by_its_name(world: World) -> None:
    port = world.add_port(name="sriov_port")

    container = world.create(nets=[NetworkWish(port="sriov_port")])

    assert [each.port_id for each in container.interfaces] == [port.id]


def test_a_port_that_does_not_exist_is_named(world: World) -> None:
    refused(world, PortNotFound, NetworkWish(port=UNKNOWN), match=UNKNOWN)
    refused(world, PortNotFound, NetworkWish(port="nobody's"), match="nobody's")


def test_another_projects_port_is_one_that_does_not_exist_be_it_by_id_or_by_name(world: World) -> None:
    port = world.add_port(name="theirs", project_id="another")

    refused(world, PortNotFound, NetworkWish(port=port.id), match=port.id)
    refused(world, PortNotFound, NetworkWish(port="theirs"), match="theirs")


def test_a_name_that_two_ports_have_is_ambiguous(world: World) -> None:
    for _ in range(2):
        world.add_port(name="twin")

    refused(world, NameAmbiguous, NetworkWish(port="twin"), match="2 ports are named twin")


def test_a_port_in_use_is_refused_with_its_user(world: World) -> None:
    port = world.add_port(device_id="server-1", device_owner="compute:nova")

    refused(world, PortBusy, NetworkWish(port=port.id), match="compute:nova server-1")


def test_a_port_that_is_bound_is_in_use_whatever_its_device(world: World) -> None:
    port = world.add_port()
    world.neutron.change_port(port.id, **{"binding:host_id": "host-1"})

    refused(world, PortBusy, NetworkWish(port=port.id), match="on host host-1")


@pytest.mark.parametrize("vnic_type", ["virtio-forwarder", "smart-nic", "baremetal", "vdpa"])
def test_a_kind_of_port_that_nobody_serves_is_named(world: World, vnic_type: str) -> None:
    port = world.add_port(vnic_type=vnic_type)

    refused(world, UnsupportedVnicType, NetworkWish(port=port.id), match=vnic_type)


@pytest.mark.parametrize("vnic_type", ["direct", "macvtap", "direct-physical"])
def test_a_network_without_a_physical_network_cannot_have_sriov_ports(world: World, vnic_type: str) -> None:
    tunnel = world.add_network("tunnel", physical_network=None)
    port = world.add_port(tunnel, vnic_type=vnic_type)

    refused(world, NetworkUnusable, NetworkWish(port=port.id), match="has no physical_network")


@pytest.mark.parametrize("wish", [NetworkWish(), NetworkWish(port="a", network="b")], ids=["neither", "both"])
def test_an_item_of_nets_names_a_port_or_a_network(world: World, wish: NetworkWish) -> None:
    refused(world, InvalidRequest, wish, match="one of the two")


@pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8::9"])
def test_an_address_outside_the_subnets_is_refused_with_the_subnets(world: World, address: str) -> None:
    wish = NetworkWish(network="net", addresses=(ip_address(address),))

    refused(world, NetworkUnusable, wish, match=r"10\.10\.0\.0/24")


def test_an_address_that_another_port_has_is_refused(world: World) -> None:
    world.add_port(address="10.10.0.9")

    refused(
        world, NetworkUnusable, NetworkWish(network="net", addresses=(ip_address("10.10.0.9"),)), match="another port"
    )


def test_an_address_beside_a_port_must_be_the_ports(world: World) -> None:
    port = world.add_port(address="10.10.0.9")

    refused(world, PortUnusable, NetworkWish(port=port.id, addresses=(ip_address("10.10.0.8"),)), match=r"10\.10\.0\.8")
    assert world.create(nets=[NetworkWish(port=port.id, addresses=(ip_address("10.10.0.9"),))]).interfaces


def test_two_ports_of_one_network_are_refused_before_anything_is_taken(world: World) -> None:
    ports = [world.add_port(), world.add_port()]

    refused(world, InvalidRequest, *(NetworkWish(port=port.id) for port in ports), match="two interfaces on network")
    refused(world, InvalidRequest, *(NetworkWish(port=ports[0].id) for _ in range(2)), match="asked for twice")


def test_an_alias_that_is_not_known_is_refused_and_a_known_one_is_served(world: World) -> None:
    refused(world, InvalidAlias, hints={"pci_passthrough:alias": "gpu:1"}, match="gpu")

    container = world.create(hints={"pci_passthrough:alias": "nic:2"})

    assert [claim.alias for claim in container.aliases] == ["nic", "nic"]


def test_a_host_that_does_not_exist_is_not_found(world: World) -> None:
    refused(world, HostNotFound, host="host-9", match="host-9")


def test_a_project_cannot_have_more_than_its_quota() -> None:
    world = World(quotas={"containers": 1, "cpu": -1, "memory": -1, "disk": -1})
    world.create(world.add_port())

    with pytest.raises(QuotaExceeded, match="containers"):
        world.create(world.add_port())

    world.store.set_quotas("demo", {"containers": 2})
    world.create(world.add_port())


def test_names_may_have_to_be_unique() -> None:
    world = World(unique_names="project")
    world.create(world.add_port(), name="edge")

    with pytest.raises(NameTaken, match="edge"):
        world.create(world.add_port(), name="edge")


def test_neutron_away_is_told_and_nothing_is_half_done(world: World) -> None:
    port = world.add_port()
    world.neutron.unreachable = True

    refused(world, NeutronUnreachable, NetworkWish(port=port.id), match="did not answer")


# Networks


def test_no_nets_are_the_projects_oldest_network(world: World) -> None:
    world.add_network("younger", project_id="demo")

    container = world.create()

    assert [each.network_id for each in container.interfaces] == [world.network.id]
    assert not container.interfaces[0].preserve


def test_who_has_no_network_gets_a_shared_one_and_else_is_refused() -> None:
    world = World()
    stranger = world.caller("stranger")
    with pytest.raises(NoNetwork, match="stranger"):
        world.create(caller=stranger)
    world.neutron.add_network("internet", shared=True, project_id="admins", **{"router:external": True})
    shared = world.neutron.add_network("shared", shared=True, project_id="admins")

    assert world.create(caller=stranger).interfaces[0].network_id == shared.id


def test_another_projects_network_cannot_be_named(world: World) -> None:
    theirs = world.add_network("theirs", project_id="another")

    refused(world, NetworkNotFound, NetworkWish(network=theirs.id), match=theirs.id)
    refused(world, NetworkNotFound, NetworkWish(network="theirs"), match="theirs")


def test_an_external_network_that_is_not_shared_is_for_administrators(world: World) -> None:
    world.add_network("internet", project_id="admins", **{"router:external": True})

    refused(world, PolicyForbids, NetworkWish(network="internet"), match="attach_external_network")
    world.create(nets=[NetworkWish(network="internet")], caller=world.caller(is_admin=True))


def test_nets_keep_their_order_and_both_their_addresses(world: World) -> None:
    second = world.add_network("second", project_id="demo", vlan=200)
    world.neutron.add_subnet(second, "2001:db8::/64")
    addresses = ip_address("10.22.0.9"), ip_address("2001:db8::9")
    port = world.add_port()

    container = world.create(nets=[NetworkWish(network="second", addresses=addresses), NetworkWish(port=port.id)])
    world.settle()

    running = world.now(container)
    assert running.status is Status.RUNNING, running.status_reason
    made, given = running.interfaces
    assert given.port_id == port.id
    assert made.port is not None
    assert {fixed.address for fixed in made.port.fixed_ips} == set(addresses)
    assert (made.port.project_id, made.port.device_id) == ("demo", container.uuid)
    assert world.nodes.on("host-1").containers[container.uuid].ports == (made.port_id, port.id)


def test_ports_for_networks_may_be_sriov_ports_where_the_cloud_wants_that() -> None:
    world = World(default_vnic_type="direct")
    world.add_host()

    container = world.create()
    world.settle()

    (interface,) = world.now(container).interfaces
    assert interface.device is not None
    assert interface.port is not None
    assert (interface.port.vnic_type, interface.port.vif_type) == ("direct", "hw_veb")


# Security groups


def sentence(container: Container) -> str:
    return f"security groups are not enforced on SR-IOV ports: {container.interfaces[0].port_id}"


def test_security_groups_on_an_sriov_port_are_told_to_have_no_effect(world: World) -> None:
    group = world.neutron.add_security_group("web")

    container = world.create(world.add_port(), security_groups=("web", group.id))

    assert container.spec.security_groups == (group.id,)
    assert container.status_reason == sentence(container)
    assert (sentence(container), "Success") in world.events(container)


def test_security_groups_are_given_to_the_ports_that_are_made(world: World) -> None:
    group = world.neutron.add_security_group("web")

    container = world.create(nets=[NetworkWish(network="net")], security_groups=("web",))
    world.settle()

    (interface,) = world.now(container).interfaces
    assert container.status_reason is None
    assert interface.port is not None
    assert interface.port.security_groups == (group.id,)


def test_a_security_group_must_be_the_projects_own_and_no_others_name(world: World) -> None:
    theirs = world.neutron.add_security_group("theirs", project_id="another")
    refused(world, InvalidRequest, security_groups=(theirs.id,), match=theirs.id)
    refused(world, InvalidRequest, security_groups=("theirs",), match="theirs")
    for _ in range(2):
        world.neutron.add_security_group("twin")

    refused(world, NameAmbiguous, security_groups=("twin",), match="2 security groups")


# Kinds of port and device


def test_a_whole_pf_lends_its_port_its_mac_and_blocks_its_vfs(world: World) -> None:
    port = world.add_port(vnic_type="direct-physical")

    container = world.running(port)

    assert world.neutron.now(port.id).mac == "02:00:00:00:01:00"
    assert world.neutron.now(port.id).vif_type == "hostdev_physical"
    late = world.create(world.add_port(world.add_network("second", project_id="demo")))
    world.settle()
    assert "0 of 7 VFs free on physnet2" in (world.now(late).status_reason or "")
    world.delete(container)
    world.settle()
    assert world.is_gone(container)
    world.check_nothing_left(port)


def test_a_trusted_port_takes_a_trusted_vf_only(world: World) -> None:
    container = world.create(world.add_port(trusted=True))
    world.settle()

    assert "trusted VFs" in (world.now(container).status_reason or "")


def test_a_port_whose_numa_node_matters_takes_no_vf_of_which_it_is_not_known() -> None:
    world = World()
    world.add_host("host-1", *(device.model_copy(update={"numa_node": None}) for device in card(1)))
    minding = world.create(world.add_port(numa_affinity_policy="required"))
    other = world.create(world.add_port(numa_affinity_policy="preferred"))
    world.settle()

    assert "PciPassthroughFilter" in (world.now(minding).status_reason or "")
    assert world.now(other).status is Status.RUNNING


def test_a_network_of_several_segments_takes_the_first_that_there_are_devices_on(world: World) -> None:
    network = world.neutron.add_network("multi", segments=[("physnet9", 100), ("physnet2", 200)])

    container = world.running(world.add_port(network))

    assert container.interfaces[0].physical_network == "physnet2"


def test_what_an_image_lacks_ends_the_creation_on_the_first_host(world: World) -> None:
    world.add_host("host-2")
    for node in world.nodes.all.values():
        node.failure = "no such image: cirros"
    port = world.add_port()

    container = world.create(port)
    world.settle()

    failed = world.now(container)
    assert (failed.status, failed.status_reason) == (Status.ERROR, "no such image: cirros")
    assert (failed.host, failed.interfaces) == (None, ())
    assert world.message(container) == "no such image: cirros"
    assert sum(len(node.carried_out) for node in world.nodes.all.values()) == 1
    world.check_nothing_left(port)
    world.create(port)


def test_neutron_away_during_a_creation_is_waited_for_and_given_up_in_time(world: World) -> None:
    ports = [world.add_port(), world.add_port()]
    first = world.create(ports[0])
    world.neutron.unreachable = True
    world.settle()
    waiting = world.now(first)
    assert waiting.status is Status.CREATING
    assert f"reserving port {ports[0].id}" in str(waiting.status_detail)
    assert str(waiting.status_detail).endswith(": Neutron does not answer; try again later")
    assert ("reserve_port", "Error") in world.events(first)
    assert "the fake is switched off" in str(world.store.action(first.uuid, str(waiting.action)).events)

    world.clock.pass_(minutes=2)
    world.settle()
    world.neutron.unreachable = False
    world.come_to_rest()
    assert world.now(first).status is Status.RUNNING
    assert world.now(first).status_detail is None

    second = world.create(ports[1])
    world.neutron.unreachable = True
    world.settle()
    world.clock.pass_(minutes=6)
    world.settle()
    assert world.now(second).status is Status.ERROR
    assert "Neutron does not answer" in (world.message(second) or "")
    # Where Neutron is, and what it said, stands in the log and in what administrators see of the steps.
    assert "switched off" not in f"{world.now(second).status_reason} {world.message(second)}"
    world.neutron.unreachable = False
    world.come_to_rest()
    assert world.is_as_left(ports[1])
