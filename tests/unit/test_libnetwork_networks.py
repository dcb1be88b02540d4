"""Docker networks: adopted or made, tagged as kuryr-libnetwork tags, and gone without a trace."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from libnetwork_world import DockerError, DockerNetwork, World, another_host

from mooring.errors import NeutronUnreachable
from mooring.libnetwork.directory import Directory
from mooring.libnetwork.intents import GRACE_SECONDS
from mooring.libnetwork.records import Records
from mooring.neutron.model import Network, Subnet


@pytest.fixture(params=["20.10", "29"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, version=request.param)
    yield world
    world.plugin.close()


@pytest.fixture
def network(world: World) -> Network:
    return world.neutron.add_network()


@pytest.fixture
def subnet(world: World, network: Network) -> Subnet:
    return world.neutron.add_subnet(network, "10.10.0.0/24")


def refetch(world: World, kind: str, item_id: str) -> dict[str, object]:
    return world.neutron.server.tables[kind][item_id]


def adopt(world: World, network: Network, *subnets: str, gateway: str | None = None, **options: str) -> object:
    given = {"neutron.net.uuid": network.id} | {key.replace("__", "."): value for key, value in options.items()}
    return world.docker.create_network(*subnets, gateways=(gateway, None), options=given)


def test_the_guides_command_adopts_the_network_and_removing_it_leaves_neutron_as_it_was(
    world: World, network: Network, subnet: Subnet
) -> None:
    before = copy.deepcopy(world.neutron_state())

    made = adopt(world, network, "10.10.0.0/24", gateway="10.10.0.1")

    pool_id = made.pools[4][0]
    assert refetch(world, "networks", network.id)["tags"] == sorted(
        [
            f"kuryr.net.uuid.lh:{made.id[:32]}",
            f"kuryr.net.uuid.uh:{made.id[32:]}",
            f"kuryr.net.existing:{made.id[:12]}",
        ]
    )
    assert refetch(world, "subnets", subnet.id)["tags"] == [pool_id]
    assert refetch(world, "subnetpools", pool_id)["name"] == "kuryrPool-10.10.0.0/24"
    world.docker.remove_network(made)
    assert world.neutron_state() == before


def test_without_options_a_network_is_made_and_deleted(world: World) -> None:
    before = copy.deepcopy(world.neutron_state())

    made = world.docker.create_network("10.20.0.0/24", gateways=("10.20.0.254",))

    (network,) = world.neutron.server.tables["networks"].values()
    (subnet,) = world.neutron.server.tables["subnets"].values()
    assert network["name"] == f"kuryr-net-{made.id[:8]}"
    assert subnet["name"] == "kuryr-subnet-10.20.0.0/24"
    assert (subnet["gateway_ip"], subnet["subnetpool_id"]) == ("10.20.0.254", made.pools[4][0])
    assert subnet["tags"] == [made.pools[4][0]]
    world.docker.remove_network(made)
    assert world.neutron_state() == before


@pytest.mark.usefixtures("subnet")
def test_a_missing_subnet_is_made_on_the_adopted_network_and_goes_with_it(world: World, network: Network) -> None:
    before = copy.deepcopy(world.neutron_state())

    made = adopt(world, network, "10.30.0.0/24", gateway="10.30.0.1")

    assert "kuryr-subnet-10.30.0.0/24" in [s["name"] for s in world.neutron.server.tables["subnets"].values()]
    world.docker.remove_network(made)
    assert world.neutron_state() == before


@pytest.mark.usefixtures("subnet")
def test_a_gateway_left_open_is_the_adopted_subnets_or_the_first_address_of_a_new_one(
    world: World, network: Network
) -> None:
    adopt(world, network, "10.10.0.0/24")
    adopt(world, network, "10.40.0.0/24")

    gateways = {s["cidr"]: s["gateway_ip"] for s in world.neutron.server.tables["subnets"].values()}
    assert gateways == {"10.10.0.0/24": "10.10.0.1", "10.40.0.0/24": "10.40.0.1"}


def test_a_network_without_gateway_is_adopted_without_one(world: World, network: Network) -> None:
    world.neutron.add_subnet(network, "10.10.0.0/24", gateway_ip=None)

    made = adopt(world, network, "10.10.0.0/24")

    assert made.gateways == ({} if world.docker.modern else {4: "0.0.0.0/0"})


def test_an_ipv6_only_network_is_made(world: World) -> None:
    world.docker.create_network("2001:db8::/64")

    (subnet,) = world.neutron.server.tables["subnets"].values()
    assert (subnet["ip_version"], subnet["gateway_ip"]) == (6, "2001:db8::1")


@pytest.mark.usefixtures("subnet")
def test_aux_addresses_need_no_port(world: World, network: Network) -> None:
    world.docker.create_network("10.10.0.0/24", aux="10.10.0.9", options={"neutron.net.uuid": network.id})

    assert not world.neutron.server.tables["ports"]


@pytest.mark.parametrize(
    ("subnets", "gateway", "options", "sentence"),
    [
        (("10.10.0.0/24",), "10.10.0.7", {}, "its subnet 10.10.0.0/24 has gateway 10.10.0.1, not 10.10.0.7"),
        (("10.10.0.0/24",), "10.10.0.7", {}, "give --gateway=10.10.0.1"),
        (("10.10.0.0/24",), None, {"neutron.net.uuid": "5b0f5b9e-0000-4000-8000-000000000000"}, "there is none"),
        (("10.10.0.0/24",), None, {"neutron.net.uuid": "net04"}, "is not a UUID"),
        (("10.10.0.0/24",), None, {"neutron.net.shared": "true"}, "its shared flag is False"),
        (("10.10.0.0/24",), None, {"neutron.vnic_typ": "direct"}, "did you mean neutron.vnic_type?"),
        (("10.10.0.0/24",), None, {"neutron.vnic_type": "dirct"}, "did you mean direct?"),
        (("10.10.0.0/24",), None, {"neutron.net.shared": "perhaps"}, "neither true nor false"),
        (("10.10.0.0/24",), None, {"neutron.pool.name": "no-such"}, "no subnet pool with neutron.pool.name=no-such"),
        (("10.10.1.0/24",), None, {"neutron.subnet.name": "mine"}, "give --subnet=10.10.0.0/24"),
        (("10.10.0.0/24",), None, {"neutron.subnet.name": "other"}, "no subnet with neutron.subnet.name=other"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_left(
    world: World,
    network: Network,
    subnets: tuple[str, ...],
    gateway: str | None,
    options: dict[str, str],
    sentence: str,
) -> None:
    world.neutron.add_subnet(network, "10.10.0.0/24", name="mine")
    before = copy.deepcopy(world.neutron_state())

    with pytest.raises(DockerError, match=sentence.replace("?", r"\?")):
        world.docker.create_network(*subnets, gateways=(gateway,), options={"neutron.net.uuid": network.id, **options})

    assert world.neutron_state() == before


@pytest.mark.usefixtures("network")
def test_a_network_name_that_several_have_is_refused(world: World) -> None:
    world.neutron.add_network()

    with pytest.raises(DockerError, match=r"several have that name; give -o neutron.net.uuid"):
        world.docker.create_network("10.10.0.0/24", options={"neutron.net.name": "net04"})


@pytest.mark.parametrize("reply_lost", [False, True], ids=["refused", "reply-lost"])
@pytest.mark.parametrize("adopting", [False, True], ids=["made", "adopted"])
def test_a_creation_that_fails_at_any_call_leaves_neutron_as_it_was(
    tmp_path: Path,
    adopting: bool,  # noqa: FBT001 - pytest passes parameters by name
    reply_lost: bool,  # noqa: FBT001
) -> None:
    number, failed = 1, True
    while failed:
        (tmp_path / str(number)).mkdir()
        world = World(tmp_path / str(number))
        network = world.neutron.add_network()
        world.neutron.add_subnet(network, "10.10.0.0/24")
        options = {"neutron.net.uuid": network.id} if adopting else {}
        before = copy.deepcopy(world.neutron_state())
        world.neutron.fail_call(number, reply_lost=reply_lost)
        try:
            world.docker.create_network("10.50.0.0/24", options=options)
            failed = False
        except DockerError:
            if reply_lost:
                world.now += GRACE_SECONDS
                world.plugin.pay_debts()
            assert world.neutron_state() == before
        world.plugin.close()
        number += 1
    assert number > 4


@pytest.mark.parametrize("dies_after", ["create_subnetpool", "create_subnet"])
def test_what_was_made_before_neutron_died_is_deleted_when_it_lives_again(
    world: World, network: Network, dies_after: str
) -> None:
    before = copy.deepcopy(world.neutron_state())
    world.neutron.server.die_after = dies_after
    with pytest.raises(DockerError):
        adopt(world, network, "10.50.0.0/24")
    world.neutron.unreachable = False
    world.restart()
    world.now += GRACE_SECONDS

    world.plugin.pay_debts()

    assert world.neutron_state() == before


def test_a_subnet_that_a_failed_creation_left_is_not_adopted_by_the_next(world: World, network: Network) -> None:
    before = copy.deepcopy(world.neutron_state())
    world.neutron.server.die_after = "create_subnet"
    with pytest.raises(DockerError):
        adopt(world, network, "10.50.0.0/24")
    world.neutron.unreachable = False

    with pytest.raises(DockerError, match=r"left its subnet 10.50.0.0/24 behind.*try again in 60 seconds"):
        adopt(world, network, "10.50.0.0/24")

    world.now += GRACE_SECONDS
    world.plugin.pay_debts()
    made = adopt(world, network, "10.50.0.0/24")
    world.plugin.pay_debts()
    assert len(world.neutron.server.tables["subnets"]) == 1
    world.docker.remove_network(made)
    assert world.neutron_state() == before


@pytest.mark.usefixtures("subnet")
def test_a_network_is_removed_while_neutron_is_down_and_its_traces_later(world: World, network: Network) -> None:
    before = copy.deepcopy(world.neutron_state())
    made = adopt(world, network, "10.10.0.0/24")
    world.neutron.unreachable = True

    world.docker.remove_network(made)
    world.restart()
    world.plugin.pay_debts()
    world.neutron.unreachable = False
    world.plugin.pay_debts()

    assert world.neutron_state() == before


def test_unknown_networks_and_pools_are_removed_with_success(world: World) -> None:
    world.docker.call("NetworkDriver.DeleteNetwork", {"NetworkID": "f" * 64})
    world.docker.call("IpamDriver.ReleasePool", {"PoolID": "2f6a0f6e-0000-4000-8000-000000000000"})


@pytest.mark.usefixtures("subnet")
def test_creating_a_network_twice_is_creating_it_once(world: World, network: Network) -> None:
    made = adopt(world, network, "10.10.0.0/24")
    body = {"NetworkID": made.id, "Options": {}, "IPv4Data": [{"Pool": "10.10.0.0/24"}]}

    world.docker.call("NetworkDriver.CreateNetwork", body)

    assert len(world.neutron.server.tables["networks"]) == 1


@pytest.mark.usefixtures("subnet")
def test_the_same_cidr_on_two_networks_makes_two_pools_that_do_not_meet(world: World, network: Network) -> None:
    other = world.neutron.add_network("other", vlan=151)
    world.neutron.add_subnet(other, "10.10.0.0/24")
    here = world.neutron.add_port(network, address="10.10.0.5")
    there = world.neutron.add_port(other, address="10.10.0.5")
    first, second = adopt(world, network, "10.10.0.0/24"), adopt(world, other, "10.10.0.0/24")

    one, two = world.docker.run(first, ip="10.10.0.5"), world.docker.run(second, ip="10.10.0.5")

    assert (one.interface["MacAddress"], two.interface["MacAddress"]) == (here.mac, there.mac)


@pytest.mark.usefixtures("subnet")
def test_two_hosts_share_a_network_and_the_first_to_leave_takes_nothing_from_the_other(
    world: World, network: Network
) -> None:
    neighbour = another_host(world)
    port = world.neutron.add_port(network, address="10.10.0.5")
    before = copy.deepcopy(world.neutron_state())
    mine = adopt(world, network, "10.10.0.0/24")
    theirs = adopt(neighbour, network, "10.10.0.0/24")

    world.docker.remove_network(mine)

    assert neighbour.docker.run(theirs, ip="10.10.0.5").interface["MacAddress"] == port.mac
    neighbour.docker.remove_network(theirs)
    world.neutron.change_port(port.id, **{"binding:host_id": "", "device_id": "", "device_owner": ""})
    world.neutron.change_port(port.id, **{"binding:profile": {}})
    assert world.neutron_state() == before
    neighbour.plugin.close()


def test_a_subnet_made_for_one_host_stays_while_another_uses_it(world: World, network: Network) -> None:
    neighbour = another_host(world)
    mine = adopt(world, network, "10.10.0.0/24")
    theirs = adopt(neighbour, network, "10.10.0.0/24")

    world.docker.remove_network(mine)
    world.plugin.pay_debts()

    assert [s["name"] for s in world.neutron.server.tables["subnets"].values()] == ["kuryr-subnet-10.10.0.0/24"]
    neighbour.docker.remove_network(theirs)
    world.plugin.pay_debts()
    assert not world.neutron.server.tables["subnets"]
    assert not world.neutron.server.tables["subnetpools"]
    neighbour.plugin.close()


@pytest.mark.usefixtures("subnet")
def test_a_subnet_made_on_a_network_already_in_use_serves_at_once(world: World, network: Network) -> None:
    world.neutron.add_port(network, address="10.10.0.5")
    world.docker.run(adopt(world, network, "10.10.0.0/24"), ip="10.10.0.5")

    made = adopt(world, network, "10.30.0.0/24", neutron__vnic_type="direct")

    assert world.docker.run(made, ip="10.30.0.5").addresses == {4: "10.30.0.5/24"}


@pytest.mark.usefixtures("subnet")
def test_of_two_docker_networks_on_one_pool_the_one_that_makes_ports_may_make_them(
    world: World, network: Network
) -> None:
    world.neutron.add_subnetpool("10.10.0.0/24", name="mine")
    given = {"neutron.net.uuid": network.id, "neutron.pool.name": "mine"}
    pool = {"neutron.pool.name": "mine"}
    making = {**given, "neutron.vnic_type": "direct"}
    one, other = (
        world.docker.create_network("10.10.0.0/24", options=options, ipam_options=pool) for options in (making, given)
    )

    with pytest.raises(DockerError, match="no Neutron port with address"):
        world.docker.run(other)
    assert not world.neutron.server.tables["ports"]
    world.docker.run(one)

    (port,) = world.neutron.server.tables["ports"].values()
    assert port["binding:vnic_type"] == "direct"


def test_a_users_pool_is_marked_while_used_and_never_deleted(world: World) -> None:
    pool = world.neutron.add_subnetpool("10.60.0.0/16", name="mine")
    named = {"neutron.pool.name": "mine"}

    made = world.docker.create_network("10.60.1.0/24", options=named, ipam_options=named)

    assert made.pools[4][0] == pool.id
    assert refetch(world, "subnetpools", pool.id)["tags"] == ["kuryr.subnetpool.existing"]
    world.docker.remove_network(made)
    assert refetch(world, "subnetpools", pool.id)["tags"] == []


def test_the_default_pool_serves_a_network_without_subnet_and_survives_it(world: World) -> None:
    pool = world.neutron.add_subnetpool("10.70.0.0/24", name="kuryr")

    made = world.docker.create_network("")

    assert made.pools[4] == (pool.id, "10.70.0.0/24")
    world.docker.remove_network(made)
    assert refetch(world, "subnetpools", pool.id)["name"] == "kuryr"
    assert not world.neutron.server.tables["networks"]


def test_a_network_without_subnet_and_without_default_pool_is_refused(world: World) -> None:
    with pytest.raises(DockerError, match=r"no subnet pool with subnet pool.name=kuryr"):
        world.docker.create_network("")


def test_a_pool_that_docker_has_asked_for_again_is_not_let_go(world: World) -> None:
    body = {"Pool": "10.20.0.0/24", "V6": False}
    first, second = (world.docker.call("IpamDriver.RequestPool", body)["PoolID"] for _ in range(2))

    world.plugin._pools.let_go(first)

    assert first == second
    assert list(world.neutron.server.tables["subnetpools"]) == [first]


def kuryrs_network(world: World, *cidrs: str) -> DockerNetwork:
    """Make in Neutron what kuryr-libnetwork makes, and return what Docker remembers of it."""
    docker_id = "ab" * 32
    known = DockerNetwork(id=docker_id)
    network = world.neutron.add_network("kuryr-net-abababab")
    halves = [f"kuryr.net.uuid.lh:{docker_id[:32]}", f"kuryr.net.uuid.uh:{docker_id[32:]}"]
    refetch(world, "networks", network.id)["tags"] = halves
    for cidr in cidrs:
        pool = world.neutron.add_subnetpool(cidr, name=f"kuryrPool-{cidr}")
        subnet = world.neutron.add_subnet(network, cidr, name=f"kuryr-subnet-{cidr}", subnetpool_id=pool.id)
        refetch(world, "subnets", subnet.id)["tags"] = [pool.id]
        known.pools[6 if ":" in cidr else 4] = pool.id, cidr
    return known


def test_what_kuryr_libnetwork_made_before_is_used_and_removed(world: World) -> None:
    known = kuryrs_network(world, "10.80.0.0/24", "2001:db8::/64")
    tables = world.neutron.server.tables
    subnets = {item["ip_version"]: item["id"] for item in tables["subnets"].values()}
    addresses = {4: "10.80.0.5", 6: "2001:db8::5"}
    fixed = [{"subnet_id": subnets[version], "ip_address": address} for version, address in addresses.items()]
    (network,) = world.neutron.networks(name="kuryr-net-abababab")
    world.neutron.add_port(network, fixed_ips=fixed)

    container = world.docker.run(known, ip="10.80.0.5")

    assert (container.joined["Gateway"], container.joined["GatewayIPv6"]) == ("10.80.0.1", "2001:db8::1")
    world.docker.remove(container)
    tables["ports"].clear()
    world.docker.remove_network(known)
    assert not any(tables[kind] for kind in ("networks", "subnets", "subnetpools"))


def test_a_network_that_was_changed_is_read_anew_when_a_docker_network_is_created_on_it(
    world: World, network: Network
) -> None:
    world.neutron.add_subnet(network, "10.10.0.0/24")
    for host in (5, 6):
        world.neutron.add_port(network, address=f"10.10.0.{host}")
    world.docker.run(adopt(world, network, "10.10.0.0/24"), ip="10.10.0.5")
    refetch(world, "networks", network.id)["mtu"] = 9000

    container = world.docker.run(adopt(world, network, "10.10.0.0/24"), ip="10.10.0.6")

    assert world.core.leases[container.endpoint].network.mtu == 9000


def test_a_network_is_read_again_when_it_is_a_minute_old(world: World, network: Network) -> None:
    now = [0.0]
    directory = Directory(world.neutron, Records(world.plugin._file), clock=lambda: now[0])

    for seconds in (0, 59, 61):
        now[0] = seconds
        directory.network(network.id)

    assert world.neutron.calls == ["show_network", "show_network"]


def test_a_failure_to_read_a_network_is_not_remembered(world: World, network: Network) -> None:
    directory = Directory(world.neutron, Records(world.plugin._file))
    world.neutron.fail_call(1)
    with pytest.raises(NeutronUnreachable):
        directory.network(network.id)

    assert directory.network(network.id).id == network.id


def test_a_lost_memory_is_restored_from_the_tags(world: World, network: Network, subnet: Subnet) -> None:
    port = world.neutron.add_port(network, address="10.10.0.5")
    before = copy.deepcopy(world.neutron_state())
    made = adopt(world, network, "10.10.0.0/24")
    world.plugin.close()
    for file in world.state_dir.glob("libnetwork.sqlite*"):
        file.unlink()
    world.restart()

    container = world.docker.run(made, ip="10.10.0.5")

    assert (container.interface["MacAddress"], container.joined["Gateway"]) == (port.mac, str(subnet.gateway))
    world.docker.remove(container)
    world.docker.remove_network(made)
    assert world.neutron_state() == before
