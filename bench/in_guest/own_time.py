"""python3 -m bench.in_guest.own_time ROUNDS: mooring's own time for an attach and the kernel's floor, in turn.

Everything of the daemon is real, from the plugin's socket to the kernel, but Neutron: mooring's gateway runs on a
Neutron in memory. Prints the samples as JSON. The daemon itself must not run meanwhile, and no VF may be in use.
"""

from __future__ import annotations

import io
import json
import logging
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import structlog

from bench.in_guest.clock import Stopwatch, at_rest
from bench.in_guest.floor import Floor
from mooring.attach.devices import Devices, devices_of
from mooring.attach.drivers.registry import load_port_drivers
from mooring.attach.engine import Engine, Patience
from mooring.attach.journal import Journal
from mooring.attach.reconcile import Reconciler
from mooring.attach.settlement import Settlement
from mooring.config.load import load
from mooring.config.settings import NodeSettings
from mooring.host.linux import LinuxKernel
from mooring.host.open_vswitch import OpenVSwitch
from mooring.host.virtual_links import LinuxVirtualLinks
from mooring.libnetwork.plugin import Plugin
from mooring.libnetwork.server import PluginServer, listen
from mooring.testing.neutron import FakeNeutron

# The last chunk of an answer (RFC 9112, 7.1).
_END = b"0\r\n\r\n"
PHYSICAL_NETWORK, VLAN, CIDR = "physnet2", 150, "10.10.0.0/24"
NAMESPACE = "bench"


class _Received:
    """An answer as it came in, for the library to read."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._answer)


class Docker:
    """Docker's side of the plugin's socket: a connection for each call, for that is what mooring leaves it."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def call(
        self, call: str, body: dict[str, object], timing: AbstractContextManager[None] | None = None
    ) -> dict[str, Any]:
        """Make a call of the plugin's protocol; ``timing`` is held from connecting to the last byte of the answer.

        A client of Python's library would compute for longer, on our processor, than Docker's does.
        """
        data = json.dumps(body).encode()
        head = f"POST /{call} HTTP/1.1\r\nHost: plugin\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        answer = b""
        with timing or nullcontext(), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(self._path)
            connection.sendall(head + data)
            while not answer.endswith(_END) and (more := connection.recv(65536)):
                answer += more
        response = HTTPResponse(_Received(answer))  # type: ignore[arg-type]  # all that it wants of a socket
        response.begin()
        found: dict[str, Any] = json.loads(response.read())
        if response.status != HTTPStatus.OK:
            raise RuntimeError(f"{call}: {found}")
        return found


class Network:
    """A Docker network with addresses of its own, as the guide makes it, and a port on it."""

    def __init__(self, docker: Docker, neutron: FakeNeutron) -> None:
        self._docker = docker
        network = neutron.add_network(physical_network=PHYSICAL_NETWORK, vlan=VLAN)
        neutron.add_subnet(network, CIDR)
        self.port = neutron.add_port(network)
        self._id = uuid.uuid4().hex
        pool = docker.call("IpamDriver.RequestPool", {"Pool": CIDR})
        self._pool = pool["PoolID"]
        options = {"com.docker.network.generic": {"neutron.net.uuid": network.id}}
        data = [{"Pool": pool["Pool"]}]
        docker.call("NetworkDriver.CreateNetwork", {"NetworkID": self._id, "Options": options, "IPv4Data": data})

    def run(self, watch: Stopwatch) -> str:
        """Do what the start of a container asks of mooring; return the endpoint's id."""
        endpoint = uuid.uuid4().hex
        ids: dict[str, object] = {"NetworkID": self._id, "EndpointID": endpoint}
        wanted = {"PoolID": self._pool, "Address": str(self.port.fixed_ips[0].address)}
        given = self._docker.call("IpamDriver.RequestAddress", wanted, watch.timing("mooring: RequestAddress"))
        interface = {"Interface": {"Address": given["Address"]}}
        self._docker.call("NetworkDriver.CreateEndpoint", ids | interface, watch.timing("mooring: CreateEndpoint"))
        self._docker.call("NetworkDriver.Join", ids, watch.timing("mooring: Join"))
        return endpoint

    def remove(self, watch: Stopwatch, endpoint: str) -> None:
        """Do what the end of a container asks."""
        ids: dict[str, object] = {"NetworkID": self._id, "EndpointID": endpoint}
        self._docker.call("NetworkDriver.DeleteEndpoint", ids, watch.timing("mooring: DeleteEndpoint"))
        address = {"PoolID": self._pool, "Address": str(self.port.fixed_ips[0].address)}
        self._docker.call("IpamDriver.ReleaseAddress", address)


@contextmanager
def running(settings: NodeSettings, neutron: FakeNeutron, state: Path) -> Iterator[tuple[Devices, Docker]]:
    """Run the daemon's parts, without its housekeeper, as long as they are needed."""
    journal = Journal(state / "node.sqlite")
    devices = devices_of(LinuxKernel(), LinuxVirtualLinks(), OpenVSwitch(), journal, settings.device_specs)
    drivers = load_port_drivers(settings.port_drivers, devices)
    settlement = Settlement(ports=neutron, bus=neutron, journal=journal, host=settings.host, drivers=drivers)
    engine = Engine(
        devices=devices,
        ports=neutron,
        drivers=drivers,
        settlement=settlement,
        host=settings.host,
        patience=Patience(),
    )
    Reconciler(devices=devices, drivers=drivers, engine=engine, settlement=settlement).recover()
    neutron.report_agent(settings.host, devices.pool.mappings(), started=True)
    plugin = Plugin(
        neutron=neutron,
        attachments=engine,
        host=settings.host,
        settings=settings.libnetwork,
        state_dir=state,
    )
    server = PluginServer(plugin.app, listen(state / "kuryr.sock"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield devices, Docker(state / "kuryr.sock")
    finally:
        server.stop()
        thread.join()
        plugin.close()
        journal.close()


@contextmanager
def network_namespace() -> Iterator[int]:
    """Make a network namespace and give it as an open file; it is gone afterwards."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        with Path("/run/netns", NAMESPACE).open() as namespace:
            yield namespace.fileno()
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


def measure(rounds: int) -> Stopwatch:
    """Attach and detach one VF by turns, raw and through mooring."""
    watch, neutron = Stopwatch(), FakeNeutron()
    with tempfile.TemporaryDirectory() as state, running(load().settings, neutron, Path(state)) as (devices, docker):
        network = Network(docker, neutron)
        # The one that mooring takes, too: it is the first that is free.
        member = next(iter(devices.pool.candidates(PHYSICAL_NETWORK)))
        floor = Floor(watch, pf=str(member.pf.netdev), index=member.vf.index, address=str(member.address))
        with network_namespace() as namespace:
            for _ in range(rounds):
                at_rest()
                floor.attach(mac=network.port.mac, vlan=VLAN)
                floor.move(namespace)
                devices.cleaner.clean(member.vf)
                at_rest()
                endpoint = network.run(watch)
                at_rest()
                network.remove(watch, endpoint)
    return watch


if __name__ == "__main__":
    logging.disable()
    # The daemon's log lines are rendered as ever, and go nowhere.
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.LogfmtRenderer()],
        logger_factory=structlog.PrintLoggerFactory(Path("/dev/null").open("w")),  # noqa: SIM115
    )
    print(json.dumps(measure(int(sys.argv[1])).samples))
