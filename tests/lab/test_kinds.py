"""Every kind of port, on real cards and a real engine, bound by real Neutron; normal ones beside its real L2 agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from lab.agents import RealAgents, start_open_vswitch, stop_open_vswitch
from lab.lab import Lab
from lab.neutron.client import Resource
from lab.node import MooringNode
from tests.lab.stage import Container, Stage, address_of, eventually, held, slot_of

pytestmark = pytest.mark.long

PHYSICAL_NETWORK, PF = "physnet1", "enp1s0"
BRIDGE = f"br-{PHYSICAL_NETWORK}"
SLOT = "0000:01:10.6"
VFIO = "vfio-pci"
FIRST_DOCKER_WITH_CDI = 25
# Emulated, the L2 agent's rounds last several seconds.
AGENT_S = 120


@pytest.fixture(scope="module", autouse=True, name="l2_agent")
def _l2_agent(stage: Stage, lab: Lab) -> Iterator[Future[None]]:
    """Start neutron-openvswitch-agent on the second node, beside the tests that can do without it."""
    _, node = stage.nodes
    agents = RealAgents(guest=node.guest, cloud=lab.cloud)

    def start() -> None:
        start_open_vswitch(node.guest, {BRIDGE: ""})
        agents.start_ovs(bridge_mappings={PHYSICAL_NETWORK: BRIDGE})

    with ThreadPoolExecutor() as pool:
        yield pool.submit(start)
    agents.stop()
    stop_open_vswitch(node.guest)


@pytest.fixture(autouse=True)
def _leave_no_trace(stage: Stage) -> Iterator[None]:
    yield
    stage.clear()
    eventually(lambda: not stage.unclean(), "hosts and ports are as they were")


def test_macvtap_is_a_device_of_its_own_over_a_vf_that_stays_on_the_host(stage: Stage) -> None:
    one, two = stage.nodes
    network = stage.network(physical_network=PHYSICAL_NETWORK, vlan=170, mtu=1400)
    port, peer = stage.port(network, vnic_type="macvtap"), stage.port(network)
    stage.start_at(two, stage.null_network(two, network), peer)

    container = stage.start_at(one, stage.null_network(one, network), port)

    link = _link_in(container)
    assert (link["linkinfo"]["info_kind"], link["linkinfo"]["info_data"]["mode"]) == ("macvtap", "passthru")
    assert (link["address"], link["mtu"]) == (port["mac_address"], 1400)
    assert stage.now(port)["binding:vif_type"] == "hw_veb"
    vf = slot_of(stage.now(port))
    assert _netdev(one, vf)["operstate"] == "UP"
    assert held(one, vf)["vlan_list"] == [{"vlan": 170}]
    assert container.hears(address_of(peer))
    stage.await_status(port, "ACTIVE")

    container.remove()

    assert one.guest.run("ip -j link show type macvtap").stdout.strip() in ("", "[]")
    stage.await_status(port, "DOWN")
    netdev = _netdev(one, vf)
    assert (netdev["mtu"], netdev["operstate"]) == (1500, "DOWN")


def test_a_whole_card_goes_to_a_container_and_comes_back_as_it_was(stage: Stage) -> None:
    one, two = stage.nodes
    network = stage.network(physical_network=PHYSICAL_NETWORK, vlan=None, mtu=1400)
    port, peer = stage.port(network, vnic_type="direct-physical"), stage.port(network)
    before = _uplink(one)
    stage.start_at(two, stage.null_network(two, network), peer)

    container = stage.start_at(one, stage.null_network(one, network), port)

    bound = stage.now(port)
    assert bound["binding:vif_type"] == "hostdev_physical"
    assert bound["mac_address"] == before[1] == container.mac()
    assert container.run("cat /sys/class/net/eth0/mtu").stdout.strip() == "1400"
    assert one.guest.run(f"ip link show {PF}", check=False).code != 0
    assert container.hears(address_of(peer))
    assert slot_of(bound) == one.guest.state.pfs[0].address

    container.run("ip link set eth0 down", check=False)
    container.remove()

    assert _uplink(one) == before
    _await_carrier(one)


def test_a_whole_card_comes_back_as_it_was_from_a_container_that_was_killed(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(physical_network=PHYSICAL_NETWORK, vlan=None, mtu=1400)
    port = stage.port(network, vnic_type="direct-physical")
    before = _uplink(node)
    container = stage.start_at(node, stage.null_network(node, network), port)

    node.guest.run(f"kill -9 {container.init}")

    eventually(lambda: _has_uplink(node) and _uplink(node) == before, f"{PF} is as it was")
    stage.await_status(port, "DOWN")
    _await_carrier(node)


def test_no_card_is_lent_while_a_vf_of_it_is_in_use_or_the_host_depends_on_it(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(physical_network=PHYSICAL_NETWORK, vlan=None)
    docker_network = stage.null_network(node, network)
    port, other = stage.port(network, vnic_type="direct-physical"), stage.port(network)
    words = f"--network name={docker_network},driver-opt=neutron.port.uuid={port['id']}"

    user = stage.start_at(node, docker_network, other)
    said = stage.refused(node, words)
    assert "is in use by attachment" in said
    assert slot_of(stage.now(other)) in said
    user.remove()

    node.guest.run(f"ip address add 10.77.0.1/24 dev {PF}")
    try:
        assert f"the host, with 10.77.0.1 on {PF}" in stage.refused(node, words)
    finally:
        node.guest.run(f"ip address del 10.77.0.1/24 dev {PF}")
    assert stage.now(port)["binding:vif_type"] == "unbound"


def test_a_program_gets_its_vf_as_a_device_node(stage: Stage) -> None:
    node, _ = stage.nodes
    network = stage.network(physical_network=PHYSICAL_NETWORK, vlan=172)
    port = stage.port(network, profile={"pci_slot": SLOT})
    group = f"/dev/vfio/{_iommu_group(node, SLOT)}"

    container = _with_program(stage, node, network, port, f"--device {group}")

    _assert_drives(container, node, port, group)
    container.remove()
    assert _driver(node, SLOT) == "igbvf"
    stage.await_status(port, "DOWN")


def test_a_program_gets_its_vf_by_the_name_of_its_port(stage: Stage) -> None:
    node, _ = stage.nodes
    _require_cdi(node)
    network = stage.network(physical_network=PHYSICAL_NETWORK, vlan=173)
    port = stage.port(network, profile={"pci_slot": SLOT})

    container = _with_program(stage, node, network, port, f"--device mooring/vf={port['id']}")

    # Docker exec's own environment is that of the container's creation.
    assert f"MOORING_VF={SLOT}" in container.run("cat /proc/1/environ").stdout
    _assert_drives(container, node, port, f"/dev/vfio/{_iommu_group(node, SLOT)}")
    container.remove()
    assert _driver(node, SLOT) == "igbvf"
    assert node.guest.run("cat /var/run/cdi/mooring.json", check=False).code != 0


def test_normal_ports_are_wired_by_the_real_agent_beside_direct_ones(stage: Stage, l2_agent: Future[None]) -> None:
    other, node = stage.nodes
    network = stage.network(physical_network=PHYSICAL_NETWORK, vlan=174)
    docker_network = stage.null_network(node, network)
    normal = [stage.port(network, vnic_type="normal") for _ in range(2)]
    direct = [stage.port(network) for _ in range(2)]
    stage.start_at(other, stage.null_network(other, network), direct[1])
    l2_agent.result()

    asking, _ = plugged = [stage.start_at(node, docker_network, port) for port in normal]
    beside = stage.start_at(node, docker_network, direct[0])

    for port, container in zip(normal, plugged, strict=True):
        _await_active(stage, port)
        assert stage.now(port)["binding:vif_type"] == "ovs"
        assert container.mac() == port["mac_address"]
        assert _plugged(node, port["id"])
    assert stage.now(direct[0])["binding:vif_type"] == "hw_veb"
    assert asking.hears(address_of(normal[1]))
    assert beside.hears(address_of(direct[1]))

    for container in (*plugged, beside):
        container.remove()

    assert not any(_plugged(node, port["id"]) for port in normal)
    assert node.guest.run("ip -j link show type veth").stdout.strip() in ("", "[]")
    assert {stage.now(port)["binding:vif_type"] for port in (*normal, direct[0])} == {"unbound"}


def test_a_direct_port_that_a_switch_has_bound_is_refused(stage: Stage, l2_agent: Future[None]) -> None:
    _, node = stage.nodes
    l2_agent.result()
    network = stage.network(physical_network=PHYSICAL_NETWORK, vlan=175)
    # What asks Open vSwitch's mechanism driver to take a VF: hardware offload.
    port = stage.port(network, profile={"capabilities": ["switchdev"]})
    docker_network = stage.null_network(node, network)

    said = stage.refused(node, f"--network name={docker_network},driver-opt=neutron.port.uuid={port['id']}")

    assert "Neutron answered vif_type ovs for vnic_type direct, where hw_veb was expected" in said


def _await_active(stage: Stage, port: Resource) -> None:
    eventually(lambda: stage.now(port)["status"] == "ACTIVE", f"{port['id']} is ACTIVE", seconds=AGENT_S)


def _with_program(stage: Stage, node: MooringNode, network: Resource, port: Resource, options: str) -> Container:
    docker_network = stage.null_network(node, network)
    port_options = f"driver-opt=neutron.port.uuid={port['id']},driver-opt=neutron.vf_driver={VFIO}"
    return stage.start(node, f"{options} --network name={docker_network},{port_options}")


def _assert_drives(container: Container, node: MooringNode, port: Resource, group: str) -> None:
    """The container may open its VF's group, and has no interface of it; the PF holds what the port says."""
    assert _driver(node, SLOT) == VFIO
    container.run(f"exec 3<>{group}")
    assert container.run("ls /sys/class/net").stdout.split() == ["lo"]
    settings = held(node, SLOT)
    (vlan,) = settings["vlan_list"]
    assert (settings["address"], settings["spoofchk"]) == (port["mac_address"], True)
    assert vlan["vlan"] in (172, 173)


def _require_cdi(node: MooringNode) -> None:
    version = node.guest.run("docker version --format {{.Server.Version}}").stdout.strip()
    if int(version.partition(".")[0]) < FIRST_DOCKER_WITH_CDI:
        pytest.skip(f"Docker {version} knows no CDI; {FIRST_DOCKER_WITH_CDI} is the first that does")


def _link_in(container: Container, interface: str = "eth0") -> Resource:
    command = f"nsenter -t {container.init} -n ip -d -j link show {interface}"
    (link,) = json.loads(container.node.guest.run(command).stdout)
    found: Resource = link
    return found


def _netdev(node: MooringNode, vf: str) -> Resource:
    """What the host shows of a VF's interface."""
    (link,) = json.loads(node.guest.run(f"ip -j link show $(ls /sys/bus/pci/devices/{vf}/net)").stdout)
    found: Resource = link
    return found


def _has_uplink(node: MooringNode) -> bool:
    return node.guest.run(f"test -e /sys/class/net/{PF}", check=False).code == 0


def _uplink(node: MooringNode) -> tuple[object, ...]:
    """Name, MAC address, MTU and state of the card's interface, and where its addresses are."""
    (link,) = json.loads(node.guest.run(f"ip -j address show {PF}").stdout)
    addresses = [info["local"] for info in link["addr_info"] if info["scope"] == "global"]
    return link["ifname"], link["address"], link["mtu"], "UP" in link["flags"], link.get("promiscuity", 0), addresses


def _await_carrier(node: MooringNode) -> None:
    eventually(
        lambda: node.guest.run(f"cat /sys/class/net/{PF}/carrier").stdout.strip() == "1", f"{PF} has carrier again"
    )


def _driver(node: MooringNode, vf: str) -> str:
    return node.guest.run(f"basename $(readlink -f /sys/bus/pci/devices/{vf}/driver)").stdout.strip()


def _iommu_group(node: MooringNode, vf: str) -> str:
    return node.guest.run(f"basename $(readlink -f /sys/bus/pci/devices/{vf}/iommu_group)").stdout.strip()


def _plugged(node: MooringNode, port_id: str) -> str:
    """The interface that Open vSwitch has for a port."""
    return node.guest.run(
        f"ovs-vsctl --bare --columns=name find interface external_ids:iface-id={port_id}"
    ).stdout.strip()
