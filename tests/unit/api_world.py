"""The API's application over a core, asked as a client asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from wsgiref.types import WSGIApplication

from controller_world import empty_store
from werkzeug.test import Client, TestResponse

from mooring.api.app import create_app
from mooring.config.settings import ControllerSettings, NeutronSettings, SchedulerSettings
from mooring.container.model import ClaimedDevice, Container, InterfacePhase
from mooring.container.states import Status
from mooring.controller.inside import ContainerInside
from mooring.controller.lifecycle import ContainerLifecycle
from mooring.db.api import Capacity
from mooring.errors import BusUnavailable, EngineRefused
from mooring.neutron.model import Port
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind
from mooring.rpc.messages import Archive, DeviceReport, HostFacts, Image, LogQuery, Output, ProcessTable, Usage
from mooring.testing.neutron import FakeNeutron

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)

SETTINGS = ControllerSettings(
    api_address=("127.0.0.1", 9517),
    authentication="noauth",
    database_url="sqlite://",
    transport_url="fake://",
    neutron=NeutronSettings(),
    scheduler=SchedulerSettings(filters=(), multipliers={}),
    aliases={},
    quotas={"containers": 40.0, "cpu": 20.0, "memory": 51200.0, "disk": 100.0},
)

PF = PciAddress.parse("0000:3b:00.0")
FACTS = HostFacts(
    cpus=16,
    memory_mib=64000,
    disk_gib=200,
    architecture="x86_64",
    os_type="linux",
    os="Linux",
    kernel_version="6.8",
    labels={"rack": "r1"},
)

MEMBER = "alice:projA"
READER = "rita:projA:reader"
OTHER = "bob:projB"
ADMIN = "root:projX:admin"
NOBODY = "mallory:projA:guest"


class Api:
    """Asks an application; ``token`` says who asks where a request does not."""

    def __init__(self, app: WSGIApplication, *, token: str | None = MEMBER) -> None:
        self._client = Client(app)
        self._token = token

    def ask(self, method: str, path: str, *, token: str | None = None, **request: Any) -> TestResponse:  # noqa: ANN401
        headers = {"OpenStack-API-Version": "container 1.40", **request.pop("headers", {})}
        if sender := token or self._token:
            headers.setdefault("X-Auth-Token", sender)
        return self._client.open(path, method=method, headers=headers, **request)

    def get(self, path: str, **request: object) -> TestResponse:
        return self.ask("GET", path, **request)

    def post(self, path: str, **request: object) -> TestResponse:
        return self.ask("POST", path, **request)


def coreless(*, token: str | None = MEMBER, policy_file: Path | None = None, **settings: Any) -> Api:  # noqa: ANN401
    """Return the API without a core, for what is decided before one is asked."""
    if policy_file is None and not settings:
        return Api(_usual(), token=token)
    return Api(_coreless(replace(SETTINGS, policy_file=policy_file, **settings)), token=token)


@cache
def _usual() -> WSGIApplication:
    return _coreless(SETTINGS)


def _coreless(settings: ControllerSettings) -> WSGIApplication:
    nothing: Any = None
    return create_app(lifecycle=nothing, inside=nothing, store=nothing, settings=settings, clock=lambda: NOW)


def title(response: TestResponse) -> str:
    """Return what Zun's client shows of an error."""
    return str(response.json["errors"][0]["title"])


class Node:
    """The node of one host, as far as it answers while a client waits. ``away`` is a bus that nobody answers on."""

    def __init__(self) -> None:
        self.away = False
        self.files: dict[str, str] = {}
        self.executed: list[tuple[str, ...]] = []
        self.queries: list[LogQuery] = []
        self.sizes: list[tuple[int, int]] = []

    def wake(self) -> None:
        pass

    def execute(self, uuid: str, command: Sequence[str]) -> Output:
        self._answer(uuid)
        self.executed.append(tuple(command))
        if command[0] == "nonsense":
            raise EngineRefused(f"running {command[0]}", 400, 'exec: "nonsense": executable file not found')
        return Output(text="hello\n", exit_code=3)

    def logs(self, uuid: str, query: LogQuery) -> str:
        self._answer(uuid)
        self.queries.append(query)
        return 'it says "hello"\n'

    def top(self, uuid: str, ps_arguments: str | None) -> ProcessTable:
        self._answer(uuid)
        return ProcessTable(titles=("PID", "CMD"), processes=(("4711", f"sleep {ps_arguments}"),))

    def stats(self, uuid: str) -> Usage:
        self._answer(uuid)
        return Usage(
            cpu_percent=0.4,
            memory_bytes=3 << 20,
            memory_limit_bytes=256 << 20,
            block_read_bytes=0,
            block_write_bytes=1,
            received_bytes=1024,
            sent_bytes=2048,
        )

    def get_archive(self, uuid: str, path: str) -> Archive:
        self._answer(uuid)
        if path not in self.files:
            raise EngineRefused(f"reading {path}", 404, f"Could not find the file {path}")
        return Archive(data=self.files[path], stat={"name": path, "size": 1, "mode": 420})

    def put_archive(self, uuid: str, path: str, data: str) -> None:
        self._answer(uuid)
        self.files[path] = data

    def commit(self, uuid: str, repository: str, tag: str | None) -> str:
        self._answer(uuid)
        return f"sha256:{repository}-{tag}"

    def resize_terminal(self, uuid: str, width: int, height: int) -> None:
        self._answer(uuid)
        self.sizes.append((width, height))

    def images(self) -> tuple[Image, ...]:
        self._answer("images")
        return (Image(id="sha256:1", repository="cirros", tag="latest", size_bytes=12),)

    def pull(self, image: str) -> Image:
        self._answer(image)
        return Image(id="sha256:2", repository=image, tag="latest", size_bytes=34)

    def _answer(self, about: str) -> None:
        if self.away:
            raise BusUnavailable(f"asking node1 about {about}", "no reply in 60 s")


class OneNode:
    """Nodes, of which there is one."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def on(self, _: str) -> Node:
        return self._node


class _Part:
    """A part of the current service."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> object:
        return getattr(getattr(Service.current, self._name), method)


@cache
def _served() -> WSGIApplication:
    parts: dict[str, Any] = {name: _Part(name) for name in ("lifecycle", "inside", "store")}
    return create_app(**parts, settings=SETTINGS, clock=lambda: Service.current.clock())  # noqa: PLW0108 - of then


class Service:
    """The API over the real core, a real database in memory, a Neutron and a node that are fakes.

    Nothing happens to a container but what a test says: ``put`` brings it where its node would have. One application
    serves the latest of them all: making it takes longer than most tests.
    """

    current: ClassVar[Service]

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - a ControllerSettings' own
        self.now = NOW
        self.store = empty_store()
        self.neutron = FakeNeutron()
        self.node = Node()
        self.network = self.neutron.add_network("sriov", project_id="projA")
        self.subnet = self.neutron.add_subnet(self.network, "198.51.100.0/24")
        configured = replace(SETTINGS, **settings)
        self.lifecycle = ContainerLifecycle(
            store=self.store, neutron=self.neutron, settings=configured, wake=lambda: None, clock=self.clock
        )
        self.inside = ContainerInside(store=self.store, nodes=OneNode(self.node))
        self.api = Api(_served())
        Service.current = self

    def clock(self) -> datetime:
        """Tell the time, which stands still but for this."""
        self.now += timedelta(seconds=1)
        return self.now

    def add_host(self, name: str = "node1", *, vfs: int = 2) -> None:
        """Let a node report."""
        pf = DeviceReport(
            address=PF,
            kind=DeviceKind.PF,
            vendor_id="8086",
            product_id="10c9",
            physical_network="physnet2",
            numa_node=0,
        )
        virtual = [
            DeviceReport(
                address=PciAddress(PF.domain, PF.bus, 0x10, index),
                kind=DeviceKind.VF,
                vendor_id="8086",
                product_id="10ca",
                parent=PF,
                physical_network="physnet2",
                numa_node=0,
            )
            for index in range(vfs)
        ]
        self.store.note_host(name, boot_id="b1", facts=FACTS, devices=[pf, *virtual], now=self.now)

    def add_port(self, **attributes: Any) -> Port:  # noqa: ANN401 - Neutron's own
        return self.neutron.add_port(self.network, **{"address": "198.51.100.7", "project_id": "projA", **attributes})

    def create(self, *, token: str = MEMBER, **fields: object) -> dict[str, Any]:
        """Create a container on a port of its own."""
        fields.setdefault("nets", [{"port": self.add_port(address=None).id}])
        response = self.api.post("/v1/containers", token=token, json={"image": "cirros", **fields})
        assert response.status_code == 202, response.text
        return dict(response.json)

    def put(self, uuid: str, status: Status, **changes: Any) -> Container:  # noqa: ANN401 - a Container's own
        """Bring a container onto node1, with what it was told done, as worker and node do."""
        container = self.store.container(uuid)
        assert container is not None
        interfaces = tuple(replace(each, phase=InterfacePhase.BOUND) for each in container.interfaces)
        done = {"is_given": True, "done": container.operation.number, "task_state": None, "interfaces": interfaces}
        return self.store.save(replace(container, host="node1", status=status, **{**done, **changes}))

    def claim(self, uuid: str) -> None:
        """Give a container the first VF of node1, and a program's device by an alias."""
        container = self.store.container(uuid)
        assert container is not None
        device = next(each for each in self.store.devices("node1") if each.report.kind is DeviceKind.VF)
        pick = ClaimedDevice(
            row=device.row,
            address=device.report.address,
            parent=device.report.parent,
            vendor_info="8086:10ca",
            physical_network="physnet2",
            numa_node=0,
        )
        picks = {container.interfaces[0].id: pick}
        self.store.claim(container, host=self.store.host("node1"), picks=picks, capacity=Capacity())
