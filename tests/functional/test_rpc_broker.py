"""The service's bus on a real RabbitMQ, which goes and comes; on a cloud of its own."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from test_rpc_bus import REPORT, WANTED, Controller, Node

from lab.neutron import NeutronCloud
from mooring.errors import BusUnavailable, ContainerNotFound
from mooring.messaging import Listener
from mooring.rpc.bus import ControllerClient, ControllerServer, NodesClient, serve_controller, serve_node
from mooring.rpc.messages import LogQuery

# oslo.messaging leaves the sockets of lost connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NeutronCloud]:
    cloud = NeutronCloud(tmp_path_factory.mktemp("cloud"))
    cloud.start()
    try:
        yield cloud
    finally:
        cloud.stop()
        # In this module what is left there is excused; later tests would fail of it.
        gc.collect()


@pytest.fixture
def url(broker: NeutronCloud) -> str:
    return broker.facts.service_transport_url()


@pytest.fixture
def to_controller(url: str) -> Iterator[ControllerClient]:
    client = ControllerClient(url)
    yield client
    client.close()


@pytest.fixture
def nodes(url: str) -> Iterator[NodesClient]:
    client = NodesClient(url)
    yield client
    client.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mooring.rpc.bus._PATIENCE_S", 3.0)


@pytest.fixture
def served(url: str) -> Iterator[tuple[Controller, Node]]:
    controller, node = Controller(), Node()
    listeners: list[ControllerServer | Listener] = [
        serve_controller(url, controller),
        serve_node(url, "node1", node),
    ]
    yield controller, node
    for listener in listeners:
        listener.stop(5)


def until_it_answers(ask: Callable[[], object], *, for_s: float = 60) -> object:
    deadline = time.monotonic() + for_s
    while True:
        try:
            return ask()
        except BusUnavailable:
            if time.monotonic() > deadline:
                raise


@pytest.mark.usefixtures("quick")
def test_reports_questions_and_archives_arrive_and_so_do_errors(
    served: tuple[Controller, Node], to_controller: ControllerClient, nodes: NodesClient
) -> None:
    _, node = served
    end = nodes.on("node1")

    assert until_it_answers(lambda: to_controller.sync(REPORT)) == WANTED
    assert until_it_answers(lambda: end.logs("c1", LogQuery(tail=7))) == "c1: 7"
    assert len(end.get_archive("c1", "/etc").data) == 5_000_000
    end.put_archive("c1", "/tmp", "y" * 4_000_000)
    assert node.put == ("c1", "/tmp", 4_000_000)
    end.wake()
    assert node.woken.wait(10)
    node.error = ContainerNotFound("c1")
    with pytest.raises(ContainerNotFound, match="Container c1 could not be found"):
        end.execute("c1", ["true"])


@pytest.mark.usefixtures("quick")
def test_a_node_that_is_not_there_is_given_up_and_is_not_told_old_news_when_it_comes(
    url: str, nodes: NodesClient
) -> None:
    first = Node()
    listener = serve_node(url, "node2", first)
    until_it_answers(lambda: nodes.on("node2").logs("c1", LogQuery()))
    listener.stop(10)

    with pytest.raises(BusUnavailable, match=r"asking node node2 \(logs\)"):
        nodes.on("node2").logs("c1", LogQuery())
    nodes.on("node2").wake()

    second = Node()
    listener = serve_node(url, "node2", second)
    until_it_answers(lambda: nodes.on("node2").logs("c1", LogQuery()))
    assert not second.woken.wait(1)
    listener.stop(10)


@pytest.mark.usefixtures("quick")
def test_calls_give_up_while_the_broker_is_away_and_are_answered_when_it_is_back(
    broker: NeutronCloud,
    served: tuple[Controller, Node],
    to_controller: ControllerClient,
    nodes: NodesClient,
    url: str,
) -> None:
    controller, _ = served
    until_it_answers(lambda: to_controller.sync(REPORT))
    until_it_answers(lambda: nodes.on("node1").logs("c1", LogQuery()))
    broker.stop_broker()
    never_connected = ControllerClient(url)

    began = time.monotonic()
    for ask in (
        lambda: to_controller.sync(REPORT),
        lambda: nodes.on("node1").logs("c1", LogQuery()),
        lambda: nodes.on("node1").wake(),
        lambda: never_connected.sync(REPORT),
    ):
        with pytest.raises(BusUnavailable):
            ask()
    assert time.monotonic() - began < 30

    broker.start_broker()
    heard = controller.reports.qsize()
    assert until_it_answers(lambda: to_controller.sync(REPORT)) == WANTED
    assert until_it_answers(lambda: nodes.on("node1").logs("c1", LogQuery())) == "c1: None"
    assert until_it_answers(lambda: never_connected.sync(REPORT)) == WANTED
    assert controller.reports.qsize() <= heard + 3 + 60 // 3
    never_connected.close()


@pytest.mark.usefixtures("quick")
def test_a_controller_hears_itself_whenever_there_is_a_broker(broker: NeutronCloud, url: str) -> None:
    heard = threading.Semaphore(0)
    server = serve_controller(url, Controller(), on_heard=heard.release)

    def hear() -> None:
        # What is sent before it listens is lost.
        server.call_itself()
        if not heard.acquire(timeout=1):
            raise BusUnavailable("hearing", "nothing yet")

    until_it_answers(hear)
    broker.stop_broker()
    with pytest.raises(BusUnavailable):
        server.call_itself()
    broker.start_broker()
    until_it_answers(hear)
    server.stop(5)


@pytest.mark.usefixtures("quick")
def test_two_controllers_share_the_work_and_one_is_enough(
    url: str, served: tuple[Controller, Node], to_controller: ControllerClient
) -> None:
    first, _ = served
    second = Controller()
    listener = serve_controller(url, second)
    deadline = time.monotonic() + 60
    while not (first.reports.qsize() and second.reports.qsize()) and time.monotonic() < deadline:
        until_it_answers(lambda: to_controller.sync(REPORT))
    assert first.reports.qsize()
    assert second.reports.qsize()

    listener.stop(10)

    for _ in range(4):
        assert until_it_answers(lambda: to_controller.sync(REPORT)) == WANTED


def test_many_questions_at_once_are_all_answered(served: tuple[Controller, Node], nodes: NodesClient) -> None:
    del served
    until_it_answers(lambda: nodes.on("node1").logs("c1", LogQuery()))
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda number=number: answers.append(nodes.on("node1").logs(f"c{number}", LogQuery())))
        for number in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(answers) == sorted(f"c{number}: None" for number in range(40))
