"""What the lab's tests play with: mooring on both guests, a Docker network on both, ports and containers."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lab.neutron.client import NetworkClient, Resource
from lab.node import MooringNode
from lab.state import CommandResult

CIDR = "10.10.0.0/24"
# Neutron allocates at random. Two networks of this CIDR need one address that is certain to differ: a container
# always hears its own.
ALLOCATED, OUTSIDE = {"start": "10.10.0.2", "end": "10.10.0.99"}, "10.10.0.200"
PATIENCE_S = 40
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A running container."""

    node: MooringNode
    name: str

    def run(self, command: str, *, check: bool = True) -> CommandResult:
        """Run a shell line in the container."""
        return self.node.guest.run(f"docker exec {self.name} sh -c '{command}'", check=check, timeout=PATIENCE_S + 30)

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
        self, *, physical_network: str = "physnet2", vlan: int, cidr: str | None = CIDR, **attributes: object
    ) -> Resource:
        """Create a network, with a subnet unless ``cidr`` is None."""
        network = self.neutron.create_network(
            f"net{next(_numbers)}", physical_network=physical_network, vlan=vlan, **attributes
        )
        self.made.append(("network", network["id"]))
        if cidr is not None:
            self.neutron.create_subnet(network["id"], cidr, allocation_pools=[ALLOCATED])
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

    def _on_both(self, command: str) -> list[str]:
        with ThreadPoolExecutor() as pool:
            return [done.stdout for done in pool.map(lambda node: node.guest.run(command), self.nodes)]


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds that no event of ours announces; fail when it does not in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.2)
