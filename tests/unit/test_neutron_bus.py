"""The message bus in one process: oslo.messaging's own driver for tests stands for the broker."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from structlog.testing import capture_logs

from mooring.errors import NeutronUnreachable
from mooring.messaging import library, open_transport
from mooring.neutron.api import PortNews
from mooring.neutron.bus import NeutronMessageBus

pytestmark = [pytest.mark.exhaustive, pytest.mark.usefixtures("prompt_workers")]

PORT = {"id": "p1", "revision_number": 7, "mac_address": "fa:16:3e:00:00:01"}
# Closing a bus does not wait for long, and a listener that is left behind takes what comes for its host.
HOSTS = (f"node{number}" for number in itertools.count(1))


class Server:
    """Neutron's side: casts to all agents."""

    def __init__(self) -> None:
        self._transport = open_transport("fake:/")

    def cast(self, method: str, *, version: str = "1.0", topic: str = "", **arguments: object) -> None:
        topic = f"q-agent-notifier-{topic or method.replace('_', '-')}"
        target = library().Target(exchange="neutron", topic=topic, version=version, fanout=True)
        library().get_rpc_client(self._transport, target).cast({}, method, **arguments)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def bus() -> Iterator[NeutronMessageBus]:
    bus = NeutronMessageBus("fake:/", timeout=5)
    yield bus
    bus.close()


def test_while_the_broker_is_away_calls_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, returns = threading.Event(), threading.Event()

    def connect(_url: str) -> None:
        tried.set()
        returns.wait(timeout=20)
        raise ConnectionError

    monkeypatch.setattr("mooring.neutron.bus.open_transport", connect)
    bus = NeutronMessageBus("rabbit://away", timeout=0.01)

    for _ in range(10):
        with pytest.raises(NeutronUnreachable):
            bus.report_devices("node1", up=["p1"])

    assert tried.wait(timeout=10)
    assert bus._calls.qsize() == 0
    returns.set()
    bus.close()


def listening(
    bus: NeutronMessageBus, server: Server, heard: Callable[[PortNews], object] = id
) -> SimpleQueue[PortNews]:
    """Return the news from when the subscription is in effect."""
    news: SimpleQueue[PortNews] = SimpleQueue()

    def on_change(item: PortNews) -> None:
        news.put(item)
        heard(item)

    bus.listen(next(HOSTS), on_change)
    for method, arguments in (
        ("port_update", {"port": PORT | {"id": "marker"}}),
        ("port_delete", {"port_id": "marker"}),
        ("network_update", {"network": {"id": "marker"}}),
    ):
        for _ in range(100):
            server.cast(method, **arguments)
            with suppress(Empty):
                news.get(timeout=0.1)
                break
        else:
            pytest.fail("no news came")
    return news


def about(news: SimpleQueue[PortNews], subject: str) -> PortNews:
    while True:
        item = news.get(timeout=10)
        if subject in (item.port_id, item.network_id):
            return item


@pytest.mark.parametrize(
    ("method", "version", "arguments", "expected"),
    [
        ("port_update", "1.0", {"port": PORT, "network_type": "vlan"}, PortNews(port_id="p1", revision=7)),
        ("port_delete", "1.0", {"port_id": "p1"}, PortNews(port_id="p1", deleted=True)),
        ("network_update", "1.4", {"network": {"id": "p1", "mtu": 1400}}, PortNews(network_id="p1")),
    ],
)
def test_what_the_server_casts_is_told(
    bus: NeutronMessageBus, server: Server, method: str, version: str, arguments: dict[str, Any], expected: PortNews
) -> None:
    news = listening(bus, server)

    server.cast(method, version=version, **arguments)

    assert about(news, "p1") == expected


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("port_frobnicate", {"port": PORT}), ("port_update", {"something": "else"}), ("port_update", {"port": {}})],
)
def test_what_is_not_understood_is_passed_over(
    bus: NeutronMessageBus, server: Server, method: str, arguments: dict[str, Any]
) -> None:
    news = listening(bus, server)

    server.cast(method, topic="port-update", **arguments)
    server.cast("port_update", port=PORT | {"id": "p2"})

    assert about(news, "p2").port_id == "p2"


def test_a_listener_that_fails_is_logged_and_told_the_next_news(bus: NeutronMessageBus, server: Server) -> None:
    def heard(item: PortNews) -> None:
        if item.port_id == "p1":
            raise OSError("the listener stumbles")

    news = listening(bus, server, heard)

    with capture_logs() as logs:
        server.cast("port_update", port=PORT)
        server.cast("port_update", port=PORT | {"id": "p2"})
        about(news, "p2")

    assert ("neutron.news-not-taken", "p1") in [(entry["event"], entry.get("port")) for entry in logs]


def test_listening_waits_for_an_absent_broker_in_a_thread_of_its_own() -> None:
    """And neither closing nor the end of the program wait for it."""
    program = (
        "from mooring.neutron.bus import NeutronMessageBus\n"
        "bus = NeutronMessageBus('rabbit://nobody:nothing@127.0.0.1:1/')\n"
        "bus.listen('node1', print)\n"
        "bus.close()\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_library_is_loaded_without_eventlet() -> None:
    program = (
        "import sys\n"
        "from mooring.messaging import open_transport\n"
        "open_transport('rabbit://nobody:nothing@127.0.0.1:1/')\n"
        "print('eventlet' in sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning:eventlet"}

    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "False\n"
