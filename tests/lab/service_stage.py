"""What the lab's tests of the container service play with: controllers, hosts that serve it, and its users."""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import requests
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session

from lab.databases import postgresql
from lab.neutron import NeutronCloud
from lab.neutron.accounts import ACCOUNTS, DOMAIN
from lab.neutron.client import Resource
from lab.node import MooringNode
from lab.service import ContainerService
from tests.lab.stage import CIDR, Stage, eventually

IMAGE = "ubuntu"
# An emulated guest takes its time, several containers at once more of it.
COMMAND_S, SETTLED_S = 600, 300
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStage:
    """The stage with the service on it. Its user is ``demo``; its operator, and who may see hosts, ``admin``."""

    stage: Stage
    cloud: NeutronCloud
    service: ContainerService

    @property
    def nodes(self) -> tuple[MooringNode, MooringNode]:
        """The hosts."""
        return self.stage.nodes

    def network(self, *, physical_network: str, vlan: int, cidr: str = CIDR) -> Resource:
        """Create a network that the user may use."""
        return self.stage.network(physical_network=physical_network, vlan=vlan, cidr=cidr, shared=True)

    def port(self, network: Resource, *, user: str = "demo") -> Resource:
        """Create a port as a user does."""
        with self.cloud.client(user) as client:
            port = client.create_port(network["id"], name=f"port{next(_numbers)}", vnic_type="direct")
        self.stage.made.append(("port", port["id"]))
        return port

    def now(self, port: Resource) -> Resource:
        """Return a port as it stands."""
        return self.stage.now(port)

    def mooring(self, words: str, *, user: str = "demo") -> str:
        """Run a command of the service's; return what it prints. It must succeed."""
        done = self.try_mooring(words, user=user)
        assert done.returncode == 0, f"mooring {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def try_mooring(self, words: str, *, user: str = "demo") -> subprocess.CompletedProcess[str]:
        """Run a command of the service's, which may fail."""
        return subprocess.run(
            ["mooring", *shlex.split(words)],
            env=self.service.client_environment(user),
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )

    def ask(self, method: str, path: str, body: Resource | None = None) -> None:
        """Ask the service as an administrator for what the command line has no words for."""
        account = ACCOUNTS["admin"]
        auth = Password(
            auth_url=self.cloud.facts.auth_url(),
            username=account.user,
            password=account.password,
            project_name=account.project,
            user_domain_id=DOMAIN,
            project_domain_id=DOMAIN,
        )
        with requests.Session() as http:
            # No proxy of the environment stands between us and our own loopback interface.
            http.trust_env = False
            service = Adapter(
                session=Session(auth=auth, session=http),
                endpoint_override=self.service.controllers[0].url,
                service_type="container",
                default_microversion="1.40",
            )
            service.request(path, method, json=body)

    def show(self, name: str) -> Resource:
        """Return a container as an administrator sees it."""
        return self.containers()[name]

    def containers(self) -> dict[str, Resource]:
        """Return all containers by name, as an administrator sees them."""
        found: list[Resource] = json.loads(self.mooring("list --all-projects --format json", user="admin"))
        return {container["name"]: container for container in found}

    def node_of(self, name: str) -> MooringNode:
        """Return the host of a container."""
        host = self.show(name)["host"]
        (node,) = [node for node in self.nodes if node.name == host]
        return node

    def devices(self) -> list[Resource]:
        """Return every device of every host, as the service has them."""
        devices: list[Resource] = json.loads(self.mooring("pci list --all --format json", user="admin"))
        return devices

    def await_reports(self) -> None:
        """Wait until both hosts have reported to the service."""
        hosts = {node.name for node in self.nodes}
        eventually(lambda: hosts <= self._up(), "both hosts report to the service")

    def await_nothing_left(self) -> None:
        """Wait until no host, nor Neutron, nor the service holds anything of a container any more."""
        eventually(lambda: not self.containers(), "no container is left", seconds=SETTLED_S)
        claimed = [device for device in self.devices() if device["container"]]
        assert not claimed, f"still claimed: {claimed}"
        self.stage.await_nothing_left(seconds=SETTLED_S)
        assert not self.stage.not_free()

    def clear(self) -> None:
        """Take away what a test has left of containers and their ports."""
        if left := self.containers().values():
            self.mooring("rm --force " + " ".join(container["uuid"] for container in left), user="admin")
            eventually(lambda: not self.containers(), "no container is left", seconds=SETTLED_S)
        self.stage.clear()

    def _up(self) -> set[str]:
        services: list[Resource] = json.loads(self.mooring("service list --format json", user="admin"))
        return {service["host"] for service in services if service["state"] == "up"}


@contextmanager
def serving(
    stage: Stage, cloud: NeutronCloud, directory: Path, *, controllers: int, programs: Sequence[Sequence[str]] = ()
) -> Iterator[ServiceStage]:
    """Start the service on a database of its own and have both hosts serve it; they are as before afterwards."""
    with postgresql() as database:
        service = ContainerService(cloud, directory, database, controllers=controllers, programs=programs)
        nodes = [replace(node, in_service=True) for node in stage.nodes]
        try:
            with ThreadPoolExecutor() as pool:
                started = pool.submit(service.start)
                list(pool.map(_join, nodes))
                started.result()
            scene = ServiceStage(stage=stage, cloud=cloud, service=service)
            scene.await_reports()
            yield scene
        finally:
            try:
                with ThreadPoolExecutor() as pool:
                    list(pool.map(_join, stage.nodes))
            finally:
                service.stop()


def _join(node: MooringNode) -> None:
    node.configure()
    node.restart()
