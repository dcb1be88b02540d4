"""What the guide promises, on real VFs, real Docker and real Neutron: a sentence of it, a test of ours."""

from __future__ import annotations

import pytest

from tests.lab.stage import OUTSIDE, Stage, eventually, held, vlan_of

SLOT = "0000:02:10.4"


@pytest.fixture(autouse=True)
def _leave_no_trace(stage: Stage) -> object:
    """Every test ends with clean hosts and unbound ports, whatever it did."""
    yield
    stage.clear()
    eventually(lambda: not stage.unclean(), "hosts and ports are as they were")


def test_a_container_gets_the_vf_mac_and_vlan_of_the_port_with_its_address(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(vlan=110)
    port = stage.port(network)
    docker_network = stage.docker_network(node, network)

    container = stage.start(node, f"--net={docker_network} --ip={_address(port)}")

    lease = stage.lease_of(node, port)
    assert container.mac() == port["mac_address"]
    assert (lease["vlan"], lease["physical_network"]) == ("110", "physnet2")
    assert f"{_address(port)}/24" in container.run("ip -4 addr show eth0").stdout
    pf = node.guest.run(f"ip link show {_pf(stage, lease['device'])}").stdout
    (line,) = [line for line in pf.splitlines() if port["mac_address"] in line]
    assert "vlan 110" in line
    assert "spoof checking on" in line
    stage.await_status(port, "ACTIVE")


def test_a_port_that_names_its_vf_gets_that_one_and_still_names_it_afterwards(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(vlan=111)
    profile = {"pci_slot": SLOT, "pci_vendor_info": "8086:10ca", "physical_network": "physnet2"}
    port = stage.port(network, profile=profile)
    docker_network = stage.docker_network(node, network)

    container = stage.start(node, f"--net={docker_network} --ip={_address(port)}")

    assert stage.lease_of(node, port)["device"] == SLOT
    node.guest.run(f"docker rm -f {container.name}")
    stage.await_status(port, "DOWN")
    assert stage.now(port)["binding:profile"] == profile


def test_containers_hear_each_other_on_one_host_and_across_but_not_across_vlans(stage: Stage) -> None:
    one, two = stage.nodes
    network, other = stage.network(vlan=112), stage.network(vlan=113)
    ports = [stage.port(network) for _ in range(3)]
    stranger = stage.port(other, fixed_ips=[{"ip_address": OUTSIDE}])
    here, there = stage.docker_network(one, network), stage.docker_network(two, network)
    elsewhere = stage.null_network(two, other)
    first = stage.start(one, f"--net={here} --ip={_address(ports[0])}")
    stage.start(one, f"--net={here} --ip={_address(ports[1])}")
    stage.start(two, f"--net={there} --ip={_address(ports[2])}")

    assert first.hears(_address(ports[1]))
    assert first.hears(_address(ports[2]))

    outsider = stage.start(two, f"--network name={elsewhere},driver-opt=neutron.port.uuid={stranger['id']}")
    stage.await_status(stranger, "ACTIVE")
    assert not outsider.is_answered(_address(ports[0]))
    assert not outsider.is_answered(_address(ports[2]))


def test_a_forged_mac_is_refused_by_the_vf_and_not_answered(stage: Stage) -> None:
    """QEMU's igb takes the PF's order to check for spoofing but drops nothing itself (see docs/lab.md).

    So what can be shown here is the order, the VF driver's refusal of another MAC, and that no answer comes home.
    """
    one, two = stage.nodes
    network = stage.network(vlan=114)
    ports = [stage.port(network) for _ in range(2)]
    sender = stage.start(
        one, f"--cap-add NET_ADMIN --net={stage.docker_network(one, network)} --ip={_address(ports[0])}"
    )
    stage.start(two, f"--net={stage.docker_network(two, network)} --ip={_address(ports[1])}")
    assert sender.hears(_address(ports[1]))

    forged = sender.run("ip link set eth0 down; ip link set eth0 address 02:de:ad:be:ef:01", check=False)

    assert "Cannot assign requested address" in forged.stderr
    assert sender.mac() == ports[0]["mac_address"]
    lines = one.guest.run("ip link show enp2s0").stdout.splitlines()
    (held,) = [line for line in lines if ports[0]["mac_address"] in line]
    assert "spoof checking on" in held
    sender.run("ip link set eth0 up; ip addr flush dev eth0; ip link add forged link eth0 type macvlan mode bridge")
    sender.run(f"ip link set forged address 02:de:ad:be:ef:01; ip addr add {_address(ports[0])}/24 dev forged")
    sender.run("ip link set forged up")
    assert not sender.is_answered(_address(ports[1]))


def test_docker_rm_f_gives_everything_back(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(vlan=115)
    port = stage.port(network)
    container = stage.start(node, f"--net={stage.docker_network(node, network)} --ip={_address(port)}")
    stage.await_status(port, "ACTIVE")

    node.guest.run(f"docker rm -f {container.name}")

    stage.await_status(port, "DOWN")
    assert stage.unclean() == []
    after = stage.now(port)
    assert (after["device_id"], after["device_owner"], after["binding:host_id"]) == ("", "", "")


def test_docker_restart_keeps_the_port_and_its_address(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(vlan=116)
    port = stage.port(network)
    container = stage.start(node, f"--net={stage.docker_network(node, network)} --ip={_address(port)}")
    before = stage.lease_of(node, port)["attachment"]

    node.guest.run(f"docker restart -t 0 {container.name}", timeout=120)

    assert container.mac() == port["mac_address"]
    assert stage.lease_of(node, port)["attachment"] != before
    stage.await_status(port, "ACTIVE")


def test_networks_are_connected_to_and_disconnected_from_running_containers(stage: Stage) -> None:
    node, other = stage.nodes
    network = stage.network(vlan=117)
    port, peer = stage.port(network), stage.port(network)
    docker_network = stage.docker_network(node, network)
    stage.start(other, f"--net={stage.docker_network(other, network)} --ip={_address(peer)}")
    container = stage.start(node, "--net=none")
    node.guest.run(f"docker network disconnect none {container.name}", check=False)

    node.guest.run(f"docker network connect --ip {_address(port)} {docker_network} {container.name}")
    stage.await_status(port, "ACTIVE")
    assert container.hears(_address(peer))

    node.guest.run(f"docker network disconnect {docker_network} {container.name}")
    stage.await_status(port, "DOWN")
    assert "eth0" not in container.run("ls /sys/class/net").stdout
    assert not node.leases()


def test_without_dockers_addresses_the_port_brings_its_own(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(vlan=118)
    port = stage.port(network)

    container = stage.start(
        node, f"--network name={stage.null_network(node, network)},driver-opt=neutron.port.uuid={port['id']}"
    )

    assert f"{_address(port)}/24" in container.run("ip -4 addr show eth0").stdout
    assert container.mac() == port["mac_address"]
    assert "default via 10.10.0.1" in container.run("ip route").stdout


def test_with_dockers_addresses_the_port_may_be_named_too(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(vlan=119)
    port = stage.port(network)
    name = stage.docker_network(node, network)

    container = stage.start(
        node, f"--network name={name},driver-opt=neutron.port.uuid={port['id']} --ip={_address(port)}"
    )

    assert container.mac() == port["mac_address"]


def test_a_network_of_kind_direct_makes_ports_and_takes_them_away(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(vlan=120)
    docker_network = stage.docker_network(node, network, "-o neutron.vnic_type=direct")

    container = stage.start(node, f"--net={docker_network}")

    (port,) = stage.neutron.list("port", network_id=network["id"])
    assert (port["binding:vnic_type"], port["mac_address"]) == ("direct", container.mac())
    stage.await_status(port, "ACTIVE")
    node.guest.run(f"docker rm -f {container.name}")
    eventually(lambda: not stage.neutron.list("port", network_id=network["id"]), "the port is gone")


def test_both_address_families_in_one_container(stage: Stage) -> None:
    one, two = stage.nodes
    network = stage.network(vlan=121)
    stage.neutron.create_subnet(network["id"], "fd00:10::/64")
    ports = [stage.port(network) for _ in range(2)]
    containers = []
    for node, port in zip((one, two), ports, strict=True):
        name = stage.docker_network(node, network, "--ipv6 --subnet=fd00:10::/64")
        containers.append(stage.start(node, f"--net={name} --ip={_address(port)}"))

    assert f"{_address(ports[0], 6)}/64" in containers[0].run("ip -6 addr show eth0").stdout
    assert containers[0].hears(_address(ports[1]))
    assert containers[0].hears(_address(ports[1], 6))


def test_a_subnet_without_a_gateway_gives_a_container_without_one(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(vlan=122, cidr=None)
    stage.neutron.create_subnet(network["id"], "10.10.0.0/24", gateway_ip=None)
    port = stage.port(network)

    container = stage.start(
        node, f"--network name={stage.null_network(node, network)},driver-opt=neutron.port.uuid={port['id']}"
    )

    assert "default" not in container.run("ip route").stdout
    assert container.run("ls /sys/class/net").stdout.split() == ["eth0", "lo"]


def test_the_networks_mtu_reaches_the_container_and_does_not_stay_on_the_vf(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(vlan=123, mtu=1400)
    port = stage.port(network)
    container = stage.start(node, f"--net={stage.docker_network(node, network)} --ip={_address(port)}")
    vf = stage.lease_of(node, port)["device"]

    assert container.run("cat /sys/class/net/eth0/mtu").stdout.strip() == "1400"

    node.guest.run(f"docker rm -f {container.name}")
    assert node.guest.run(f"cat /sys/bus/pci/devices/{vf}/net/*/mtu").stdout.strip() == "1500"


@pytest.mark.long
@pytest.mark.parametrize("first", ["physnet1", "physnet2"])
def test_on_a_network_of_several_segments_the_vf_is_on_the_one_that_neutron_binds(stage: Stage, first: str) -> None:
    node, _ = stage.nodes
    vlans = {"physnet1": 136, "physnet2": 137}
    network = stage.segmented_network(dict(sorted(vlans.items(), reverse=first == "physnet2")))
    port = stage.port(network)

    stage.start_at(node, stage.null_network(node, network), port)

    stage.await_status(port, "ACTIVE")
    lease = stage.lease_of(node, port)
    assert (lease["physical_network"], lease["vlan"]) == (first, str(vlans[first]))
    assert vlan_of(held(node, lease["device"])) == vlans[first]


def test_a_vf_taken_by_hand_while_mooring_runs_is_left_alone_and_passed_over(stage: Stage) -> None:
    node, _ = stage.nodes
    free = [vf["address"] for vf in node.vfs() if vf["pf"] == "enp2s0"]
    netdev = node.guest.run(f"ls /sys/bus/pci/devices/{free[0]}/net").stdout.strip()
    network = stage.network(vlan=124)
    port = stage.port(network)
    docker_network = stage.docker_network(node, network)
    try:
        node.guest.run(f"ip netns add hand && ip link set {netdev} netns hand")

        stage.start(node, f"--net={docker_network} --ip={_address(port)}")

        states = {vf["address"]: vf["state"] for vf in node.vfs()}
        assert states[free[0]] == "taken"
        assert stage.lease_of(node, port)["device"] != free[0]
        assert netdev in node.guest.run("ip -n hand link show").stdout
    finally:
        node.guest.run(f"ip -n hand link set {netdev} netns 1; ip netns del hand")


def test_the_daemon_may_stop_and_start_beside_running_containers(stage: Stage) -> None:
    one, two = stage.nodes
    network = stage.network(vlan=125)
    ports = [stage.port(network) for _ in range(2)]
    container = stage.start(one, f"--net={stage.docker_network(one, network)} --ip={_address(ports[0])}")
    stage.start(two, f"--net={stage.docker_network(two, network)} --ip={_address(ports[1])}")
    assert container.hears(_address(ports[1]))

    one.stop()
    assert container.is_answered(_address(ports[1]))
    one.start()

    assert container.is_answered(_address(ports[1]))
    assert stage.lease_of(one, ports[0])["step"] == "ready"


def _address(port: dict[str, object], version: int = 4) -> str:
    fixed_ips: list[dict[str, str]] = port["fixed_ips"]  # type: ignore[assignment]
    (address,) = [ip["ip_address"] for ip in fixed_ips if (":" in ip["ip_address"]) == (version == 6)]
    return address


def _pf(stage: Stage, vf: str) -> str:
    (pf,) = [row["pf"] for row in stage.nodes[0].vfs() if row["address"] == vf]
    return pf
