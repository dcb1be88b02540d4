"""What the lab's tests play with: mooring on both guests, a Docker network on both, ports and containers."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lab.neutron.client import NetworkClient, Resource
from lab.node import MooringNode
from lab.state import CommandResult

CIDR = "10.10.0.0/24"
# Neutron allocates at random. Two networks of this CIDR need one address that is certain to differ: a container
# always hears its own.
OUTSIDE = "10.10.0.200"
PATIENCE_S = 90
# Each question costs an emulated guest some work.
LOOK_AGAIN_S = 5.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A running container."""

    node: MooringNode
    name: str

    def run(self, command: str, *, check: bool = True) -> CommandResult:
        """Run a shell line in the container."""
        return self.node.guest.run(f"docker exec {self.name} sh -c '{command}'", check=check, timeout=PATIENCE_S + 30)

    def remove(self) -> None:
        """Remove the container, as its user does; Docker gives an absent plugin 15 seconds for each of three calls."""
        self.node.guest.run(f"docker rm -f {self.name}", timeout=120)

    @property
    def init(self) -> int:
        """The pid of its first process."""
        return int(self.node.guest.run(f"docker inspect --format {{{{.State.Pid}}}} {self.name}").stdout)

    def mac(self, interface: str = "eth0") -> str:
        """Return the interface's MAC."""
        return self.run(f"cat /sys/class/net/{interface}/address").stdout.strip()

    def hears(self, address: str) -> bool:
        """Tell whether an address answers; a VF's carrier may take some seconds at first."""
        asked = self.run(f'timeout {PATIENCE_S} sh -c "until ping -c 1 -W 1 {address}; do :; done"', check=False)
        return asked.code == 0

    def is_answered(self, address: str) -> bool:
        """Tell whether an address answers any of three calls, once the container's own link is up."""
        up = "until grep -q 1 /sys/class/net/eth0/carrier; do sleep 0.2; done"
        asked = self.run(f'timeout {PATIENCE_S} sh -c "{up}" && ping -c 3 -W 1 {address}', check=False)
        assert "packets transmitted" in asked.stdout, f"{self.name} could not even ask: {asked}"
        return asked.code == 0


@dataclass(slots=True, kw_only=True)
class Stage:
    """Both nodes, the cloud's client, and everything that a test made, to be cleared away after it."""

    nodes: tuple[MooringNode, MooringNode]
    neutron: NetworkClient
    made: list[tuple[str, str]] = field(default_factory=list)

    def network(
        self, *, physical_network: str = "physnet2", vlan: int | None, cidr: str | None = CIDR, **attributes: object
    ) -> Resource:
        """Create a network, flat where ``vlan`` is None, with a subnet unless ``cidr`` is None."""
        network = self.neutron.create_network(
            f"net{next(_numbers)}", physical_network=physical_network, vlan=vlan, **attributes
        )
        self.made.append(("network", network["id"]))
        if cidr is not None:
            self.neutron.create_subnet(network["id"], cidr, allocation_pools=[allocated(cidr)])
        return network

    def segmented_network(self, vlans: Mapping[str, int]) -> Resource:
        """Create a network with a segment on each physical network, in this order."""
        segments = [
            {
                "provider:network_type": "vlan",
                "provider:physical_network": physical_network,
                "provider:segmentation_id": vlan,
            }
            for physical_network, vlan in vlans.items()
        ]
        network = self.neutron.create("network", name=f"net{next(_numbers)}", segments=segments)
        self.made.append(("network", network["id"]))
        self.neutron.create_subnet(network["id"], CIDR, allocation_pools=[allocated(CIDR)])
        return network

    def port(
        self,
        network: Resource,
        *,
        vnic_type: str = "direct",
        profile: Resource | None = None,
        **attributes: object,
    ) -> Resource:
        """Create a port."""
        port = self.neutron.create_port(network["id"], vnic_type=vnic_type, profile=profile, **attributes)
        self.made.append(("port", port["id"]))
        return port

    def now(self, port: Resource) -> Resource:
        """Return the port as it stands."""
        return self.neutron.get_port(port["id"])

    def docker_network(self, node: MooringNode, network: Resource, *options: str, cidr: str = CIDR) -> str:
        """Make a Docker network with kuryr's own addresses, as the guide does."""
        name = f"kuryr{next(_numbers)}"
        node.guest.run(
            f"docker network create -d kuryr --ipam-driver=kuryr --subnet={cidr} "
            f"-o neutron.net.uuid={network['id']} {' '.join(options)} {name}"
        )
        return name

    def null_network(self, node: MooringNode, network: Resource, *options: str) -> str:
        """Make a Docker network without addresses of its own."""
        name = f"null{next(_numbers)}"
        node.guest.run(
            f"docker network create -d kuryr --ipam-driver null "
            f"-o neutron.net.uuid={network['id']} {' '.join(options)} {name}"
        )
        return name

    def start(self, node: MooringNode, words: str) -> Container:
        """Run a container that stays."""
        name = f"c{next(_numbers)}"
        node.guest.run(f"docker run -itd --name {name} {words} ubuntu", timeout=120)
        return Container(node=node, name=name)

    def refused(self, node: MooringNode, words: str) -> str:
        """Run a container that must not start; return what Docker's user reads."""
        name = f"c{next(_numbers)}"
        asked = node.guest.run(f"docker run -itd --name {name} {words} ubuntu", check=False, timeout=120)
        node.guest.run(f"docker rm -f {name}", check=False)
        assert asked.code != 0, f"the container was started: {asked.stdout}"
        return asked.stderr

    def start_at(self, node: MooringNode, docker_network: str, port: Resource, options: str = "") -> Container:
        """Run a container that stays, with a port of its own on a Docker network."""
        return self.start(node, f"{options} --network name={docker_network},driver-opt=neutron.port.uuid={port['id']}")

    def lease_of(self, node: MooringNode, port: Resource) -> dict[str, str]:
        """Return the lease of a port."""
        (lease,) = [lease for lease in node.leases() if lease["port"] == port["id"]]
        return lease

    def await_status(self, port: Resource, status: str) -> None:
        """Wait until Neutron shows a status."""
        eventually(lambda: self.now(port)["status"] == status, f"port {port['id']} is {status}")

    def clear(self) -> None:
        """Take everything away that a test made, Docker's side first."""
        self._on_both(
            "docker ps -aq | xargs -r docker rm -f; "
            "docker network ls -q --filter driver=kuryr | xargs -r docker network rm"
        )
        for kind, name in reversed(self.made):
            if self.neutron.list(kind, id=name):
                self.neutron.delete(kind, name)
        self.made.clear()

    def unclean(self) -> list[str]:
        """Return what the kernels and Neutron still hold of containers, in words; hosts without any hold nothing."""
        held = [
            f"{node.name}: {link['ifname']} {vf}"
            for node, answer in zip(self.nodes, self._on_both("ip -j -d link show"), strict=True)
            for link in json.loads(answer)
            for vf in link.get("vfinfo_list", ())
            if any(vlan.get("vlan") for vlan in vf.get("vlan_list", ())) or vf["address"].startswith("fa:16:3e")
        ]
        bound = [
            f"port {port['id']} on {port['binding:host_id']}: {port['binding:vif_type']}"
            for port in self.neutron.list("port")
            if port["binding:host_id"] or port["device_id"] or port["binding:vif_type"] != "unbound"
        ]
        return held + bound

    def not_free(self) -> list[str]:
        """Return the VFs that mooring itself does not call free, in its words."""
        with ThreadPoolExecutor() as pool:
            listings = zip(self.nodes, pool.map(lambda node: node.vfs(), self.nodes), strict=True)
            return [f"{node.name}: {vf}" for node, vfs in listings for vf in vfs if vf["state"] != "free"]

    def await_nothing_left(self, *, debts: bool = True, seconds: float = PATIENCE_S) -> None:
        """Wait until nobody holds anything of a container any more: kernels, Neutron, journals; fail with what is.

        Without ``debts``, Neutron may still be owed confirmations of what it has done.
        """
        deadline = time.monotonic() + seconds
        while left := self._left(debts=debts):
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(LOOK_AGAIN_S)

    def _left(self, *, debts: bool) -> list[str]:
        return self.unclean() + [f"{node.name}: {held}" for node in self.nodes for held in _held(node, debts=debts)]

    def _on_both(self, command: str) -> list[str]:
        with ThreadPoolExecutor() as pool:
            return [done.stdout for done in pool.map(lambda node: node.guest.run(command), self.nodes)]


def allocated(cidr: str) -> dict[str, str]:
    """Return the addresses of a subnet of 256 that Neutron may give to ports; OUTSIDE is not among them."""
    prefix, _, _ = cidr.rpartition(".")
    return {"start": f"{prefix}.2", "end": f"{prefix}.99"}


def address_of(port: Resource) -> str:
    """Return the IPv4 address that Neutron gave a port."""
    addresses: list[str] = [fixed_ip["ip_address"] for fixed_ip in port["fixed_ips"]]
    return next(address for address in addresses if ":" not in address)


def slot_of(port: Resource) -> str:
    """Return the PCI address of the device that a bound port is on, as Neutron has it."""
    return str(port["binding:profile"]["pci_slot"])


def held(node: MooringNode, vf: str) -> Resource:
    """Return what the PF holds for a VF, with iproute2's names: address, vlan_list, rate, spoofchk, trust, ..."""
    answer = node.guest.run(
        f"cd /sys/bus/pci/devices/{vf}/physfn && basename -a $(readlink virtfn*) && ip -j -d link show $(ls net)"
    ).stdout
    *addresses, links = answer.splitlines()
    (link,) = json.loads(links)
    # The shell sorts virtfn10 before virtfn2, but no card of the lab has that many.
    (settings,) = [info for info in link["vfinfo_list"] if info["vf"] == addresses.index(vf)]
    found: Resource = settings
    return found


def vlan_of(settings: Resource) -> int:
    """Return the VLAN in what a PF holds for a VF; 0 is none."""
    return sum(int(entry.get("vlan", 0)) for entry in settings.get("vlan_list", ()))


def findings(node: MooringNode, kind: str, subject: str) -> list[str]:
    """Return the lines in which the daemon has told of a finding."""
    return [line for line in node.log().splitlines() if f"event=finding kind={kind} subject={subject} " in line]


def metrics(node: MooringNode) -> dict[str, float]:
    """Return what the daemon's metrics say, by name and labels; nothing while there is no daemon.

    In an emulated guest that is far cheaper than to start the command.
    """
    ask = r"exec 3<> /dev/tcp/127.0.0.1/9709 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3"
    answer = node.guest.run(ask, check=False).stdout.splitlines()
    samples = (line.rpartition(" ") for line in answer if line.startswith("mooring_"))
    return {name: float(value) for name, _, value in samples}


def _held(node: MooringNode, *, debts: bool) -> list[str]:
    """Return what mooring does not call free, as its metrics say it."""
    samples = metrics(node)
    if not samples:
        return ["no daemon answers"]
    kinds = ("mooring_leases{", "mooring_vfs{", *(["mooring_debts"] if debts else []))
    present = [name for name, value in samples.items() if value and name.startswith(kinds)]
    return [name for name in present if 'state="free"' not in name]


def eventually(holds: Callable[[], bool], what: str, *, seconds: float = PATIENCE_S, every: float = 0.2) -> None:
    """Wait until something holds that no event of ours announces; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(every)
