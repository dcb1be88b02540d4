"""Containers: which port each gets, what Docker is told of it, and that nothing is left behind."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from libnetwork_world import HOST, Container, DockerError, DockerNetwork, World

from mooring.errors import NeutronUnreachable
from mooring.libnetwork.intents import GRACE_SECONDS
from mooring.neutron.api import NewPort
from mooring.neutron.model import Network, Port

OURS = "compute:kuryr"


@pytest.fixture(params=["20.10", "29"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, version=request.param)
    yield world
    world.plugin.close()


@pytest.fixture
def network(world: World) -> Network:
    network = world.neutron.add_network()
    world.neutron.add_subnet(network, "10.0.0.0/24")
    return network


@pytest.fixture
def port(world: World, network: Network) -> Port:
    return world.neutron.add_port(network, address="10.0.0.5")


def kuryr_net(world: World, network: Network, **options: str) -> DockerNetwork:
    """The guide's network."""
    given = {"neutron.net.uuid": network.id} | options
    return world.docker.create_network("10.0.0.0/24", gateways=("10.0.0.1",), options=given)


def null_net(world: World, network: Network, **options: str) -> DockerNetwork:
    return world.docker.create_network(options={"neutron.net.uuid": network.id} | options)


def dual_net(world: World, network: Network, **options: str) -> DockerNetwork:
    world.neutron.add_subnet(network, "2001:db8::/64")
    return world.docker.create_network(
        "10.0.0.0/24", "2001:db8::/64", options={"neutron.net.uuid": network.id, **options}
    )


def dual_port(world: World, network: Network) -> Port:
    subnets = {s["cidr"]: s["id"] for s in world.neutron.server.tables["subnets"].values()}
    addresses = [("10.0.0.0/24", "10.0.0.7"), ("2001:db8::/64", "2001:db8::7")]
    fixed = [{"subnet_id": subnets[cidr], "ip_address": address} for cidr, address in addresses]
    return world.neutron.add_port(network, fixed_ips=fixed)


def reserved(world: World) -> int:
    return len(world.plugin._file.rows("SELECT 1 FROM reservation"))


class TestAnExistingPortByItsAddress:
    def test_the_container_gets_the_ports_mac_gateway_and_interface(
        self, world: World, network: Network, port: Port
    ) -> None:
        container = world.docker.run(kuryr_net(world, network), ip="10.0.0.5")

        assert container.addresses == {4: "10.0.0.5/24"}
        assert container.interface["MacAddress"] == port.mac
        assert container.joined == {
            "InterfaceName": {"SrcName": "enp10s0f0v1", "DstPrefix": "eth"},
            "Gateway": "10.0.0.1",
            "StaticRoutes": [],
            "DisableGatewayService": True,
        }

    def test_the_port_is_bound_to_this_host_for_the_endpoint(self, world: World, network: Network, port: Port) -> None:
        container = world.docker.run(kuryr_net(world, network), ip="10.0.0.5")

        bound = world.neutron.now(port.id)
        assert (bound.host, bound.device_id, bound.device_owner) == (HOST, container.endpoint, OURS)

    @pytest.mark.usefixtures("port")
    def test_removing_the_container_gives_the_port_back_as_it_was(self, world: World, network: Network) -> None:
        made = kuryr_net(world, network)
        before = copy.deepcopy(world.neutron_state())

        world.docker.remove(world.docker.run(made, ip="10.0.0.5"))

        assert world.neutron_state() == before
        assert reserved(world) == 0
        world.docker.run(made, ip="10.0.0.5")

    def test_a_start_costs_the_door_one_call_and_a_stop_none(self, world: World, network: Network) -> None:
        made = kuryr_net(world, network)
        for host in (5, 6):
            world.neutron.add_port(network, address=f"10.0.0.{host}")
        world.docker.run(made, ip="10.0.0.5")
        world.neutron.calls.clear()

        container = world.docker.run(made, ip="10.0.0.6")

        assert world.neutron.calls == ["list_ports", "bind_port"]
        world.neutron.calls.clear()
        world.docker.remove(container)
        assert world.neutron.calls == ["unbind_port"]

    def test_create_endpoint_asks_neutron_nothing(self, world: World, network: Network, port: Port) -> None:
        made = kuryr_net(world, network)
        pool_id = made.pools[4][0]
        world.docker.call("IpamDriver.RequestAddress", {"PoolID": pool_id, "Address": "10.0.0.5"})
        world.neutron.unreachable = True

        body = {"NetworkID": made.id, "EndpointID": "e" * 64, "Interface": {"Address": "10.0.0.5/24"}}
        answer = world.docker.call("NetworkDriver.CreateEndpoint", body)

        assert answer == {"Interface": {"MacAddress": port.mac}}

    def test_create_endpoint_repeated_gives_the_same_answer(self, world: World, network: Network, port: Port) -> None:
        container = world.docker.run(kuryr_net(world, network), ip="10.0.0.5")
        ids = {"NetworkID": container.network.id, "EndpointID": container.endpoint}

        again = world.docker.call("NetworkDriver.CreateEndpoint", ids | {"Interface": {"Address": "10.0.0.5/24"}})

        assert again == {"Interface": {"MacAddress": port.mac}}
        assert len(world.core.leases) == 1

    def test_a_restart_of_mooring_between_the_calls_of_a_start_is_not_noticed(
        self, world: World, network: Network, port: Port
    ) -> None:
        made = kuryr_net(world, network)
        world.docker.call("IpamDriver.RequestAddress", {"PoolID": made.pools[4][0], "Address": "10.0.0.5"})
        world.restart()
        ids = {"NetworkID": made.id, "EndpointID": "e" * 64}
        answer = world.docker.call("NetworkDriver.CreateEndpoint", ids | {"Interface": {"Address": "10.0.0.5/24"}})
        world.restart()

        assert answer["Interface"]["MacAddress"] == port.mac
        assert world.docker.call("NetworkDriver.Join", ids)["Gateway"] == "10.0.0.1"

    def test_an_address_that_no_port_has_is_refused_with_both_ways_out(self, world: World, network: Network) -> None:
        made = kuryr_net(world, network)

        with pytest.raises(DockerError) as refusal:
            world.docker.run(made, ip="10.0.0.99")

        assert "no Neutron port with address 10.0.0.99 on subnet 10.0.0.0/24" in str(refusal.value)
        assert "openstack port create" in str(refusal.value)
        assert "-o neutron.vnic_type=direct" in str(refusal.value)

    def test_no_address_at_all_is_refused_with_both_ways_out(self, world: World, network: Network) -> None:
        with pytest.raises(DockerError, match=r"--ip .*-o neutron.vnic_type=direct"):
            world.docker.run(kuryr_net(world, network))

    def test_the_routers_address_is_refused_and_the_router_keeps_its_port(self, world: World, network: Network) -> None:
        router = world.neutron.add_port(
            network, address="10.0.0.1", vnic_type="normal", device_id="r1", device_owner="network:router_interface"
        )

        with pytest.raises(DockerError, match="in use by network:router_interface device r1"):
            world.docker.run(kuryr_net(world, network), ip="10.0.0.1")

        assert world.neutron.now(router.id) == router

    def test_a_port_bound_elsewhere_is_refused_naming_the_host(
        self, world: World, network: Network, port: Port
    ) -> None:
        world.neutron.add_agent("node2", {"physnet2": ["p"]})
        world.neutron.change_port(port.id, **{"device_id": "other", "device_owner": OURS, "binding:host_id": "node2"})

        with pytest.raises(DockerError, match="in use by compute:kuryr device other on host node2"):
            world.docker.run(kuryr_net(world, network), ip="10.0.0.5")

    def test_what_a_dead_attachment_of_this_host_left_behind_is_taken_over(
        self, world: World, network: Network, port: Port
    ) -> None:
        world.neutron.change_port(port.id, **{"device_id": "dead", "device_owner": OURS, "binding:host_id": HOST})

        container = world.docker.run(kuryr_net(world, network), ip="10.0.0.5")

        assert world.neutron.now(port.id).device_id == container.endpoint

    @pytest.mark.usefixtures("port")
    def test_two_containers_cannot_have_one_port(self, world: World, network: Network) -> None:
        made = kuryr_net(world, network)
        first = world.docker.run(made, ip="10.0.0.5")

        held = f"in use by the container with endpoint {first.endpoint[:12]} on this host \\('docker network inspect'"
        with pytest.raises(DockerError, match=held):
            world.docker.run(made, ip="10.0.0.5", name="c2")

        world.docker.remove(first)
        assert not world.core.leases

    def test_two_docker_networks_that_race_for_one_port_leave_it_with_the_first(
        self, world: World, network: Network, port: Port
    ) -> None:
        one, two = kuryr_net(world, network), kuryr_net(world, network)
        for made in (one, two):
            world.docker.call("IpamDriver.RequestAddress", {"PoolID": made.pools[4][0], "Address": "10.0.0.5"})
        given = {"Interface": {"Address": "10.0.0.5/24"}}
        winner = {"NetworkID": one.id, "EndpointID": "a" * 64}
        world.docker.call("NetworkDriver.CreateEndpoint", winner | given)

        with pytest.raises(DockerError, match="in use by the container with endpoint aaaaaaaaaaaa"):
            world.docker.call("NetworkDriver.CreateEndpoint", {"NetworkID": two.id, "EndpointID": "b" * 64, **given})
        world.docker.call("IpamDriver.ReleaseAddress", {"PoolID": two.pools[4][0], "Address": "10.0.0.5"})

        world.docker.call("NetworkDriver.Join", winner)
        assert world.neutron.now(port.id).device_id == "a" * 64

    @pytest.mark.usefixtures("port")
    def test_of_many_containers_that_race_for_one_port_one_starts(self, world: World, network: Network) -> None:
        networks = [kuryr_net(world, network) for _ in range(6)]

        def start(made: DockerNetwork) -> Container | str:
            try:
                return world.docker.run(made, ip="10.0.0.5")
            except DockerError as exc:
                return str(exc)

        with ThreadPoolExecutor(len(networks)) as threads:
            results = list(threads.map(start, networks))

        started = [result for result in results if isinstance(result, Container)]
        assert len(started) == 1
        assert all("is in use by" in result for result in results if isinstance(result, str))
        assert list(world.core.leases) == [started[0].endpoint]
        world.docker.remove(started[0])
        assert reserved(world) == 0

    def test_an_address_off_the_subnet_is_refused_naming_the_subnet(self, world: World, network: Network) -> None:
        made = kuryr_net(world, network)

        with pytest.raises(DockerError, match=r"address 172.16.0.5 on subnet 10.0.0.0/24"):
            world.docker.run(made, ip="172.16.0.5")

    def test_an_address_of_an_ipam_driver_that_is_not_ours_names_the_port_too(
        self, world: World, network: Network, port: Port
    ) -> None:
        made = kuryr_net(world, network)
        body = {"NetworkID": made.id, "EndpointID": "e" * 64, "Interface": {"Address": "10.0.0.5/24"}}

        answer = world.docker.call("NetworkDriver.CreateEndpoint", body)

        assert answer == {"Interface": {"MacAddress": port.mac}}

    @pytest.mark.usefixtures("port")
    def test_a_late_release_of_an_address_does_not_touch_its_new_container(
        self, world: World, network: Network
    ) -> None:
        made = kuryr_net(world, network)
        world.docker.run(made, ip="10.0.0.5")

        world.docker.call("IpamDriver.ReleaseAddress", {"PoolID": made.pools[4][0], "Address": "10.0.0.5"})

        assert reserved(world) == 1

    def test_a_port_whose_binding_failed_may_be_tried_again(self, world: World, network: Network, port: Port) -> None:
        world.neutron.kill_agent(HOST)
        world.neutron.change_port(port.id, **{"binding:host_id": HOST})
        world.neutron.add_agent(HOST, {"physnet2": ["enp10s0f0"]})

        world.docker.run(kuryr_net(world, network), ip="10.0.0.5")

        assert world.neutron.now(port.id).vif_type == "hw_veb"

    @pytest.mark.usefixtures("port")
    def test_a_container_without_a_free_device_leaves_nothing(self, world: World, network: Network) -> None:
        world.core.free = 0
        made = kuryr_net(world, network)
        before = copy.deepcopy(world.neutron_state())

        with pytest.raises(DockerError, match="no free VF on physnet2: 0 of 0 VFs free"):
            world.docker.run(made, ip="10.0.0.5")

        assert world.neutron_state() == before
        assert reserved(world) == 0

    @pytest.mark.usefixtures("port")
    def test_a_failed_binding_leaves_nothing(self, world: World, network: Network) -> None:
        made = kuryr_net(world, network)
        before = copy.deepcopy(world.neutron_state())
        world.core.binding_fails = True

        with pytest.raises(DockerError, match="could not be bound on host node1: it answered binding_failed"):
            world.docker.run(made, ip="10.0.0.5")

        assert world.neutron_state() == before
        assert reserved(world) == 0
        world.core.binding_fails = False
        world.docker.run(made, ip="10.0.0.5")

    @pytest.mark.usefixtures("port")
    def test_neutron_down_is_said_in_so_many_words(self, world: World, network: Network) -> None:
        made = kuryr_net(world, network)
        world.neutron.unreachable = True

        with pytest.raises(DockerError, match="Neutron did not answer"):
            world.docker.run(made, ip="10.0.0.5")

    @pytest.mark.usefixtures("port")
    def test_a_container_is_removed_while_neutron_is_down(self, world: World, network: Network) -> None:
        container = world.docker.run(kuryr_net(world, network), ip="10.0.0.5")
        world.neutron.unreachable = True

        world.docker.remove(container)

        assert not world.core.leases
        assert len(world.core.owed) == 1

    def test_the_ports_own_mac_may_be_forced_in_any_case(self, world: World, network: Network, port: Port) -> None:
        container = world.docker.run(kuryr_net(world, network), ip="10.0.0.5", mac=port.mac.upper())

        assert container.interface["MacAddress"] == port.mac.upper()

    def test_another_mac_than_the_ports_is_refused(self, world: World, network: Network, port: Port) -> None:
        made = kuryr_net(world, network)

        with pytest.raises(DockerError, match=f"its MAC address is {port.mac}, and --mac-address asks for 02:"):
            world.docker.run(made, ip="10.0.0.5", mac="02:00:00:00:00:01")

        assert reserved(world) == 0

    def test_the_ports_id_may_be_named_besides(self, world: World, network: Network, port: Port) -> None:
        made = kuryr_net(world, network)

        world.docker.run(made, ip="10.0.0.5", options={"neutron.port.uuid": port.id.upper()})

        assert world.neutron.now(port.id).host == HOST

    def test_another_ports_id_is_refused_saying_which_address_to_give(
        self, world: World, network: Network, port: Port
    ) -> None:
        other = world.neutron.add_port(network, address="10.0.0.6")

        with pytest.raises(DockerError, match=f"the container was given 10.0.0.5 of port {port.id}; add --ip 10.0.0.6"):
            world.docker.run(kuryr_net(world, network), ip="10.0.0.5", options={"neutron.port.uuid": other.id})

    def test_an_unknown_option_is_refused_with_a_suggestion(self, world: World, network: Network, port: Port) -> None:
        with pytest.raises(
            DockerError, match=r"unknown endpoint option neutron.port.id; did you mean neutron.port.uuid\?"
        ):
            world.docker.run(kuryr_net(world, network), ip="10.0.0.5", options={"neutron.port.id": port.id})

    @pytest.mark.usefixtures("port")
    def test_a_port_of_another_kind_than_asked_for_is_refused(self, world: World, network: Network) -> None:
        with pytest.raises(DockerError, match=r"its vnic_type is direct, and neutron.vnic_type=macvtap was asked for"):
            world.docker.run(kuryr_net(world, network), ip="10.0.0.5", options={"neutron.vnic_type": "macvtap"})

    @pytest.mark.usefixtures("port")
    def test_only_reachable_routes_of_the_ports_own_subnets_are_handed_over(
        self, world: World, network: Network
    ) -> None:
        subnets = list(world.neutron.server.tables["subnets"].values())
        subnets[0]["host_routes"] = [
            {"destination": "192.0.2.0/24", "nexthop": "10.0.0.254"},
            {"destination": "198.51.100.0/24", "nexthop": "172.16.0.1"},
            {"destination": "0.0.0.0/0", "nexthop": "10.0.0.254"},
        ]
        route = {"destination": "203.0.113.0/24", "nexthop": "10.9.0.1"}
        world.neutron.add_subnet(network, "10.9.0.0/24", host_routes=[route])

        container = world.docker.run(kuryr_net(world, network), ip="10.0.0.5")

        assert container.joined["StaticRoutes"] == [
            {"Destination": "192.0.2.0/24", "RouteType": 0, "NextHop": "10.0.0.254"}
        ]

    def test_a_subnet_without_gateway_makes_a_container_without_one(self, world: World) -> None:
        network = world.neutron.add_network()
        world.neutron.add_subnet(network, "10.0.0.0/24", gateway_ip=None)
        world.neutron.add_port(network, address="10.0.0.5")
        made = world.docker.create_network("10.0.0.0/24", options={"neutron.net.uuid": network.id})

        container = world.docker.run(made, ip="10.0.0.5")

        assert "Gateway" not in container.joined
        assert container.joined["DisableGatewayService"] is True


class TestDualStack:
    def test_naming_the_ipv4_address_is_enough(self, world: World, network: Network) -> None:
        made = dual_net(world, network)
        dual_port(world, network)

        container = world.docker.run(made, ip="10.0.0.7")

        assert container.addresses == {4: "10.0.0.7/24", 6: "2001:db8::7/64"}
        assert (container.joined["Gateway"], container.joined["GatewayIPv6"]) == ("10.0.0.1", "2001:db8::1")

    def test_both_addresses_may_be_named_and_cost_one_look(self, world: World, network: Network) -> None:
        made = dual_net(world, network)
        dual_port(world, network)
        world.neutron.calls.clear()

        world.docker.run(made, ip="10.0.0.7", ip6="2001:db8::7")

        assert world.neutron.calls.count("list_ports") == 1

    @pytest.mark.usefixtures("port")
    def test_addresses_of_two_ports_are_refused(self, world: World, network: Network) -> None:
        made = dual_net(world, network)
        other = dual_port(world, network)

        with pytest.raises(
            DockerError, match=f"2001:db8::7 is that of port {other.id}; name --ip and --ip6 of one port"
        ):
            world.docker.run(made, ip="10.0.0.5", ip6="2001:db8::7")

        assert reserved(world) == 0

    @pytest.mark.usefixtures("port")
    def test_a_port_without_ipv6_address_is_refused_and_its_reservation_expires(
        self, world: World, network: Network
    ) -> None:
        made = dual_net(world, network)

        with pytest.raises(DockerError, match=r"it has no address on subnet 2001:db8::/64; add one to the port"):
            world.docker.run(made, ip="10.0.0.5")

        assert reserved(world) == 1
        world.now += 301
        world.plugin.pay_debts()
        assert reserved(world) == 0

    @pytest.mark.usefixtures("port")
    def test_a_start_that_failed_before_does_not_lend_its_port_to_the_next(
        self, world: World, network: Network
    ) -> None:
        made = dual_net(world, network)
        mine = dual_port(world, network)
        with pytest.raises(DockerError):
            world.docker.run(made, ip="10.0.0.5")

        container = world.docker.run(made, ip="10.0.0.7")

        assert container.interface["MacAddress"] == mine.mac

    def test_a_repeated_request_for_the_ipv4_address_starts_over(self, world: World, network: Network) -> None:
        made = dual_net(world, network)
        dual_port(world, network)
        for version, address in ((4, "10.0.0.7"), (6, "")):
            world.docker._request_address(made, version, address, "c1")

        container = world.docker.run(made, ip="10.0.0.7")

        assert container.addresses[6] == "2001:db8::7/64"

    def test_an_ipv6_only_network_works_like_any_other(self, world: World) -> None:
        network = world.neutron.add_network()
        world.neutron.add_subnet(network, "2001:db8::/64")
        port = world.neutron.add_port(network, address="2001:db8::5")
        made = world.docker.create_network("2001:db8::/64", options={"neutron.net.uuid": network.id})

        container = world.docker.run(made, ip6="2001:db8::5")

        assert container.interface["MacAddress"] == port.mac
        assert container.joined["GatewayIPv6"] == "2001:db8::1"
        assert "Gateway" not in container.joined

    def test_a_made_port_has_both_addresses(self, world: World, network: Network) -> None:
        made = dual_net(world, network, **{"neutron.vnic_type": "direct"})

        container = world.docker.run(made)

        (port,) = world.neutron.server.tables["ports"].values()
        assert [fixed["ip_address"] for fixed in port["fixed_ips"]] == [
            address.split("/")[0] for address in container.addresses.values()
        ]


class TestPortsThatMooringMakes:
    @pytest.fixture
    def made(self, world: World, network: Network) -> DockerNetwork:
        return kuryr_net(world, network, **{"neutron.vnic_type": "direct"})

    def test_a_port_is_made_for_the_container_and_goes_with_it(self, world: World, made: DockerNetwork) -> None:
        container = world.docker.run(made)

        (port,) = world.neutron.server.tables["ports"].values()
        assert (port["name"], port["tags"]) == ("kuryr-unbound-port", [OURS])
        assert (port["binding:vnic_type"], port["device_owner"]) == ("direct", OURS)
        assert container.interface["MacAddress"] == port["mac_address"]
        world.docker.remove(container)
        assert not world.neutron.server.tables["ports"]

    def test_a_free_address_may_be_chosen(self, world: World, made: DockerNetwork) -> None:
        assert world.docker.run(made, ip="10.0.0.77").addresses == {4: "10.0.0.77/24"}

    def test_an_existing_port_is_preferred_and_survives(self, world: World, made: DockerNetwork, port: Port) -> None:
        world.docker.remove(world.docker.run(made, ip="10.0.0.5"))

        assert list(world.neutron.server.tables["ports"]) == [port.id]

    def test_the_endpoint_may_ask_for_another_kind(self, world: World, made: DockerNetwork) -> None:
        world.docker.run(made, options={"neutron.vnic_type": "macvtap"})

        (port,) = world.neutron.server.tables["ports"].values()
        assert port["binding:vnic_type"] == "macvtap"

    @pytest.mark.parametrize("flaw", ["no-device", "no-binding", "wrong-mac"])
    def test_a_start_that_fails_deletes_what_was_made(self, world: World, made: DockerNetwork, flaw: str) -> None:
        world.core.free = 0 if flaw == "no-device" else 4
        world.core.binding_fails = flaw == "no-binding"

        with pytest.raises(DockerError):
            world.docker.run(made, mac="02:00:00:00:00:01" if flaw == "wrong-mac" else "")

        assert not world.neutron.server.tables["ports"]
        assert reserved(world) == 0

    def test_a_port_that_could_not_be_deleted_is_deleted_later(self, world: World, made: DockerNetwork) -> None:
        world.docker.call("IpamDriver.RequestAddress", {"PoolID": made.pools[4][0], "Address": "10.0.0.77"})
        world.neutron.unreachable = True
        world.docker.call("IpamDriver.ReleaseAddress", {"PoolID": made.pools[4][0], "Address": "10.0.0.77"})
        world.restart()
        world.neutron.unreachable = False

        world.plugin.pay_debts()

        assert not world.neutron.server.tables["ports"]

    def test_a_port_that_neutron_never_answers_for_does_not_keep_the_others_from_being_deleted(
        self, world: World, made: DockerNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        addresses = [{"PoolID": made.pools[4][0], "Address": f"10.0.0.{last}"} for last in (77, 78, 79)]
        for address in addresses:
            world.docker.call("IpamDriver.RequestAddress", address)
        stuck = next(iter(world.neutron.server.tables["ports"]))
        world.neutron.unreachable = True
        for address in addresses:
            world.docker.call("IpamDriver.ReleaseAddress", address)
        world.neutron.unreachable = False
        delete_port = world.neutron.delete_port

        def hang(port_id: str) -> None:
            if port_id == stuck:
                raise NeutronUnreachable(f"deleting port {port_id}", "timed out")
            delete_port(port_id)

        monkeypatch.setattr(world.neutron, "delete_port", hang)
        for _ in range(3):
            world.plugin.pay_debts()

        assert list(world.neutron.server.tables["ports"]) == [stuck]

    @pytest.mark.parametrize("ipam", ["own", "null"])
    def test_a_start_whose_answer_is_lost_at_any_call_leaves_no_port(
        self, world: World, network: Network, ipam: str
    ) -> None:
        kind = {"neutron.vnic_type": "direct"}
        made = kuryr_net(world, network, **kind) if ipam == "own" else null_net(world, network, **kind)
        world.docker.remove(world.docker.run(made))
        number, failed = 1, True
        while failed:
            world.neutron.fail_call(number, reply_lost=True)
            try:
                world.docker.run(made)
                failed = False
            except DockerError:
                world.now += GRACE_SECONDS
                world.plugin.pay_debts()
                assert not world.neutron.server.tables["ports"]
                number += 1
        assert number > 3

    def test_a_port_made_before_neutron_died_is_deleted_when_it_lives_again(
        self, world: World, made: DockerNetwork
    ) -> None:
        world.neutron.server.die_after = "create_port"
        with pytest.raises(DockerError):
            world.docker.run(made)
        assert len(world.neutron.server.tables["ports"]) == 1
        world.neutron.unreachable = False
        world.restart()

        world.plugin.pay_debts()
        assert len(world.neutron.server.tables["ports"]) == 1, "Neutron may still be at work on it"
        world.now += GRACE_SECONDS
        world.plugin.pay_debts()

        assert not world.neutron.server.tables["ports"]

    def test_a_port_that_a_failed_start_left_is_not_adopted_by_the_next(
        self, world: World, made: DockerNetwork
    ) -> None:
        world.neutron.server.die_after = "create_port"
        with pytest.raises(DockerError):
            world.docker.run(made, ip="10.0.0.77")
        world.neutron.unreachable = False

        with pytest.raises(DockerError, match="an earlier start that failed left it; try again in 60 seconds"):
            world.docker.run(made, ip="10.0.0.77")

        world.now += GRACE_SECONDS
        world.plugin.pay_debts()
        assert world.docker.run(made, ip="10.0.0.77").addresses == {4: "10.0.0.77/24"}

    def test_a_port_that_another_host_has_taken_since_is_left_to_it(self, world: World, made: DockerNetwork) -> None:
        world.neutron.server.die_after = "create_port"
        with pytest.raises(DockerError):
            world.docker.run(made)
        world.neutron.unreachable = False
        (port_id,) = world.neutron.server.tables["ports"]
        world.neutron.change_port(port_id, **{"device_id": "theirs", "device_owner": OURS, "binding:host_id": "node2"})
        world.now += GRACE_SECONDS

        world.plugin.pay_debts()

        assert world.neutron.now(port_id).device_id == "theirs"

    def test_a_slow_creation_is_not_overtaken(
        self, world: World, made: DockerNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create_port = world.neutron.create_port

        def slowly(new: NewPort) -> Port:
            port = create_port(new)
            world.now += 10 * GRACE_SECONDS
            world.plugin.pay_debts()
            return port

        monkeypatch.setattr(world.neutron, "create_port", slowly)

        world.docker.run(made)

        assert len(world.neutron.server.tables["ports"]) == 1

    def test_a_port_nobody_came_for_is_deleted_and_one_in_use_is_not(self, world: World, made: DockerNetwork) -> None:
        world.docker.run(made)
        world.docker.call("IpamDriver.RequestAddress", {"PoolID": made.pools[4][0], "Address": "10.0.0.77"})
        world.now += 301

        world.plugin.pay_debts()

        (port,) = world.neutron.server.tables["ports"].values()
        assert port["device_owner"] == OURS

    def test_removing_the_network_deletes_what_was_reserved_in_it(self, world: World, made: DockerNetwork) -> None:
        world.docker.call("IpamDriver.RequestAddress", {"PoolID": made.pools[4][0], "Address": ""})

        world.docker.remove_network(made)

        assert not world.neutron.server.tables["ports"]

    def test_a_full_subnet_is_said_in_neutrons_words(self, world: World) -> None:
        network = world.neutron.add_network()
        world.neutron.add_subnet(network, "10.0.0.0/30")
        given = {"neutron.net.uuid": network.id, "neutron.vnic_type": "direct"}
        made = world.docker.create_network("10.0.0.0/30", options=given)
        world.docker.run(made)

        with pytest.raises(DockerError, match="No more IP addresses available"):
            world.docker.run(made)


class TestNullIpam:
    def named(self, world: World, made: DockerNetwork, port: Port, **other: str) -> Container:
        return world.docker.run(made, options={"neutron.port.uuid": port.id}, **other)

    def test_the_port_named_by_its_id_gives_address_and_mac(self, world: World, network: Network, port: Port) -> None:
        container = self.named(world, null_net(world, network), port)

        assert container.interface == {"Address": "10.0.0.5/24", "AddressIPv6": "", "MacAddress": port.mac}
        assert container.joined["Gateway"] == "10.0.0.1"

    def test_both_addresses_of_a_dual_stack_port_are_given(self, world: World, network: Network) -> None:
        world.neutron.add_subnet(network, "2001:db8::/64")
        port = dual_port(world, network)

        container = self.named(world, null_net(world, network), port)

        assert (container.interface["Address"], container.interface["AddressIPv6"]) == ("10.0.0.7/24", "2001:db8::7/64")

    def test_a_subnet_added_a_moment_ago_is_known(self, world: World, network: Network, port: Port) -> None:
        made = null_net(world, network)
        self.named(world, made, port)
        world.neutron.add_subnet(network, "2001:db8::/64")

        container = self.named(world, made, dual_port(world, network))

        assert container.interface["AddressIPv6"] == "2001:db8::7/64"

    def test_a_start_costs_the_door_one_call(self, world: World, network: Network, port: Port) -> None:
        made = null_net(world, network)
        other = world.neutron.add_port(network, address="10.0.0.6")
        self.named(world, made, port)
        world.neutron.calls.clear()

        self.named(world, made, other)

        assert world.neutron.calls == ["show_port", "bind_port"]

    def test_removing_the_container_gives_the_port_back_as_it_was(
        self, world: World, network: Network, port: Port
    ) -> None:
        made = null_net(world, network)
        before = copy.deepcopy(world.neutron_state())

        world.docker.remove(self.named(world, made, port))

        assert world.neutron_state() == before
        world.docker.remove_network(made)
        assert not world.neutron.server.tables["networks"][network.id]["tags"]

    def test_a_forced_mac_names_the_port(self, world: World, network: Network, port: Port) -> None:
        assert world.docker.run(null_net(world, network), mac=port.mac).interface["Address"] == "10.0.0.5/24"

    def test_a_port_of_another_network_is_refused(self, world: World, network: Network) -> None:
        other = world.neutron.add_network("other", vlan=151)
        port = world.neutron.add_port(other)

        with pytest.raises(DockerError, match=f"it is on network {other.id}, and this Docker network stands for"):
            self.named(world, null_net(world, network), port)

    def test_a_port_that_does_not_exist_is_refused_and_docker_hears_no_404(
        self, world: World, network: Network, port: Port
    ) -> None:
        made = null_net(world, network)
        world.neutron.drop_port(port.id)

        with pytest.raises(DockerError, match=f"no Neutron port with id {port.id}"):
            self.named(world, made, port)

    def test_nothing_named_is_refused_with_both_ways_out(self, world: World, network: Network) -> None:
        with pytest.raises(DockerError, match=r"neutron.port.uuid=<id>.*-o neutron.vnic_type=direct"):
            world.docker.run(null_net(world, network))

    @pytest.mark.parametrize("where", ["network", "endpoint"])
    def test_a_port_is_made_with_the_mac_that_was_asked_for_and_goes_with_the_container(
        self, world: World, network: Network, where: str
    ) -> None:
        kind = {"neutron.vnic_type": "direct"}
        made = null_net(world, network, **(kind if where == "network" else {}))

        container = world.docker.run(made, mac="02:00:00:00:00:01", options=kind if where == "endpoint" else {})

        (port,) = world.neutron.server.tables["ports"].values()
        assert port["mac_address"] == "02:00:00:00:00:01"
        assert container.interface["Address"].startswith(port["fixed_ips"][0]["ip_address"])
        world.docker.remove(container)
        assert not world.neutron.server.tables["ports"]

    @pytest.mark.parametrize("flaw", ["no-device", "no-binding"])
    def test_a_start_that_fails_deletes_what_was_made(self, world: World, network: Network, flaw: str) -> None:
        made = null_net(world, network, **{"neutron.vnic_type": "direct"})
        world.core.free = 0 if flaw == "no-device" else 4
        world.core.binding_fails = flaw == "no-binding"

        with pytest.raises(DockerError):
            world.docker.run(made)

        assert not world.neutron.server.tables["ports"]
        assert reserved(world) == 0


class TestLateAndRepeatedCalls:
    @pytest.mark.parametrize("call", ["Leave", "DeleteEndpoint", "RevokeExternalConnectivity", "EndpointOperInfo"])
    def test_an_unknown_endpoint_is_a_success(self, world: World, call: str) -> None:
        world.docker.call(f"NetworkDriver.{call}", {"NetworkID": "a" * 64, "EndpointID": "b" * 64})

    def test_an_unknown_address_is_released_with_success(self, world: World) -> None:
        world.docker.call("IpamDriver.ReleaseAddress", {"PoolID": "nobody's", "Address": "10.0.0.5"})

    def test_a_removal_may_come_twice(self, world: World, network: Network, port: Port) -> None:
        container = world.docker.run(kuryr_net(world, network), ip="10.0.0.5")

        world.docker.remove(container)
        world.docker.remove(container)

        assert not world.neutron.now(port.id).host

    def test_a_join_without_endpoint_is_refused(self, world: World, network: Network) -> None:
        made = kuryr_net(world, network)

        with pytest.raises(DockerError, match="has no lease: create the endpoint before joining it"):
            world.docker.call("NetworkDriver.Join", {"NetworkID": made.id, "EndpointID": "b" * 64})

    def test_an_endpoint_on_a_network_nobody_knows_is_refused(self, world: World) -> None:
        with pytest.raises(DockerError, match="none of Neutron's networks bear its tags"):
            world.docker.call("NetworkDriver.CreateEndpoint", {"NetworkID": "a" * 64, "EndpointID": "b" * 64})

    def test_operational_info_is_answered_from_memory(self, world: World, network: Network, port: Port) -> None:
        container = world.docker.run(kuryr_net(world, network), ip="10.0.0.5")
        world.neutron.unreachable = True
        ids = {"NetworkID": container.network.id, "EndpointID": container.endpoint}

        value = world.docker.call("NetworkDriver.EndpointOperInfo", ids)["Value"]

        assert (value["port"], value["device"]) == (port.id, "0000:0a:00.1")

    def test_published_ports_are_accepted(self, world: World) -> None:
        portmap = [{"Proto": 6, "IP": "", "Port": 80, "HostIP": "0.0.0.0", "HostPort": 8080, "HostPortEnd": 8080}]
        body = {"NetworkID": "a" * 64, "EndpointID": "b" * 64, "Options": {"com.docker.network.portmap": portmap}}

        assert world.docker.call("NetworkDriver.ProgramExternalConnectivity", body) == {}
