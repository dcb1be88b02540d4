"""The walk through both documents. It ends well only if every promise on the way held."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from rich.console import Console

from lab.demo.screen import Screen
from lab.demo.service import follow_service
from lab.demo.world import Container, World
from lab.lab import Lab
from lab.neutron.client import NetworkClient, Resource
from lab.node import KURYR_CONF, MooringNode
from lab.progress import Progress

CIDR, GATEWAY = "10.10.0.0/24", "10.10.0.1"
VLAN, OTHER_VLAN = 150, 151
# Neutron allocates at random; the container that must not be heard has an address that no other can have.
ALLOCATED, OTHER_ADDRESS = {"start": "10.10.0.2", "end": "10.10.0.99"}, "10.10.0.200"
PHYSICAL_NETWORK = "physnet2"
# The last VF of the PF on physnet2, by the arrangement of the lab: those that name none begin with the first.
SLOT, VENDOR_INFO = "0000:02:11.4", "8086:10ca"
IMAGE = "ubuntu"
ACTIVE_SECONDS = 30
VFS_OF_A_NODE = 14


def run_demo(lab: Lab, release: str, console: Console) -> bool:
    """Boot the lab, follow the guide and the specification, end the lab again; tell whether every promise held."""
    screen = Screen(console)
    screen.chapter("A lab: two guests with SR-IOV cards, their uplinks joined, real Neutron beside them")
    lab.up(release, Progress(console))
    try:
        one, two = (MooringNode(guest=guest, cloud=lab.cloud) for guest in lab.guests().values())
        with lab.cloud.client("mooring") as neutron:
            world = World(screen, lab.cloud)
            _Walk(screen, world, neutron, (one, two)).follow()
            follow_service(screen, world, neutron, (one, two))
    finally:
        lab.down()
    screen.chapter(f"{screen.held} promises held, {len(screen.failures)} did not")
    return not screen.failures


class _Walk:
    """The guide's steps, in the guide's order."""

    def __init__(
        self, screen: Screen, world: World, neutron: NetworkClient, nodes: tuple[MooringNode, MooringNode]
    ) -> None:
        self._screen = screen
        self._world = world
        self._neutron = neutron
        self._nodes = nodes

    def follow(self) -> None:
        """Go through all of it; the daemons start while the operator creates networks and ports."""
        with ThreadPoolExecutor() as pool:
            starting = self._configure(pool)
            created = self._create()
            for started in starting:
                started.result()
        self._check_agents()
        containers = self._launch(*created)
        self._show(containers)
        self._talk(containers)
        self._remove(containers)

    def _configure(self, pool: ThreadPoolExecutor) -> list[Future[None]]:
        self._screen.chapter("Configure kuryr-libnetwork (mooring reads its file), start the daemon")
        self._screen.command("node1, node2", "cat /etc/kuryr/kuryr.conf")
        self._screen.answer(KURYR_CONF)
        self._screen.command("node1, node2", "systemctl start mooring-node &")
        return [pool.submit(_set_up, node) for node in self._nodes]

    def _check_agents(self) -> None:
        alive = {agent["host"]: agent["alive"] for agent in self._neutron.agents()}
        self._screen.promise(
            "both hosts report a 'NIC Switch agent' to Neutron",
            held=alive == {"node1": True, "node2": True},
            otherwise=str(alive),
        )

    def _create(self) -> tuple[list[Resource], Resource]:
        """Create the networks and ports; return those of the guide's network, and one on another VLAN."""
        self._screen.chapter(f"Launch containers with SR-IOV ports: networks on VLAN {VLAN} and {OTHER_VLAN}, ports")
        net04 = self._network("net04", VLAN)
        net05 = self._network("net05", OTHER_VLAN)
        show = "neutron net-show net04 | grep \"\\ id\\ \" | awk '{ print $4 }'"
        answer = self._world.operator(f"net_id=`{show}`; echo $net_id")
        self._screen.answer(answer)
        profile = json.dumps({"physical_network": PHYSICAL_NETWORK, "pci_vendor_info": VENDOR_INFO, "pci_slot": SLOT})
        self._world.operator(
            f"neutron port-create {net04} --name sriov_port --binding:vnic_type direct --binding-profile '{profile}'"
        )
        (named,) = self._neutron.list("port", name="sriov_port")
        self._screen.answer(f"sriov_port {named['id']} {_address(named)}, on the VF {SLOT}")
        free = [self._neutron.create_port(net04, name=name, vnic_type="direct") for name in ("any_vf", "far_away")]
        # The same subnet as the others: only the VLAN keeps them apart.
        other = self._neutron.create_port(
            net05, name="other_vlan", vnic_type="direct", fixed_ips=[{"ip_address": OTHER_ADDRESS}]
        )
        for port in (*free, other):
            self._screen.answer(f"{port['name']} {port['id']} {_address(port)}, any VF")
        return [named, *free], other

    def _launch(self, ports: list[Resource], other: Resource) -> list[Container]:
        one, two = self._nodes
        create = (
            f"docker network create -d kuryr --ipam-driver=kuryr --subnet={CIDR} --gateway={GATEWAY} "
            f"-o neutron.net.uuid={ports[0]['network_id']} kuryr_net"
        )
        other_create = (
            f"docker network create -d kuryr --ipam-driver null -o neutron.net.uuid={other['network_id']} other_net"
        )
        self._world.together([(one, create), (two, create), (two, other_create)])
        containers = [
            Container(name="c1", node=one, port=ports[0], docker_network="kuryr_net"),
            Container(name="c2", node=one, port=ports[1], docker_network="kuryr_net"),
            Container(name="c3", node=two, port=ports[2], docker_network="kuryr_net"),
            Container(name="c4", node=two, port=other, docker_network="other_net"),
        ]
        by_port = f"--network name=other_net,driver-opt=neutron.port.uuid={other['id']}"
        self._world.together(
            [
                (c.node, f"docker run -itd --name {c.name} --net=kuryr_net --ip={c.address} {IMAGE}")
                for c in containers[:3]
            ]
            + [(two, f"docker run -itd --name c4 {by_port} {IMAGE}")]
        )
        return containers

    def _show(self, containers: list[Container]) -> None:
        self._screen.chapter("What runs where")
        self._await_status(containers, "ACTIVE")
        self._screen.command("node1, node2", "mooring pci list")
        with ThreadPoolExecutor() as pool:
            listings = zip(self._nodes, pool.map(MooringNode.vfs, self._nodes), strict=True)
            macs = list(pool.map(_mac, containers))
        held = {vf["port"]: (node.name, vf) for node, vfs in listings for vf in vfs if vf["port"]}
        ports = [self._neutron.get_port(container.port["id"]) for container in containers]
        rows = [
            (
                container.name,
                port["name"],
                held[port["id"]][0],
                held[port["id"]][1]["pf"],
                held[port["id"]][1]["address"],
                mac,
                port["binding:vif_details"]["vlan"],
                _address(port),
                port["status"],
            )
            for container, port, mac in zip(containers, ports, macs, strict=True)
        ]
        self._screen.table(("Container", "Port", "Host", "PF", "VF", "MAC", "VLAN", "Address", "Port status"), rows)
        self._screen.promise(
            "every container has its port's MAC, and every port is ACTIVE",
            held=all(
                mac == port["mac_address"] and port["status"] == "ACTIVE" for mac, port in zip(macs, ports, strict=True)
            ),
        )
        self._screen.promise(f"the port that names {SLOT} is on it", held=rows[0][4] == SLOT, otherwise=rows[0][4])

    def _talk(self, containers: list[Container]) -> None:
        self._screen.chapter("Traffic over virtual functions")
        one, two, three, four = containers
        hears, is_silent = self._world.hears, self._world.is_silent
        promises: list[tuple[str, Callable[[], bool]]] = [
            ("c1 hears c2: two VFs of one host", lambda: hears(one, two)),
            ("c1 hears c3: across the hosts' uplinks", lambda: hears(one, three)),
            ("c3 hears c2: and back", lambda: hears(three, two)),
            (f"c4 on VLAN {OTHER_VLAN} does not hear c1 on VLAN {VLAN}", lambda: is_silent(four, one.address)),
            (f"c4 on VLAN {OTHER_VLAN} does not hear c3 on VLAN {VLAN}", lambda: is_silent(four, three.address)),
        ]
        with ThreadPoolExecutor() as pool:
            for (sentence, _), held in zip(promises, pool.map(lambda pair: pair[1](), promises), strict=True):
                self._screen.promise(sentence, held=held)

    def _remove(self, containers: list[Container]) -> None:
        self._screen.chapter("Remove everything")
        self._world.together(
            [(node, f"docker rm -f {' '.join(c.name for c in containers if c.node is node)}") for node in self._nodes]
        )
        self._await_status(containers, "DOWN")
        ports = [self._neutron.get_port(container.port["id"]) for container in containers]
        self._screen.promise(
            "every port is DOWN, unbound, and free for the next container",
            held=all(_is_free(port) for port in ports),
            otherwise="\n".join(str(port) for port in ports if not _is_free(port)),
        )
        self._screen.promise(
            "the port that named its VF still names it", held=ports[0]["binding:profile"].get("pci_slot") == SLOT
        )
        one, two = self._nodes
        self._world.together(
            [
                (one, "docker network rm kuryr_net"),
                (two, "docker network rm kuryr_net"),
                (two, "docker network rm other_net"),
            ]
        )
        self._screen.command("node1, node2", "mooring pci list")
        with ThreadPoolExecutor() as pool:
            listings = list(pool.map(MooringNode.vfs, self._nodes))
        for node, vfs in zip(self._nodes, listings, strict=True):
            self._inspect(node, vfs, {container.port["mac_address"] for container in containers})

    def _inspect(self, node: MooringNode, vfs: list[dict[str, str]], macs: set[str]) -> None:
        """Look at a host that should be as it was: in mooring's words, and in the kernel's own."""
        free = [vf for vf in vfs if vf["state"] == "free"]
        self._screen.promise(
            f"{node.name}: {len(free)} of {VFS_OF_A_NODE} VFs are free",
            held=len(free) == len(vfs) == VFS_OF_A_NODE,
            otherwise=str([vf for vf in vfs if vf["state"] != "free"]),
        )
        kernel = node.guest.run("ip link").stdout
        left = [line for line in kernel.splitlines() if "vlan" in line or any(mac in line for mac in macs)]
        self._screen.promise(
            f"{node.name}: the kernel shows no VLAN and no MAC of theirs", held=not left, otherwise="\n".join(left)
        )

    def _network(self, name: str, vlan: int) -> str:
        network = self._neutron.create_network(name, physical_network=PHYSICAL_NETWORK, vlan=vlan)
        self._neutron.create_subnet(network["id"], CIDR, gateway_ip=GATEWAY, allocation_pools=[ALLOCATED])
        self._screen.answer(f"network {name}: {PHYSICAL_NETWORK}, VLAN {vlan}, {CIDR}")
        return str(network["id"])

    def _await_status(self, containers: list[Container], status: str) -> None:
        """Wait until Neutron shows a status, or long enough: the promises say what was found."""
        deadline = time.monotonic() + ACTIVE_SECONDS
        ports = [container.port["id"] for container in containers]
        while time.monotonic() < deadline and any(self._neutron.get_port(port)["status"] != status for port in ports):
            time.sleep(0.2)


def _set_up(node: MooringNode) -> None:
    node.configure()
    node.start()


def _mac(container: Container) -> str:
    """Return the MAC that the container itself sees."""
    return container.node.guest.run(f"docker exec {container.name} cat /sys/class/net/eth0/address").stdout.strip()


def _address(port: Resource) -> str:
    return str(port["fixed_ips"][0]["ip_address"])


def _is_free(port: Resource) -> bool:
    return (
        port["status"] == "DOWN"
        and port["binding:vif_type"] == "unbound"
        and not (port["binding:host_id"] or port["device_id"] or port["device_owner"])
    )
