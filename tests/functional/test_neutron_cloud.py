from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.errors import NotReadyError
from lab.neutron import GUEST_VIEW_OF_HOST, CloudFacts, NeutronCloud
from lab.neutron.agent import AGENT_TYPE, ScriptedAgent
from lab.neutron.client import NetworkClient, NeutronRefusedError, Resource

PROFILE = {"pci_slot": "0000:0a:00.1", "pci_vendor_info": "1137:0047", "physical_network": "physnet2"}
# Letter by letter from the guide of kuryr-libnetwork's SR-IOV support.
GUIDE = r"""
net_id=`neutron net-show net04 | grep "\ id\ " | awk '{ print $4 }'`
neutron port-create $net_id --name sriov_port --binding:vnic_type direct \
    --binding-profile '{"physical_network": "physnet2", "pci_vendor_info": "1137:0047", "pci_slot": "0000:0a:00.1"}'
"""


@pytest.fixture
def admin(cloud: NeutronCloud) -> Iterator[NetworkClient]:
    with cloud.client("admin") as client:
        yield client


@pytest.fixture
def service(cloud: NeutronCloud) -> Iterator[NetworkClient]:
    with cloud.client("mooring") as client:
        yield client


@pytest.fixture
def network(admin: NetworkClient) -> Iterator[Resource]:
    # No VLAN of its own choice: the range has room for every test.
    made = admin.create(
        "network",
        name=f"net-{uuid.uuid4().hex[:8]}",
        **{"provider:physical_network": "physnet2", "provider:network_type": "vlan"},
    )
    admin.create_subnet(made["id"], "10.10.0.0/24")
    yield made
    for port in admin.list("port", network_id=made["id"]):
        admin.delete("port", port["id"])
    admin.delete("network", made["id"])


@pytest.fixture
def agent(cloud: NeutronCloud) -> Iterator[ScriptedAgent]:
    with ScriptedAgent(cloud.facts.transport_url(), f"host-{uuid.uuid4().hex[:8]}") as speaker:
        yield speaker


def test_a_direct_port_on_a_host_without_an_agent_is_answered_binding_failed(
    service: NetworkClient, network: Resource
) -> None:
    port = service.create_port(network["id"], vnic_type="direct")

    bound = service.bind_port(port["id"], host="no-such-host", profile=PROFILE)

    assert bound["binding:vif_type"] == "binding_failed"


def test_a_direct_port_on_a_host_with_a_nic_switch_agent_binds_to_hw_veb_with_the_networks_vlan(
    service: NetworkClient, network: Resource, agent: ScriptedAgent
) -> None:
    assert agent.report({"physnet2": ["ens1f0"]}) == "new"
    port = service.create_port(network["id"], vnic_type="direct")

    bound = service.bind_port(port["id"], host=agent.host, profile=PROFILE)

    assert bound["binding:vif_type"] == "hw_veb"
    assert bound["binding:vif_details"]["vlan"] == str(network["provider:segmentation_id"])
    assert bound["binding:profile"] == PROFILE
    assert bound["status"] == "DOWN"


def test_a_bound_port_is_active_from_the_report_that_its_device_is_up_to_the_report_that_it_is_down(
    service: NetworkClient, network: Resource, agent: ScriptedAgent
) -> None:
    agent.report({"physnet2": ["ens1f0"]})
    port = service.create_port(network["id"], vnic_type="direct")
    service.bind_port(port["id"], host=agent.host, profile=PROFILE)

    agent.report_devices(up=[port["id"]])
    assert service.get_port(port["id"])["status"] == "ACTIVE"

    agent.report_devices(down=[port["id"]])
    assert service.get_port(port["id"])["status"] == "DOWN"


def test_a_port_on_another_physical_network_than_the_agents_does_not_bind(
    service: NetworkClient, network: Resource, agent: ScriptedAgent
) -> None:
    agent.report({"physnet1": ["ens1f0"]})
    port = service.create_port(network["id"], vnic_type="direct")

    assert service.bind_port(port["id"], host=agent.host)["binding:vif_type"] == "binding_failed"


def test_the_service_user_sees_the_agent_and_the_networks_segment(
    service: NetworkClient, network: Resource, agent: ScriptedAgent
) -> None:
    agent.report({"physnet2": ["ens1f0"]})

    (seen,) = [row for row in service.agents() if row["host"] == agent.host]

    assert (seen["agent_type"], seen["alive"]) == (AGENT_TYPE, True)
    assert service.get("network", network["id"])["provider:physical_network"] == "physnet2"


@pytest.mark.parametrize("user", ["admin", "demo"])
def test_a_user_without_the_role_service_may_not_set_the_binding_profile(
    cloud: NeutronCloud, admin: NetworkClient, network: Resource, user: str
) -> None:
    admin.update("network", network["id"], shared=True)

    with cloud.client(user) as client, pytest.raises(NeutronRefusedError) as refused:
        client.create_port(network["id"], vnic_type="direct", profile=PROFILE)

    assert refused.value.status == 403


def test_a_plain_user_makes_a_direct_port_of_its_own(
    cloud: NeutronCloud, admin: NetworkClient, network: Resource
) -> None:
    admin.update("network", network["id"], shared=True)

    with cloud.client("demo") as client:
        port = client.create_port(network["id"], vnic_type="direct")

    assert port["binding:vnic_type"] == "direct"
    assert "binding:host_id" not in port


def test_an_administrator_may_choose_a_vlan_outside_the_range(admin: NetworkClient) -> None:
    network = admin.create_network("wide", physical_network="physnet1", vlan=3000)

    assert network["provider:segmentation_id"] == 3000
    admin.delete("network", network["id"])


def test_a_port_takes_a_qos_policy_and_can_be_trusted_and_still_binds(
    admin: NetworkClient, service: NetworkClient, network: Resource, agent: ScriptedAgent
) -> None:
    agent.report({"physnet2": ["ens1f0"]})
    policy = admin.call("POST", "/qos/policies", {"policy": {"name": "slow"}})["policy"]
    rule = {"bandwidth_limit_rule": {"max_kbps": 10000, "direction": "egress"}}
    admin.call("POST", f"/qos/policies/{policy['id']}/bandwidth_limit_rules", rule)
    port = admin.create_port(network["id"], vnic_type="direct", qos_policy_id=policy["id"], trusted=True)

    bound = service.bind_port(port["id"], host=agent.host)

    assert bound["binding:vif_type"] == "hw_veb"
    assert bound["binding:profile"] == {"trusted": True}
    admin.delete("port", port["id"])
    admin.call("DELETE", f"/qos/policies/{policy['id']}")


def test_the_commands_of_the_sriov_guide_work_as_written(cloud: NeutronCloud, admin: NetworkClient) -> None:
    network = admin.create_network("net04", physical_network="physnet2", vlan=104)
    admin.create_subnet(network["id"], "10.10.0.0/24")
    subprocess.run(["bash", "-e", "-c", GUIDE], env=cloud.neutron_cli_env(), check=True, capture_output=True)

    (port,) = admin.list("port", network_id=network["id"], name="sriov_port")
    assert port["binding:vnic_type"] == "direct"
    assert port["binding:profile"] == PROFILE
    admin.delete("port", port["id"])
    admin.delete("network", network["id"])


def test_the_catalog_gives_people_on_this_machine_and_guests_the_address_that_each_can_reach(
    cloud: NeutronCloud,
) -> None:
    facts = cloud.facts
    with cloud.client("mooring") as client:
        found = {
            (service_type, interface): client.endpoint(service_type, interface)
            for service_type in ("identity", "network")
            for interface in ("public", "internal")
        }

    assert found == {
        ("identity", "public"): facts.auth_url(),
        ("identity", "internal"): facts.auth_url(GUEST_VIEW_OF_HOST),
        ("network", "public"): facts.network_url(),
        ("network", "internal"): facts.network_url(GUEST_VIEW_OF_HOST),
    }


def test_parallel_writers_are_all_served(cloud: NeutronCloud, network: Resource) -> None:
    def write(_: int) -> None:
        with cloud.client("mooring") as client:
            for _ in range(5):
                port = client.create_port(network["id"], vnic_type="direct")
                client.delete("port", port["id"])

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(write, range(4)))


def test_facts_come_back_from_their_file_as_they_went_in(tmp_path: Path) -> None:
    facts = CloudFacts.with_free_ports()

    facts.write(tmp_path / "facts.json")

    assert CloudFacts.read(tmp_path / "facts.json") == facts


def test_a_directory_without_a_cloud_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="start one first"):
        _ = NeutronCloud(tmp_path).facts


def test_a_second_cloud_runs_beside_the_first_on_loopback_only_and_nothing_of_it_is_left_when_it_stops(
    cloud: NeutronCloud, tmp_path: Path
) -> None:
    second = NeutronCloud(tmp_path / "second")
    second.start()
    try:
        processes = processes_of(second.directory)
        assert len(processes) >= 4
        assert not {address for pid in processes for address in listening_addresses(pid)} - {"127.0.0.1", "::1"}
        with second.client() as client:
            assert client.list("network", name="net04") == []
    finally:
        # Another object, as a later run of the lab would have.
        NeutronCloud(tmp_path / "second").stop()

    assert processes_of(second.directory) == []
    assert not (second.directory / "facts.json").exists()
    assert not second.is_running()
    assert cloud.is_running()


def processes_of(directory: Path) -> list[int]:
    """Every process that writes under the directory or was told of it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            output = str((entry / "fd" / "1").readlink())
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue  # it ended while we looked, or is a kernel thread
        if output.startswith(str(directory)) or f"{directory}/".encode() in told:
            found.append(int(entry.name))
    return found


def listening_addresses(pid: int) -> set[str]:
    """The addresses on which a process listens for TCP connections, by ss(8)."""
    lines = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[3].rpartition(":")[0].strip("[]") for line in lines if f"pid={pid}," in line}
