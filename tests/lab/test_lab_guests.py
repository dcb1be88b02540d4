"""The lab's own proof: the guests are what every other lab test takes for granted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.agents import RealAgents, start_open_vswitch, stop_open_vswitch, vf_addresses
from lab.guest import Guest
from lab.lab import Lab
from lab.neutron import GUEST_VIEW_OF_HOST
from lab.state import PfState

# The lab is judged by itself: what other tests started would clean up behind these.
pytestmark = [pytest.mark.long, pytest.mark.usefixtures("without_mooring")]
VFS_PER_PF = 7
VF = 3
PING_SECONDS = 20


@pytest.fixture(params=["node1", "node2"])
def node(request: pytest.FixtureRequest) -> Guest:
    guest: Guest = request.getfixturevalue(request.param)
    return guest


@contextmanager
def vf_in_netns(node: Guest, pf: PfState, *, vlan: int, address: str) -> Iterator[str]:
    """VF number 3 of ``pf`` in a namespace of its own, on a VLAN, with an address; back afterwards."""
    netns = f"vlan{vlan}"
    # By its place on the card: udev, mooring and a container's end all name it differently.
    netdev = node.run(f"ls /sys/bus/pci/devices/{pf.address}/virtfn{VF}/net").stdout.strip()
    node.run(
        f"set -e; ip link set {pf.name} vf {VF} vlan {vlan}; ip netns add {netns}; ip link set {netdev} netns {netns}; "
        f"ip -n {netns} address add {address}/24 dev {netdev}; ip -n {netns} link set {netdev} up"
    )
    try:
        yield netns
    finally:
        node.run(
            f"set -e; ip -n {netns} link set {netdev} down; ip -n {netns} link set {netdev} netns 1; "
            f"ip netns delete {netns}; ip link set {pf.name} vf {VF} vlan 0"
        )


def answers(node: Guest, netns: str, address: str) -> bool:
    # The first answer ends it: a VF's carrier comes seconds after link up.
    return node.run(f"ip netns exec {netns} ping -q -c 1 -w {PING_SECONDS} {address}", check=False).code == 0


def test_a_guest_knows_its_name(node: Guest) -> None:
    assert node.run(["hostname"]).stdout.strip() == node.name


def test_each_pf_is_the_card_that_the_lab_says_it_is(node: Guest) -> None:
    for pf in node.state.pfs:
        assert node.run(f"cat /sys/class/net/{pf.name}/address").stdout.strip() == pf.mac
        device = node.run(f"basename $(readlink -f /sys/class/net/{pf.name}/device)").stdout.strip()
        assert device == pf.address


def test_every_vf_is_bound_to_igbvf_and_has_its_own_iommu_group(node: Guest) -> None:
    for pf in node.state.pfs:
        for link in ("driver", "iommu_group"):
            found = node.run(f"basename -a $(readlink -f /sys/bus/pci/devices/{pf.address}/virtfn*/{link})").stdout
            values = found.split()
            assert len(values) == VFS_PER_PF
            assert len(set(values)) == (1 if link == "driver" else VFS_PER_PF)
            assert link != "driver" or set(values) == {"igbvf"}


def test_vfs_of_one_vlan_meet_over_the_uplink(node1: Guest, node2: Guest) -> None:
    for pf1, pf2 in zip(node1.state.pfs, node2.state.pfs, strict=True):
        with (
            vf_in_netns(node1, pf1, vlan=100, address="10.9.0.1") as netns,
            vf_in_netns(node2, pf2, vlan=100, address="10.9.0.2"),
        ):
            assert answers(node1, netns, "10.9.0.2")


def test_vfs_of_different_vlans_do_not_meet(node1: Guest, node2: Guest) -> None:
    pf1, pf2 = node1.state.pfs[0], node2.state.pfs[0]
    with vf_in_netns(node1, pf1, vlan=100, address="10.9.0.1") as netns:
        with vf_in_netns(node2, pf2, vlan=100, address="10.9.0.2"):
            assert answers(node1, netns, "10.9.0.2")
        with vf_in_netns(node2, pf2, vlan=101, address="10.9.0.2") as other:
            node2.run(f"ip netns exec {other} sh -c 'until grep -q 1 /sys/class/net/[ev]*/carrier; do sleep 0.2; done'")
            assert not answers(node1, netns, "10.9.0.2")


def test_a_container_runs_without_any_registry(node: Guest) -> None:
    assert node.run("docker run --rm --network none ubuntu echo hello", timeout=180).stdout == "hello\n"


def test_the_installed_mooring_is_found_through_its_metadata(node: Guest) -> None:
    program = "from importlib.metadata import entry_points; print(len(entry_points(group='mooring.port_drivers')))"
    found = node.run(["env", "PYTHONPATH=/opt/mooring/app:/opt/mooring/lib", "python3", "-c", program])
    assert int(found.stdout) > 0


def test_a_guest_reaches_the_services_of_the_machine_outside(lab: Lab, node: Guest) -> None:
    url = lab.cloud.facts.network_url(GUEST_VIEW_OF_HOST)
    assert "versions" in node.run(["busybox", "wget", "-q", "-O", "-", url]).stdout


def test_files_go_in_and_come_out_unchanged(node: Guest, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(bytes(range(256)))
    node.put(source, "/root/copy")
    node.get("/root/copy", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == source.read_bytes()


def test_a_reset_guest_has_what_it_had_synced_and_only_that(node2: Guest) -> None:
    booted = node2.run("cat /proc/sys/kernel/random/boot_id").stdout
    # Everything, also what other tests have just set up.
    node2.run("echo synced > /var/lib/synced && sync && echo hasty > /var/lib/hasty")

    node2.reset()

    assert node2.run("cat /proc/sys/kernel/random/boot_id").stdout != booted
    assert node2.run("cat /var/lib/synced").stdout == "synced\n"
    assert "hasty" not in node2.run("cat /var/lib/hasty", check=False).stdout
    assert len(vf_addresses(node2)) == VFS_PER_PF * len(node2.state.pfs)


def test_a_pf_that_is_pulled_out_and_put_back_has_its_vfs_again(node2: Guest) -> None:
    pf, *others = node2.state.pfs

    node2.unplug_pf(pf)
    left = vf_addresses(node2)
    node2.replug_pf(pf)

    assert len(left) == VFS_PER_PF * len(others)
    assert len(vf_addresses(node2)) == VFS_PER_PF * len(node2.state.pfs)


def test_neutrons_own_agents_bind_ports_beside_each_other(lab: Lab, node1: Guest) -> None:
    agents = RealAgents(guest=node1, cloud=lab.cloud)
    start_open_vswitch(node1, {"br-physnet1": ""})
    try:
        agents.start_sriov(exclude=vf_addresses(node1))
        agents.start_ovs(bridge_mappings={"physnet1": "br-physnet1"})
        with lab.cloud.client("mooring") as neutron:
            network = neutron.create_network("agents", physical_network="physnet1", vlan=180)
            vif_types = []
            for vnic_type in ("normal", "direct"):
                port = neutron.create_port(network["id"], vnic_type=vnic_type)
                vif_types.append(neutron.bind_port(port["id"], host=node1.name)["binding:vif_type"])
                neutron.delete("port", port["id"])
            neutron.delete("network", network["id"])
        assert vif_types == ["ovs", "hw_veb"]
    finally:
        agents.stop()
        stop_open_vswitch(node1)
