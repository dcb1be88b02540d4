"""The door's pure rules: who may adopt a port, what marks a network, which options and routes make sense."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from mooring.errors import InvalidRequest, PortBusy
from mooring.libnetwork import names
from mooring.libnetwork.options import parse_endpoint_options, parse_network_options
from mooring.libnetwork.ports import check_adoptable
from mooring.libnetwork.protocol import CreateEndpointRequest
from mooring.libnetwork.routing import join_reply
from mooring.neutron.model import Port, Route, Subnet

PORT = Port(id="p", network_id="n", mac="fa:16:3e:00:00:01", revision=1)
SUBNET = Subnet(id="s", network_id="n", name="", cidr=IPv4Network("10.0.0.0/24"), gateway=IPv4Address("10.0.0.1"))
DOCKER_ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("change", "alive", "free"),
    [
        ({}, False, True),
        ({"device_owner": "compute:nova"}, False, True),
        ({"device_id": "vm"}, False, False),
        ({"host": "a", "vif_type": "binding_failed"}, False, True),
        ({"host": "b", "vif_type": "binding_failed"}, False, True),
        ({"host": "b", "vif_type": "binding_failed", "device_id": "vm"}, False, False),
        ({"host": "b", "vif_type": "hw_veb"}, False, False),
        ({"host": "a", "vif_type": "hw_veb"}, False, False),
        ({"host": "a", "vif_type": "hw_veb", "device_owner": "compute:kuryr", "device_id": "e"}, False, True),
        ({"host": "a", "vif_type": "hw_veb", "device_owner": "compute:kuryr", "device_id": "e"}, True, False),
        ({"host": "b", "vif_type": "hw_veb", "device_owner": "compute:kuryr", "device_id": "e"}, False, False),
        ({"host": "a", "vif_type": "hw_veb", "device_owner": "compute:nova", "device_id": "vm"}, False, False),
    ],
)
def test_a_port_is_adopted_if_it_is_nobodys_or_was_left_by_a_dead_attachment_of_this_host(
    change: dict[str, str],
    alive: bool,  # noqa: FBT001 - pytest passes parameters by name
    free: bool,  # noqa: FBT001
) -> None:
    port = replace(PORT, **change)
    if free:
        check_adoptable(port, host="a", alive=alive)
    else:
        with pytest.raises(PortBusy):
            check_adoptable(port, host="a", alive=alive)


def test_a_container_of_mooring_is_named_as_docker_network_inspect_shows_it() -> None:
    taken = replace(PORT, host="b", vif_type="hw_veb", device_owner="compute:kuryr", device_id=DOCKER_ID)

    with pytest.raises(PortBusy) as refusal:
        check_adoptable(taken, host="a", alive=False)

    assert "in use by compute:kuryr device 0123456789ab on host b" in str(refusal.value)
    assert "'docker network inspect' there lists it by that EndpointID" in str(refusal.value)
    assert DOCKER_ID not in str(refusal.value)


def test_a_machine_is_named_in_full_and_not_to_be_found_with_docker() -> None:
    taken = replace(PORT, device_owner="compute:nova", device_id="8d0e6f0e-0000-4000-8000-000000000000")

    with pytest.raises(PortBusy, match=f"in use by compute:nova device {taken.device_id};"):
        check_adoptable(taken, host="a", alive=False)


def test_a_docker_network_is_identified_by_both_halves_of_its_id() -> None:
    assert names.identity_tags(DOCKER_ID) == {
        f"kuryr.net.uuid.lh:{DOCKER_ID[:32]}",
        f"kuryr.net.uuid.uh:{DOCKER_ID[32:]}",
    }
    assert names.adoption_tag(DOCKER_ID) == "kuryr.net.existing:0123456789ab"
    assert all(len(tag) <= 60 for tag in names.docker_tags(DOCKER_ID))


def test_a_swarm_network_has_a_short_id_and_one_tag() -> None:
    assert names.identity_tags("l5h8tw4ynlmkcvi2i4kn7lmo8") == {"kuryr.net.uuid.lh:l5h8tw4ynlmkcvi2i4kn7lmo8"}


def test_a_network_is_used_by_others_if_it_bears_another_docker_networks_tags() -> None:
    mine, theirs = names.docker_tags(DOCKER_ID), names.docker_tags("f" * 64)

    assert names.used_by_others(mine | theirs, DOCKER_ID)
    assert not names.used_by_others(mine | {"a user's tag"}, DOCKER_ID)


def test_options_of_others_are_not_ours_to_judge() -> None:
    options = parse_endpoint_options({"com.docker.network.portmap": [], "vendor.neutron": "x"})

    assert (options.port, options.vnic_type) == (None, None)


def test_the_command_line_lower_cases_keys_and_the_api_does_not() -> None:
    options = parse_endpoint_options({"Neutron.VNIC_type": "Direct"})

    assert options.vnic_type == "direct"


@pytest.mark.parametrize("value", ["True", "yes", "1", "on"])
def test_a_flag_is_read_as_kuryr_reads_it(value: str) -> None:
    assert parse_network_options({"neutron.net.shared": value}).shared is True


def test_a_port_option_that_is_no_uuid_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"neutron.port.uuid=sriov_port is not a UUID"):
        parse_endpoint_options({"neutron.port.uuid": "sriov_port"})


def test_a_forced_mac_comes_as_text_or_as_base64_of_its_bytes() -> None:
    ids = {"NetworkID": "n", "EndpointID": "e"}
    option = {"com.docker.network.endpoint.macaddress": "AkKsEQAC"}

    assert CreateEndpointRequest.model_validate(ids | {"Options": option}).forced_mac == "02:42:ac:11:00:02"
    interface = {"MacAddress": "02:42:AC:11:00:02"}
    assert CreateEndpointRequest.model_validate(ids | {"Interface": interface}).forced_mac == "02:42:ac:11:00:02"
    assert CreateEndpointRequest.model_validate(ids).forced_mac is None


@pytest.mark.parametrize("value", ["02:42:ac:11:00:02", "AkKs"])
def test_a_forced_mac_that_is_not_one_is_refused(value: str) -> None:
    options = {"com.docker.network.endpoint.macaddress": value}
    request = CreateEndpointRequest.model_validate({"NetworkID": "n", "EndpointID": "e", "Options": options})

    with pytest.raises(InvalidRequest, match="macaddress"):
        assert request.forced_mac


def test_a_gateway_off_the_link_is_left_out_for_it_would_fail_the_start() -> None:
    reply = join_reply(interface="v", prefix="eth", subnets=[replace(SUBNET, gateway=IPv4Address("10.0.1.1"))])

    assert reply.gateway is None


def test_the_default_route_of_a_subnet_without_gateway_is_handed_over() -> None:
    route = Route(destination=IPv6Network("::/0"), nexthop=IPv6Address("2001:db8::9"))
    cidr = IPv6Network("2001:db8::/64")
    subnet = replace(SUBNET, cidr=cidr, gateway=None, host_routes=(route,))

    reply = join_reply(interface="v", prefix="eth", subnets=[subnet])

    assert [(item.destination, item.next_hop) for item in reply.routes] == [("::/0", "2001:db8::9")]


def test_one_destination_is_routed_once() -> None:
    route = Route(destination=IPv4Network("192.0.2.0/24"), nexthop=IPv4Address("10.0.0.9"))
    subnet = replace(SUBNET, host_routes=(route, route))

    assert len(join_reply(interface="v", prefix="eth", subnets=[subnet]).routes) == 1
