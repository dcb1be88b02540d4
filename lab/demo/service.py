"""The demo's second half: Zun's specification. Users name ports, the service finds the hosts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from lab.databases import postgresql
from lab.demo.screen import Screen
from lab.demo.world import Said, World
from lab.neutron.client import NetworkClient, Resource
from lab.node import MooringNode
from lab.service import ContainerService

VLAN, PHYSICAL_NETWORK, CIDR = 160, "physnet1", "10.20.0.0/24"
IMAGE = "ubuntu"
VFS_OF_ALL = 14
"""How many VFs there are on the physical network, on both hosts together."""
REPORTED_SECONDS, GONE_SECONDS = 120, 180


def follow_service(screen: Screen, world: World, neutron: NetworkClient, nodes: tuple[MooringNode, ...]) -> None:
    """Start the service beside the cloud, use it up, and end it again."""
    nodes = tuple(replace(node, in_service=True) for node in nodes)
    with ExitStack() as stack:
        database = stack.enter_context(postgresql())
        service = ContainerService(world.cloud, world.cloud.directory.parent / "service", database)
        stack.callback(service.stop)
        _ServiceWalk(screen, world, neutron, nodes, service).follow()


class _ServiceWalk:
    """The specification's steps: the operator's, the user's, and what is left at the end."""

    def __init__(
        self,
        screen: Screen,
        world: World,
        neutron: NetworkClient,
        nodes: tuple[MooringNode, ...],
        service: ContainerService,
    ) -> None:
        self._screen = screen
        self._world = world
        self._neutron = neutron
        self._nodes = nodes
        self._admin = service.client_environment("admin")
        self._user = service.client_environment("demo")
        self._service = service

    def follow(self) -> None:
        """Go through all of it."""
        self._start()
        ports = self._create_ports()
        self._run(ports[:2])
        self._exhaust(ports)
        self._remove(ports)

    def _start(self) -> None:
        self._screen.chapter("The container service: a controller on PostgreSQL, the bus, and the hosts told of it")
        self._screen.command("controller", "cat /etc/mooring/mooring.conf")
        self._screen.answer(self._service.shown_configuration())
        with ThreadPoolExecutor() as pool:
            starting = [pool.submit(self._service.start), *(pool.submit(_join, node) for node in self._nodes)]
            for started in starting:
                started.result()
        hosts = {node.name for node in self._nodes}
        up = self._await(lambda: self._up() == hosts, REPORTED_SECONDS)
        self._screen.answer(self._mooring("service list", user="admin", show=False).output)
        self._screen.promise("both hosts report to the service", held=up)

    def _create_ports(self) -> list[Resource]:
        """Create a port for every VF on the physical network, and one more."""
        self._screen.chapter(f"A user's ports on {PHYSICAL_NETWORK}, VLAN {VLAN}: one for every VF, and one more")
        network = self._neutron.create_network("net06", physical_network=PHYSICAL_NETWORK, vlan=VLAN, shared=True)
        self._neutron.create_subnet(network["id"], CIDR)
        with self._world.cloud.client("demo") as user:
            names = [f"port{number}" for number in range(1, VFS_OF_ALL + 2)]
            ports = [user.create_port(network["id"], name=name, vnic_type="direct") for name in names]
        self._screen.answer(f"{ports[0]['name']} {ports[0]['id']} … {ports[-1]['name']} {ports[-1]['id']}")
        return ports

    def _run(self, ports: list[Resource]) -> None:
        self._screen.chapter("Containers anywhere in the cluster")
        for number, port in enumerate(ports, start=1):
            self._mooring(f"run --name s{number} --nets port={port['id']} {IMAGE} sleep 3600")
        containers = self._containers()
        rows = [
            (name, container["host"], device["address"], device["port_id"], container["status"])
            for name, container in sorted(containers.items())
            for device in container["pci_devices"]
        ]
        self._screen.table(("Container", "Host", "VF", "Port", "Status"), rows)
        self._screen.promise(
            "each host runs one of them",
            held={container["host"] for container in containers.values()} == {node.name for node in self._nodes},
        )
        for one, other in ((ports[0], ports[1]), (ports[1], ports[0])):
            asker = f"s{ports.index(one) + 1}"
            held = self._hears(asker, str(other["fixed_ips"][0]["ip_address"]))
            self._screen.promise(f"{asker} hears the other: over VFs, across the hosts' uplinks", held=held)

    def _hears(self, name: str, address: str) -> bool:
        """Tell whether a container is answered; a VF's carrier may take some seconds at first."""
        script = f"for i in 1 2 3 4 5 6 7 8 9 10; do ping -c 1 -W 2 {address} && exit 0; done; exit 1"
        return self._mooring(f"exec {name} sh -c '{script}'", show=False).code == 0

    def _exhaust(self, ports: list[Resource]) -> None:
        self._screen.chapter("More containers than VFs")
        rest = [(f"s{number}", port) for number, port in enumerate(ports[2:-1], start=3)]
        self._screen.command(
            "user", f"mooring create --name s3 --nets port={rest[0][1]['name']} {IMAGE}   # … s{VFS_OF_ALL}"
        )
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(
                pool.map(
                    lambda pair: self._mooring(
                        f"create --wait --name {pair[0]} --nets port={pair[1]['id']} {IMAGE} sleep 3600", show=False
                    ),
                    rest,
                )
            )
        one_too_many = self._mooring(f"run --name s{VFS_OF_ALL + 1} --nets port={ports[-1]['id']} {IMAGE}")
        reason = f"0 of {VFS_OF_ALL} VFs free on {PHYSICAL_NETWORK}"
        self._screen.promise(f"the next one is told: no valid host, {reason}", held=reason in one_too_many.output)
        self._screen.promise("its port is free again", held=_is_free(self._neutron.get_port(ports[-1]["id"])))

    def _remove(self, ports: list[Resource]) -> None:
        self._screen.chapter("Remove everything")
        names = " ".join(sorted(self._containers(), key=lambda name: int(name[1:])))
        self._mooring(f"rm --stop {names}")
        gone = self._await(lambda: not self._containers(), GONE_SECONDS)
        self._screen.promise("no container is left", held=gone, otherwise=str(self._containers()))
        after = [self._neutron.get_port(port["id"]) for port in ports]
        self._screen.promise(
            "every port is DOWN, unbound, and free for the next container",
            held=all(_is_free(port) for port in after),
            otherwise="\n".join(str(port) for port in after if not _is_free(port)),
        )
        devices = json.loads(self._mooring("pci list --all --format json", user="admin", show=False).output)
        claimed = [device for device in devices if device["container"]]
        self._screen.promise("no VF of any host is claimed", held=bool(devices) and not claimed, otherwise=str(claimed))
        with ThreadPoolExecutor() as pool:
            for node, vfs in zip(self._nodes, pool.map(MooringNode.vfs, self._nodes), strict=True):
                busy = [vf for vf in vfs if vf["state"] != "free"]
                self._screen.promise(
                    f"{node.name}: {len(vfs)} of {len(vfs)} VFs are free", held=not busy, otherwise=str(busy)
                )

    def _up(self) -> set[str]:
        services = json.loads(self._mooring("service list --format json", user="admin", show=False).output)
        return {service["host"] for service in services if service["state"] == "up"}

    def _containers(self) -> dict[str, dict[str, Any]]:
        """Return the user's containers by name, as an administrator sees them."""
        found = json.loads(self._mooring("list --all-projects --format json", user="admin", show=False).output)
        return {container["name"]: container for container in found}

    def _mooring(self, words: str, *, user: str = "demo", show: bool = True) -> Said:
        environment = self._admin if user == "admin" else self._user
        return self._world.shell("operator" if user == "admin" else "user", f"mooring {words}", environment, show=show)

    @staticmethod
    def _await(holds: Callable[[], bool], seconds: float) -> bool:
        """Wait for what somebody else does; tell whether it came true in time."""
        deadline = time.monotonic() + seconds
        while not (held := holds()) and time.monotonic() < deadline:
            time.sleep(1)
        return held


def _join(node: MooringNode) -> None:
    node.configure()
    node.restart()


def _is_free(port: Resource) -> bool:
    unbound = port["status"] == "DOWN" and port["binding:vif_type"] == "unbound"
    return unbound and not (port["binding:host_id"] or port["device_id"] or port["device_owner"])
