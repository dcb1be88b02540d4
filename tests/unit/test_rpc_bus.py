"""Controllers and nodes in one process: oslo.messaging's in-process driver stands for the broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address, ip_network
from queue import SimpleQueue

import pytest

from mooring.container.spec import ContainerSpec
from mooring.container.states import Status, Verb
from mooring.errors import BusUnavailable, ContainerNotFound, EngineRefused, InvalidRequest, MooringError, WrongState
from mooring.messaging import open_transport
from mooring.neutron.model import FixedIp, Network, Port, Route, Segment, Subnet
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind
from mooring.rpc.api import NodeEnd
from mooring.rpc.bus import ControllerClient, NodesClient, serve_controller, serve_node
from mooring.rpc.messages import (
    Archive,
    ContainerReport,
    DeviceReport,
    Done,
    Failure,
    FailureKind,
    HostFacts,
    Image,
    LogQuery,
    NodeReport,
    Output,
    ProcessTable,
    Usage,
    Wanted,
    WantedContainer,
    WantedInterface,
    WantedOperation,
)
from mooring.rpc.procedures import Procedures

pytestmark = [pytest.mark.exhaustive, pytest.mark.usefixtures("prompt_workers")]

URL = "fake://"
VF = PciAddress.parse("0000:3b:02.1")
FACTS = HostFacts(
    cpus=2, memory_mib=1024, disk_gib=9, architecture="x86_64", os_type="linux", os="Debian", kernel_version="6.1"
)
REPORT = NodeReport(
    host="node1",
    boot_id="b1",
    facts=FACTS,
    devices=(DeviceReport(address=VF, kind=DeviceKind.VF, vendor_id="8086", product_id="10ca", parent=VF),),
    containers=(
        ContainerReport(
            uuid="c1",
            status=Status.RUNNING,
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            done=Done(number=1, failure=Failure(kind=FailureKind.REFUSED, message="taken")),
        ),
    ),
)
SUBNET = Subnet(
    id="s1",
    network_id="n1",
    name="",
    cidr=ip_network("10.0.0.0/24"),
    gateway=ip_address("10.0.0.1"),
    host_routes=(Route(destination=ip_network("10.9.0.0/16"), nexthop=ip_address("10.0.0.9")),),
)
WANTED = Wanted(
    service="s1",
    containers=(
        WantedContainer(
            uuid="c1",
            spec=ContainerSpec(name="web", image="nginx", hints={"pci_passthrough:alias": "a:1"}),
            interfaces=(
                WantedInterface(
                    port=Port(
                        id="p1",
                        network_id="n1",
                        mac="fa:16:3e:00:00:01",
                        revision=3,
                        fixed_ips=(FixedIp(subnet_id="s1", address=ip_address("fd00::5")),),
                        profile={"pci_slot": str(VF)},
                        vif_details={"vlan": "100"},
                        tags=frozenset({"a"}),
                    ),
                    network=Network(
                        id="n1",
                        name="net",
                        mtu=1500,
                        segments=(Segment(network_type="vlan", physical_network="physnet1", segmentation_id=100),),
                    ),
                    subnets=(SUBNET,),
                    device=VF,
                ),
            ),
            devices=(VF,),
            operation=WantedOperation(number=1, verb=Verb.CREATE, arguments={"run": True, "timeout": 5}),
        ),
    ),
)


class Controller:
    """Answers reports with what is wanted, or with an error."""

    def __init__(self) -> None:
        self.reports: SimpleQueue[NodeReport] = SimpleQueue()
        self.error: Exception | None = None

    def sync(self, report: NodeReport) -> Wanted:
        self.reports.put(report)
        if self.error is not None:
            raise self.error
        return WANTED


class Node:
    """Answers each question with what it was asked."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.error: Exception | None = None
        self.holding = threading.Event()
        self.holding.set()

    def wake(self) -> None:
        self.woken.set()

    def execute(self, uuid: str, command: Sequence[str]) -> Output:
        self.holding.wait(10)
        if self.error is not None:
            raise self.error
        return Output(text=f"{uuid}: {' '.join(command)}", exit_code=3)

    def logs(self, uuid: str, query: LogQuery) -> str:
        return f"{uuid}: {query.tail}"

    def top(self, uuid: str, ps_arguments: str | None) -> ProcessTable:
        return ProcessTable(titles=(uuid,), processes=((str(ps_arguments),),))

    def stats(self, uuid: str) -> Usage:
        return Usage(
            cpu_percent=len(uuid),
            memory_bytes=1,
            memory_limit_bytes=2,
            block_read_bytes=3,
            block_write_bytes=4,
            received_bytes=5,
            sent_bytes=6,
        )

    def get_archive(self, uuid: str, path: str) -> Archive:
        return Archive(data="x" * 5_000_000, stat={"name": path, "size": len(uuid)})

    def put_archive(self, uuid: str, path: str, data: str) -> None:
        self.put = uuid, path, len(data)

    def commit(self, uuid: str, repository: str, tag: str | None) -> str:
        return f"{uuid} {repository} {tag}"

    def resize_terminal(self, uuid: str, width: int, height: int) -> None:
        self.resized = uuid, width, height

    def images(self) -> tuple[Image, ...]:
        return (Image(id="i1", repository="nginx", tag="latest", size_bytes=9),)

    def pull(self, image: str) -> Image:
        return Image(id="i2", repository=image, tag="1", size_bytes=8)


@pytest.fixture
def controller() -> Iterator[Controller]:
    controller = Controller()
    listener = serve_controller(URL, controller)
    yield controller
    listener.stop(5)


def test_each_controller_hears_what_it_sends_itself() -> None:
    heard: tuple[SimpleQueue[None], SimpleQueue[None]] = SimpleQueue(), SimpleQueue()
    servers = [serve_controller(URL, Controller(), on_heard=partial(each.put, None)) for each in heard]
    try:
        for server in (*[servers[0]] * 8, servers[1]):
            server.call_itself()
        # Each hears in order: when it has answered this, nothing that was sent to it before is still on its way.
        for server in servers:
            server._caller.ask(
                server._receiver, "asking", "sync", {"report": REPORT.model_dump(mode="json")}, timeout_s=10
            )
    finally:
        for server in servers:
            server.stop(10)

    assert [each.qsize() for each in heard] == [8, 1]


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    listener = serve_node(URL, "node1", node)
    yield node
    node.holding.set()
    listener.stop(5)


@pytest.fixture
def to_controller() -> Iterator[ControllerClient]:
    client = ControllerClient(URL)
    yield client
    client.close()


@pytest.fixture
def nodes() -> Iterator[NodesClient]:
    client = NodesClient(URL)
    yield client
    client.close()


def test_a_report_and_what_is_wanted_arrive_as_they_were_sent(
    controller: Controller, to_controller: ControllerClient
) -> None:
    assert to_controller.sync(REPORT) == WANTED
    assert controller.reports.get(timeout=5) == REPORT


def test_every_question_reaches_the_node_of_its_host(node: Node, nodes: NodesClient) -> None:
    end = nodes.on("node1")

    assert end.execute("c1", ["echo", "hi"]) == Output(text="c1: echo hi", exit_code=3)
    assert end.logs("c1", LogQuery(tail=7)) == "c1: 7"
    assert end.top("c1", "aux") == ProcessTable(titles=("c1",), processes=(("aux",),))
    assert end.stats("c1").cpu_percent == 2
    end.put_archive("c1", "/tmp", "y" * 4_000_000)
    assert node.put == ("c1", "/tmp", 4_000_000)
    assert end.commit("c1", "repo", None) == "c1 repo None"
    end.resize_terminal("c1", 80, 24)
    assert node.resized == ("c1", 80, 24)
    assert [image.id for image in end.images()] == ["i1"]
    assert end.pull("nginx").repository == "nginx"


@pytest.mark.usefixtures("node")
def test_an_archive_of_some_megabytes_arrives_whole(nodes: NodesClient) -> None:
    archive = nodes.on("node1").get_archive("c1", "/etc")

    assert len(archive.data) == 5_000_000
    assert archive.stat == {"name": "/etc", "size": 2}


def test_a_node_is_woken_and_nobody_waits_for_it(node: Node, nodes: NodesClient) -> None:
    nodes.on("node1").wake()
    nodes.on("nowhere").wake()

    assert node.woken.wait(5)


def test_a_slow_answer_keeps_no_other_call_waiting(node: Node, nodes: NodesClient) -> None:
    node.holding.clear()
    slow = threading.Thread(target=lambda: nodes.on("node1").execute("c1", ["sleep"]))
    slow.start()

    assert nodes.on("node1").logs("c1", LogQuery()) == "c1: None"

    assert slow.is_alive()
    node.holding.set()
    slow.join(10)


@pytest.mark.parametrize(
    "error",
    [ContainerNotFound("c1"), WrongState("c1", "execute", "Stopped"), EngineRefused("executing", 409, "it is paused")],
)
def test_our_errors_arrive_as_they_were_raised(node: Node, nodes: NodesClient, error: MooringError) -> None:
    node.error = error

    with pytest.raises(type(error)) as raised:
        nodes.on("node1").execute("c1", ["true"])

    assert (str(raised.value), vars(raised.value)) == (str(error), vars(error))


def test_other_errors_arrive_without_their_internals(node: Node, nodes: NodesClient) -> None:
    node.error = RuntimeError("password=secret")

    with pytest.raises(BusUnavailable, match=r"asking node node1 \(execute\).*its? failed there") as raised:
        nodes.on("node1").execute("c1", ["true"])

    assert "secret" not in str(raised.value)


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("dance", {}, "knows no call dance"),
        ("logs", {"uuid": "c1"}, r"logs: what came is not understood here \('query' is missing"),
        ("logs", {"uuid": "c1", "query": {"tail": "secret"}}, r"logs: what came .*tail: Input should be a valid int"),
    ],
)
def test_a_message_that_is_not_understood_is_refused_without_its_values(
    nodes: NodesClient, name: str, arguments: dict[str, object], problem: str
) -> None:
    end = nodes.on("node1")

    reply = end._caller.ask(end._receiver, "asking", name, arguments, timeout_s=5)

    with pytest.raises(InvalidRequest, match=problem) as raised:
        Procedures(NodeEnd).unpack("logs", "asking", reply)
    assert "secret" not in str(raised.value)


def test_who_is_not_there_is_waited_for_no_longer_than_the_bound(
    to_controller: ControllerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.rpc.bus._PATIENCE_S", 0.2)

    with pytest.raises(BusUnavailable, match=r"reporting to a controller: no answer over the message bus"):
        to_controller.sync(REPORT)


def test_while_the_broker_is_away_calls_give_up_and_are_not_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = threading.Event()

    def connect(_url: str) -> None:
        returns.wait(timeout=20)
        raise ConnectionError("refused")

    monkeypatch.setattr("mooring.rpc.caller.open_transport", connect)
    monkeypatch.setattr("mooring.rpc.bus._PATIENCE_S", 0.05)
    client = ControllerClient("rabbit://away")
    before = threading.active_count()

    for _ in range(10):
        with pytest.raises(BusUnavailable, match="no connection to the broker"):
            client.sync(REPORT)

    assert threading.active_count() <= before + 1
    returns.set()
    client.close()


def test_a_connection_that_could_not_be_made_is_tried_again(
    controller: Controller, to_controller: ControllerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_url: str) -> None:
        raise ConnectionError("refused")

    with monkeypatch.context() as patched:
        patched.setattr("mooring.rpc.caller.open_transport", refuse)
        with pytest.raises(BusUnavailable, match="ConnectionError: refused"):
            to_controller.sync(REPORT)

    assert to_controller.sync(REPORT) == WANTED
    assert controller.reports.qsize() == 1


def test_a_client_that_was_closed_connects_no_more(
    controller: Controller, to_controller: ControllerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert to_controller.sync(REPORT) == WANTED
    opened: list[str] = []
    monkeypatch.setattr("mooring.rpc.caller.open_transport", opened.append)

    to_controller.close()
    with pytest.raises(BusUnavailable, match="was closed"):
        to_controller.sync(REPORT)

    assert opened == []
    assert controller.reports.qsize() == 1


def test_a_connection_that_comes_after_its_client_was_closed_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    opening, may_open, closed = threading.Event(), threading.Event(), threading.Event()

    def open_late(url: str) -> object:
        opening.set()
        may_open.wait(20)
        transport = open_transport(url)
        clean_up = transport.cleanup

        def close() -> None:
            clean_up()
            closed.set()

        monkeypatch.setattr(transport, "cleanup", close)
        return transport

    monkeypatch.setattr("mooring.rpc.caller.open_transport", open_late)
    monkeypatch.setattr("mooring.rpc.bus._PATIENCE_S", 0.05)
    client = ControllerClient(URL)
    with pytest.raises(BusUnavailable, match="no connection to the broker"):
        client.sync(REPORT)
    assert opening.wait(20)

    client.close()
    may_open.set()

    assert closed.wait(20)


def test_any_of_two_controllers_answers_and_only_one(controller: Controller, to_controller: ControllerClient) -> None:
    other = Controller()
    listener = serve_controller(URL, other)

    for _ in range(4):
        assert to_controller.sync(REPORT) == WANTED

    listener.stop(5)
    assert controller.reports.qsize() + other.reports.qsize() == 4


def test_clients_hurry_nobody_at_their_end() -> None:
    began = time.monotonic()

    ControllerClient("rabbit://nobody:nothing@127.0.0.1:1/").close()

    assert time.monotonic() - began < 1
