"""The container service as an operator runs it: controllers in processes of their own, RabbitMQ, and ``mooring``.

Neutron and the container hosts are in memory, each behind the real protocol: HTTP, and the service's bus.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dockerd import Dockerd, docker

from lab.neutron import NeutronCloud
from lab.neutron.accounts import ACCOUNTS
from mooring.errors import BusUnavailable
from mooring.neutron.model import Network, Port
from mooring.rpc.bus import ControllerClient, serve_node
from mooring.testing.neutron import FakeNeutron
from mooring.testing.neutron_http import served
from mooring.testing.nodes import FakeNode, card

__all__ = ["docker"]

# kombu leaves the sockets of lost connections to the garbage collector, those of the modules before this one, too.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PROJECT = "projA"
# Longer than a controller's lease of a container that it was killed over, and than a busy machine takes for anything.
PATIENCE_S = 180.0
_SYNC_S = 0.2

CONFIGURATION = """\
[DEFAULT]
state_dir = {home}/state
transport_url = {bus}

[api]
auth_strategy = noauth
port = {port}

[controller]
metrics_address =

[neutron]
auth_type = none
endpoint_override = {neutron}
"""

WITH_KEYSTONE = """\
[DEFAULT]
state_dir = {home}/state
transport_url = {bus}

[api]
port = {port}

[controller]
metrics_address =

[keystone_authtoken]
www_authenticate_uri = {keystone}
auth_type = password
auth_url = {keystone}
username = {account.user}
password = {account.password}
project_name = {account.project}
user_domain_id = default
project_domain_id = default
interface = public

[neutron]
auth_section = keystone_authtoken
"""

ALL_IN_ONE = """\
[DEFAULT]
host = here
state_dir = {home}/state
plugin_socket = {home}/kuryr.sock
docker_url = {docker}
metrics_address =

[api]
port = {port}

[pci]
device_spec = {{"address": "ffff:ff:1f.7", "physical_network": "physnet2"}}

[neutron]
auth_type = none
endpoint_override = {neutron}
"""


class Host:
    """A container host in memory that speaks to controllers over the bus."""

    def __init__(self, bus: str, name: str, *, vfs: int) -> None:
        self.node = FakeNode(name, card(vfs=vfs))
        self.paused = False
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._controllers = ControllerClient(bus)
        self._ears = serve_node(bus, name, self)  # type: ignore[arg-type]  # what it is asked, its node answers
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.node, name)

        def answer(*words: object, **named: object) -> object:
            with self._lock:
                return method(*words, **named)

        return answer

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._ears.stop(5)
        self._controllers.close()
        with warnings.catch_warnings():
            # oslo.messaging leaves sockets of its own to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    def _run(self) -> None:
        while not self._stopping.wait(_SYNC_S):
            if self.paused:
                continue
            with self._lock:
                try:
                    self.node.sync(self._controllers)
                except BusUnavailable:
                    continue  # no controller runs at the moment


class World:
    """A controller's process with what is around it. ``mooring`` is the command line of a user of ``PROJECT``."""

    def __init__(self, home: Path, bus: str, neutron: FakeNeutron, url: str) -> None:
        self.home, self.bus, self.neutron = home, bus, neutron
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.configuration = home / "mooring.conf"
        self.configuration.write_text(CONFIGURATION.format(home=home, bus=bus, neutron=url, port=self.port))
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.heard.settimeout(PATIENCE_S)
        self.heard.bind(str(home / "notify"))
        self.network = self.add_network("sriov", "10.0.0.0/24")
        self.hosts: dict[str, Host] = {}
        self.controller: subprocess.Popen[bytes] | None = None
        self.endpoint = f"http://127.0.0.1:{self.port}/v1"

    def add_host(self, name: str, *, vfs: int = 2) -> Host:
        self.neutron.add_agent(name, {"physnet2": ("ens5",)})
        self.hosts[name] = Host(self.bus, name, vfs=vfs)
        return self.hosts[name]

    def add_network(self, name: str, cidr: str) -> Network:
        network = self.neutron.add_network(name, physical_network="physnet2", project_id=PROJECT)
        self.neutron.add_subnet(network, cidr)
        return network

    def add_port(self, name: str, network: Network | None = None) -> Port:
        return self.neutron.add_port(network or self.network, name=name, project_id=PROJECT, vnic_type="direct")

    def start(self, daemon: str = "controller") -> None:
        """Start the controller, and return when it says that it is ready."""
        with (self.home / "controller.log").open("ab") as log:
            self.controller = subprocess.Popen(
                [sys.executable, "-m", "mooring", "--config-file", str(self.configuration), daemon],
                env={**os.environ, "NOTIFY_SOCKET": str(self.home / "notify")},
                stderr=log,
            )
        assert self.heard.recv(64) == b"READY=1"

    def kill(self) -> None:
        assert self.controller is not None
        self.controller.send_signal(signal.SIGKILL)
        self.controller.wait(timeout=PATIENCE_S)

    def mooring(self, *words: str, token: str = f"alice:{PROJECT}:member", code: int = 0) -> str:
        """Run a command of a user's, expect it to end with ``code``, and return what it printed."""
        return self.run({"MOORING_ENDPOINT": self.endpoint, "MOORING_TOKEN": token}, *words, code=code)

    def run(self, access: Mapping[str, str], *words: str, code: int = 0) -> str:
        """The same, with other variables that say who asks."""
        done = subprocess.run(
            [sys.executable, "-m", "mooring", *words],
            env={**os.environ, **access},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stderr + (self.home / "controller.log").read_text()
        return done.stdout if code == 0 else done.stderr

    def show(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.mooring("show", name, "--format", "json")))

    def wait_for_hosts(self, count: int) -> None:
        self.until(lambda: self.mooring("service", "list", token="root:ops:admin").count(" up ") == count)

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, (self.home / "controller.log").read_text()
            time.sleep(0.2)

    def close(self) -> None:
        for host in self.hosts.values():
            host.close()
        if self.controller is not None:
            self.controller.kill()
            self.controller.wait()
        self.heard.close()


@pytest.fixture
def world(tmp_path: Path, cloud: NeutronCloud) -> Iterator[World]:
    neutron = FakeNeutron()
    with ExitStack() as stack:
        url = stack.enter_context(served(neutron.server))
        world = World(tmp_path, cloud.facts.service_transport_url(), neutron, url)
        stack.callback(world.close)
        yield world


def test_a_container_on_a_users_port_from_its_creation_to_its_end(world: World) -> None:
    world.start()
    host = world.add_host("node1")
    world.wait_for_hosts(1)
    port = world.add_port("port1")

    world.mooring("create", "--name", "edge", "--nets", "port=port1", "--wait", "cirros", "sleep", "60")

    bound = world.neutron.now(port.id)
    container = world.show("edge")
    assert container["status"] == "Created"
    assert (bound.device_id, bound.host, bound.vif_type) == (container["uuid"], "node1", "hw_veb")
    vf = bound.profile["pci_slot"]
    assert "edge" in world.mooring("list")

    world.mooring("start", "edge", "--wait")
    assert world.show("edge")["status"] == "Running"
    assert world.mooring("exec", "edge", "ip", "addr") == "ip addr"
    assert world.mooring("logs", "edge", "--tail", "5") == "cirros, 5"
    assert port.id in world.mooring("net", "list", "edge")
    listed = world.mooring("pci", "list", "--all", token="root:ops:admin")
    (row,) = [line for line in listed.splitlines() if vf in line]
    assert container["uuid"] in row

    second = world.add_port("port2", world.add_network("other", "10.0.1.0/24"))
    world.mooring("net", "attach", "edge", "--port", "port2", "--wait")
    assert world.neutron.now(second.id).profile["pci_slot"] != vf
    world.mooring("net", "detach", "edge", "--port", "port2", "--wait")
    assert world.neutron.now(second.id).vif_type == "unbound"

    world.mooring("rm", "--stop", "--wait", "edge")

    given_back = world.neutron.now(port.id)
    assert (given_back.device_id, given_back.device_owner, given_back.host) == ("", "", "")
    assert (given_back.vif_type, dict(given_back.profile)) == ("unbound", {})
    assert host.node.containers == {}
    assert world.mooring("list") == "no containers\n"


def test_a_controller_that_was_killed_goes_on_where_it_stood(world: World) -> None:
    world.start()
    host = world.add_host("node1")
    world.wait_for_hosts(1)
    port = world.add_port("port1")
    host.paused = True

    world.mooring("create", "--name", "edge", "--nets", "port=port1", "cirros")
    world.until(lambda: host.node.is_woken)
    assert world.neutron.now(port.id).vif_type == "hw_veb"
    world.kill()
    host.paused = False
    world.start()
    world.until(lambda: world.show("edge")["status"] == "Created")

    uuid = world.show("edge")["uuid"]
    assert [(each, verb) for each, _, verb in host.node.carried_out] == [(uuid, "create")]

    host.paused = True
    world.mooring("rm", "edge")
    world.until(lambda: host.node.is_woken)
    world.kill()
    host.paused = False
    world.start()
    world.until(lambda: world.mooring("list") == "no containers\n")
    assert world.neutron.now(port.id).vif_type == "unbound"
    assert host.node.containers == {}


def test_when_no_vf_is_left_the_user_is_told_by_filter_and_count(world: World) -> None:
    world.start()
    world.add_host("node1", vfs=1)
    world.add_host("node2", vfs=1)
    world.wait_for_hosts(2)
    ports = [world.add_port(f"port{number}") for number in range(3)]

    for number in range(2):
        world.mooring("run", "--name", f"c{number}", "--nets", f"port=port{number}", "cirros")
    said = world.mooring("run", "--name", "c2", "--nets", "port=port2", "cirros", code=1)

    assert "no valid host: 2 hosts: 2 PciPassthroughFilter (0 of 2 VFs free on physnet2)" in said
    assert world.show("c2")["status"] == "Error"
    assert world.neutron.now(ports[2].id).device_id == ""
    world.mooring("rm", "--wait", "c2")


def test_a_controller_ends_in_order_and_says_so(world: World) -> None:
    world.start()
    assert world.controller is not None

    world.controller.terminate()

    assert world.heard.recv(64) == b"STOPPING=1"
    assert world.controller.wait(timeout=PATIENCE_S) == 0
    assert "see whether the service runs" in world.mooring("list", code=1)


def test_all_in_one_is_a_host_and_a_controller_without_bus_and_database(world: World, docker: Dockerd) -> None:
    neutron = next(line for line in world.configuration.read_text().splitlines() if "endpoint_override" in line)
    world.configuration.write_text(
        ALL_IN_ONE.format(home=world.home, docker=docker.address, port=world.port, neutron=neutron.partition("= ")[2])
    )
    world.add_port("port1")
    world.start("all-in-one")

    world.wait_for_hosts(1)
    said = world.mooring("run", "--name", "edge", "--nets", "port=port1", "busybox", code=1)

    assert "no valid host: 1 host: 1 PciPassthroughFilter" in said
    assert "busybox" in world.mooring("image", "list", token="root:ops:admin")
    assert world.controller is not None
    world.controller.terminate()
    assert world.heard.recv(64) == b"STOPPING=1"
    assert world.controller.wait(timeout=PATIENCE_S) == 0


def test_keystone_says_who_asks_and_where_the_service_is(world: World, cloud: NeutronCloud) -> None:
    world.port = cloud.facts.container_port
    keystone, account = cloud.facts.auth_url(), ACCOUNTS["demo"]
    text = WITH_KEYSTONE.format(
        home=world.home, bus=world.bus, port=world.port, keystone=keystone, account=ACCOUNTS["mooring"]
    )
    world.configuration.write_text(text)
    world.start()
    user = {
        "OS_AUTH_URL": keystone,
        "OS_USERNAME": account.user,
        "OS_PASSWORD": account.password,
        "OS_PROJECT_NAME": account.project,
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }

    assert world.run(user, "list") == "no containers\n"
    assert '"limit": 40.0' in world.run(user, "quota", "show", "--format", "json")
    assert "HTTP 403" in world.run(user, "service", "list", code=1)
    assert "Keystone does not let you in" in world.run({**user, "OS_PASSWORD": "wrong"}, "list", code=1)
    stranger = {"MOORING_ENDPOINT": f"http://127.0.0.1:{world.port}/v1", "MOORING_TOKEN": "alice:projA:admin"}
    assert "HTTP 401" in world.run(stranger, "list", code=1)
