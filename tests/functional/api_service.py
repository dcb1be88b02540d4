"""The API as a controller serves it: the real core on a real socket, over a Neutron and hosts in memory."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mooring.api.app import create_app, refusal
from mooring.config.settings import ControllerSettings, NeutronSettings, SchedulerSettings
from mooring.controller.clock import utc_now
from mooring.controller.inside import ContainerInside
from mooring.controller.lifecycle import ContainerLifecycle
from mooring.controller.reports import NodeReports
from mooring.controller.rounds import Rounds
from mooring.controller.scheduler.names import DEFAULT_FILTERS
from mooring.controller.scheduler.scheduler import Scheduler
from mooring.controller.worker import Worker
from mooring.controller.workers import Workers
from mooring.db.store import SqlStore
from mooring.neutron.model import Network, Port
from mooring.process.server import Server
from mooring.process.watchdog import Watchdog
from mooring.testing.neutron import FakeNeutron
from mooring.testing.nodes import FakeNodes, card

PROJECT = "projA"
HOSTS = ("node1", "node2")
VFS = 2

_SYNC_S = 0.05


class ServedApi:
    """One controller with its workers, and two hosts with two VFs each on physnet2."""

    def __init__(self, directory: Path) -> None:
        settings = ControllerSettings(
            api_address=("127.0.0.1", 0),
            authentication="noauth",
            database_url=f"sqlite:///{directory}/service.sqlite",
            transport_url="",
            neutron=NeutronSettings(),
            scheduler=SchedulerSettings(filters=DEFAULT_FILTERS, multipliers={}),
            aliases={},
            quotas={"containers": 40.0, "cpu": 200.0, "memory": 1 << 20, "disk": -1.0},
        )
        self.store = SqlStore(settings.database_url)
        self.neutron = FakeNeutron()
        self.nodes = FakeNodes()
        self.network = self.add_network("sriov", "198.51.100.0/24", vlan=150)
        self._stopping = threading.Event()
        scheduler = Scheduler(self.store, settings.scheduler, aliases=settings.aliases, silent_s=settings.silent_s)
        self._workers = Workers(
            worker=Worker(store=self.store, neutron=self.neutron, nodes=self.nodes, scheduler=scheduler),
            rounds=Rounds(store=self.store, neutron=self.neutron, silent_s=settings.silent_s).make,
            count=2,
            watchdog=Watchdog(),
        )
        self._reports = NodeReports(store=self.store, wake=self._workers.wake)
        for name in HOSTS:
            self.nodes.add(name, *card(vfs=VFS)).sync(self._reports)
            self.neutron.add_agent(name, {"physnet2": ("ens5",)})
            self.neutron.add_ovs_agent(name)
        app = create_app(
            lifecycle=ContainerLifecycle(
                store=self.store, neutron=self.neutron, settings=settings, wake=self._workers.wake
            ),
            inside=ContainerInside(store=self.store, nodes=self.nodes),
            store=self.store,
            settings=settings,
            clock=utc_now,
        )
        listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        self._server = Server(app, listener, max_body=settings.max_body_bytes, refusal=refusal, patience_s=5.0)
        self._threads = [threading.Thread(target=self._server.run), threading.Thread(target=self._run_hosts)]

    def start(self) -> None:
        """Serve."""
        self._workers.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop all that was started."""
        self._server.stop()
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._workers.stop()
        self.store.close()

    def add_network(self, name: str, cidr: str, *, vlan: int) -> Network:
        """Add a network of the project's."""
        network = self.neutron.add_network(name, vlan=vlan, project_id=PROJECT)
        self.neutron.add_subnet(network, cidr)
        return network

    def add_port(self, network: Network | None = None, **attributes: Any) -> Port:  # noqa: ANN401 - Neutron's own
        """Add a port of the project's."""
        return self.neutron.add_port(network or self.network, **{"project_id": PROJECT, **attributes})

    def _run_hosts(self) -> None:
        while not self._stopping.wait(_SYNC_S):
            for node in self.nodes.all.values():
                node.sync(self._reports)


@contextmanager
def served_api(directory: Path) -> Iterator[ServedApi]:
    """Serve for a while."""
    api = ServedApi(directory)
    api.start()
    try:
        yield api
    finally:
        api.stop()
