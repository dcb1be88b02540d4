"""A container service in memory: its database, Neutron, hosts with VFs, and the hands of users and operators."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mooring.config.settings import ControllerSettings, NeutronSettings, SchedulerSettings
from mooring.container.model import Container
from mooring.container.spec import ContainerSpec
from mooring.container.states import Status
from mooring.controller.api import Caller, NetworkWish
from mooring.controller.inside import ContainerInside
from mooring.controller.lifecycle import ContainerLifecycle
from mooring.controller.reports import NodeReports
from mooring.controller.rounds import Rounds
from mooring.controller.scheduler.names import DEFAULT_FILTERS
from mooring.controller.scheduler.scheduler import Scheduler
from mooring.controller.worker import Worker
from mooring.db.api import Device
from mooring.db.store import SqlStore
from mooring.errors import ContainerNotFound, DatabaseUnavailable
from mooring.neutron.api import Neutron
from mooring.neutron.model import Network, Port
from mooring.pci.alias import parse_aliases
from mooring.rpc.messages import DeviceReport
from mooring.testing.neutron import FakeNeutron
from mooring.testing.nodes import FakeNode, FakeNodes, card

ALIASES = parse_aliases(['{"name": "nic", "vendor_id": "8086", "product_id": "10ca", "device_type": "VF"}'])
PROJECT = "demo"


def settings(**changes: object) -> ControllerSettings:
    return replace(
        ControllerSettings(
            api_address=("127.0.0.1", 9517),
            authentication="noauth",
            database_url="sqlite://",
            transport_url="fake://",
            neutron=NeutronSettings(),
            scheduler=SchedulerSettings(filters=DEFAULT_FILTERS, multipliers={}),
            aliases=ALIASES,
            quotas={"containers": 40, "cpu": 1000, "memory": 1 << 20, "disk": -1},
        ),
        **changes,
    )


class Clock:
    """Time that goes on by a millisecond whenever somebody looks, and by more when a test says so."""

    def __init__(self) -> None:
        self.now = datetime(2026, 8, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


WRITES = frozenset(
    {"save", "claim", "remove", "take_due", "note_host", "start_action", "finish_action", "add_event", "service_id"}
)


class BreakingStore:
    """A store whose n-th write from now on fails: refused, or done and its answer lost. ``writes`` are their names."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.writes: list[str] = []
        self.before_write: Callable[[str], object] = lambda _: None
        self._failure: tuple[int, bool] | None = None

    def fail_write(self, number: int, *, reply_lost: bool) -> None:
        self._failure = len(self.writes) + number, reply_lost

    def __getattr__(self, name: str) -> object:
        method = getattr(self.store, name)
        if name not in WRITES:
            return method

        def write(*args: object, **kwargs: object) -> object:
            self.before_write(name)
            self.writes.append(name)
            number, reply_lost = self._failure or (0, False)
            if number != len(self.writes):
                return method(*args, **kwargs)
            if reply_lost:
                method(*args, **kwargs)
            raise DatabaseUnavailable(f"write {number} ({name}) was made to fail")

        return write


@dataclass(frozen=True)
class Controller:
    """One of several controllers on one database and one Neutron."""

    lifecycle: ContainerLifecycle
    worker: Worker
    reports: NodeReports
    rounds: Rounds
    inside: ContainerInside


class World:
    """Two networks that SR-IOV can reach, and a project that owns one of them."""

    def __init__(self, **changes: object) -> None:
        self.settings = settings(**changes)
        self.clock = Clock()
        self.store = SqlStore("sqlite://")
        self.neutron = FakeNeutron()
        self.nodes = FakeNodes()
        self.wakes = 0
        self.network = self.neutron.add_network("net", project_id=PROJECT)
        self.subnet = self.neutron.add_subnet(self.network)
        self.controller = self.another_controller()
        self.lifecycle, self.worker = self.controller.lifecycle, self.controller.worker
        self.reports, self.rounds = self.controller.reports, self.controller.rounds
        self.inside = self.controller.inside

    def another_controller(self, store: object = None, neutron: Neutron | None = None) -> Controller:
        kept = store or self.store
        asked = neutron or self.neutron
        scheduler = Scheduler(
            kept,
            self.settings.scheduler,
            aliases=self.settings.aliases,
            silent_s=self.settings.silent_s,
            rng=random.Random(7),  # noqa: S311 - a test repeats itself
        )
        shared: dict[str, object] = {"store": kept, "clock": self.clock}
        return Controller(
            lifecycle=ContainerLifecycle(neutron=asked, settings=self.settings, wake=self._wake, **shared),
            worker=Worker(neutron=asked, nodes=self.nodes, scheduler=scheduler, **shared),
            reports=NodeReports(wake=self._wake, **shared),
            rounds=Rounds(neutron=asked, silent_s=self.settings.silent_s, **shared),
            inside=ContainerInside(store=kept, nodes=self.nodes),
        )

    def _wake(self) -> None:
        self.wakes += 1

    # Hosts

    def add_host(self, name: str = "host-1", *devices: DeviceReport, vfs: int = 7) -> FakeNode:
        node = self.nodes.add(name, *(devices or card(vfs=vfs)))
        networks = {device.physical_network or "": ("ens5",) for device in node.devices}
        self.neutron.add_agent(name, networks)
        self.neutron.add_ovs_agent(name)
        node.sync(self.reports)
        return node

    def sync(self) -> None:
        """Let the timers of all nodes run out."""
        for node in self.nodes.all.values():
            node.sync(self.reports)

    def settle(self) -> None:
        """Let workers and woken nodes do what there is to do at this moment."""
        for _ in range(200):
            did = self.worker.work()
            for node in self.nodes.all.values():
                if node.is_woken:
                    did = True
                    node.sync(self.reports)
            if not did:
                return
        raise AssertionError("it does not come to rest")

    def settle_in_time(self, minutes: float = 12) -> None:
        """Let all that comes by timers come, too: pauses, leases, rounds, nodes' own syncs."""
        for _ in range(int(minutes * 6)):
            self.settle()
            self.clock.pass_(seconds=10)
            self.sync()
            self.rounds.make()
        self.settle()

    # What users have and do

    def caller(self, project: str = PROJECT, *, is_admin: bool = False) -> Caller:
        return Caller(
            user_id="alice",
            project_id=project,
            roles=frozenset({"admin" if is_admin else "member"}),
            is_admin=is_admin,
            request_id=f"req-{uuid.uuid4()}",
        )

    def admin(self) -> Caller:
        return self.caller("admins", is_admin=True)

    def add_network(self, name: str, **attributes: object) -> Network:
        network = self.neutron.add_network(name, **attributes)
        self.neutron.add_subnet(network, f"10.{20 + len(self.neutron.server.tables['networks'])}.0.0/24")
        return network

    def add_port(self, network: Network | None = None, **attributes: object) -> Port:
        return self.neutron.now(self.neutron.add_port(network or self.network, **attributes).id)

    def create(
        self,
        *ports: Port,
        nets: Sequence[NetworkWish] = (),
        run: bool = True,
        caller: Caller | None = None,
        **spec: object,
    ) -> Container:
        wishes = [*(NetworkWish(port=port.id) for port in ports), *nets]
        wanted = ContainerSpec(**{"name": "edge", "image": "cirros", **spec})
        return self.lifecycle.create(caller or self.caller(), wanted, wishes, run=run)

    def running(self, *ports: Port, **spec: object) -> Container:
        container = self.create(*(ports or (self.add_port(),)), **spec)
        self.settle()
        running = self.now(container)
        assert running.status is Status.RUNNING, running.status_reason
        return running

    def delete(self, container: Container) -> None:
        self.lifecycle.delete(self.caller(), container.uuid, stop=True)

    # What is to be seen

    def now(self, container: Container) -> Container:
        found = self.store.container(container.uuid)
        if found is None:
            raise ContainerNotFound(container.uuid)
        return found

    def is_gone(self, container: Container) -> bool:
        return self.store.container(container.uuid) is None

    def claims(self) -> list[Device]:
        return [device for host in self.store.hosts() for device in self.store.devices(host.name) if device.container]

    def is_as_left(self, port: Port) -> bool:
        now = self.neutron.now(port.id)
        return now == replace(port, revision=now.revision, mac=now.mac)

    def made_ports(self) -> list[str]:
        return [
            port["id"]
            for port in self.neutron.server.tables["ports"].values()
            if port["description"].startswith("mooring-container:")
        ]

    def message(self, container: Container, name: str = "create") -> str | None:
        action = next(each for each in self.store.actions(container.uuid) if each.action == name)
        return action.message

    def events(self, container: Container, name: str = "create") -> list[tuple[str, str | None]]:
        action = next(each for each in self.store.actions(container.uuid) if each.action == name)
        return [(each.name, each.result) for each in self.store.action(container.uuid, action.request_id).events]

    def check_nothing_left(self, *ports: Port) -> None:
        """Assert what must be true when no container has anything."""
        assert self.claims() == []
        assert self.made_ports() == []
        for port in ports:
            assert self.is_as_left(port), self.neutron.now(port.id)
