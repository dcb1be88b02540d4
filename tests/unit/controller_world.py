"""A container service in memory: its database, Neutron, hosts with VFs, and the hands of users and operators."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

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
from mooring.db.api import ContainerQuery, Device
from mooring.db.store import SqlStore
from mooring.db.tables import metadata
from mooring.errors import ContainerNotFound, DatabaseUnavailable
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


@cache
def _one_store() -> SqlStore:
    return SqlStore("sqlite://")


def empty_store() -> SqlStore:
    """Return a database with nothing in it. All tests have the same one: what makes SQL keeps what it has made."""
    store = _one_store()
    with store._database.engine.begin() as db:
        for table in reversed(metadata.sorted_tables):
            db.execute(table.delete())
    return store


class Crash(BaseException):
    """The death of a controller: nothing that it has in memory is there any more."""


WRITES = frozenset(
    {
        "save",
        "grow",
        "claim",
        "remove",
        "take_due",
        "note_host",
        "start_action",
        "finish_action",
        "add_event",
        "service_id",
    }
)


class BreakingStore:
    """A store whose n-th write from now on fails: refused, or done and its answer lost. ``writes`` are their names.

    ``before_write`` is called before each.
    """

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.writes: list[str] = []
        self.before_write: Callable[[str], object] = lambda _: None
        self._failure: tuple[int, bool, BaseException] | None = None

    def fail_write(self, number: int, *, reply_lost: bool, error: BaseException | None = None) -> None:
        error = error or DatabaseUnavailable(f"write {number} was made to fail")
        self._failure = len(self.writes) + number, reply_lost, error

    def __getattr__(self, name: str) -> object:
        method = getattr(self.store, name)
        if name not in WRITES:
            return method

        def write(*args: object, **kwargs: object) -> object:
            self.before_write(name)
            self.writes.append(name)
            if self._failure is None or self._failure[0] != len(self.writes):
                return method(*args, **kwargs)
            _, reply_lost, error = self._failure
            if reply_lost:
                method(*args, **kwargs)
            raise error

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

    def __init__(self, store: SqlStore | None = None, **changes: object) -> None:
        self.settings = settings(**changes)
        self.clock = Clock()
        self.store = BreakingStore(store or empty_store())
        self.neutron = FakeNeutron()
        self.nodes = FakeNodes()
        self.wakes = 0
        self.network = self.neutron.add_network("net", project_id=PROJECT)
        self.subnet = self.neutron.add_subnet(self.network)
        self.start_controller()

    def start_controller(self) -> None:
        """Put a new controller in the place of the one that there is."""
        controller = self.another_controller()
        self.lifecycle, self.worker = controller.lifecycle, controller.worker
        self.reports, self.rounds, self.inside = controller.reports, controller.rounds, controller.inside

    def another_controller(self, store: BreakingStore | None = None) -> Controller:
        """Return one more, with its own way to the same database where ``store`` is one."""
        kept, asked = store or self.store, self.neutron
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
            did = self.attempt(self.worker.work)
            for node in self.nodes.all.values():
                if node.is_woken:
                    did = True
                    self.attempt(lambda node=node: node.sync(self.reports))
            if not did:
                return
        raise AssertionError("it does not come to rest")

    def attempt(self, work: Callable[[], object]) -> bool:
        """Do what a controller's thread does, and tell whether there may be more; start one that died anew."""
        try:
            return bool(work())
        except DatabaseUnavailable:
            return True
        except Crash:
            self.start_controller()
            return True

    def come_to_rest(self) -> None:
        """Let the timers run out, too, until there is nothing that anybody waits for: pauses, leases, nodes' syncs."""
        for _ in range(50):
            self.settle()
            for node in self.nodes.all.values():
                self.attempt(lambda node=node: node.sync(self.reports))
            self.settle()
            waiting = [each.due_at for each in self.store.containers(ContainerQuery()) if each.due_at is not None]
            if not waiting:
                return
            self.clock.now = max(self.clock.now, *waiting)
        raise AssertionError("it does not come to rest")

    def make_rounds(self) -> None:
        """Let a quarter of an hour of rounds be made."""
        for _ in range(4):
            self.attempt(self.rounds.make)
            self.clock.pass_(minutes=5)
            self.sync()
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

    def is_over(self, container: Container, name: str) -> bool:
        action = next(each for each in self.store.actions(container.uuid) if each.action == name)
        return action.finish is not None

    def events(self, container: Container, name: str = "create") -> list[tuple[str, str | None]]:
        action = next(each for each in self.store.actions(container.uuid) if each.action == name)
        return [(each.name, each.result) for each in self.store.action(container.uuid, action.request_id).events]

    def check_nothing_left(self, *ports: Port) -> None:
        """Assert what must be true when no container has anything."""
        assert self.claims() == []
        assert self.made_ports() == []
        for port in ports:
            assert self.is_as_left(port), self.neutron.now(port.id)
