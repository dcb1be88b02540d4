"""News while the message broker goes and comes, on a cloud of its own: no other test could use this one meanwhile."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from lab.neutron import NeutronCloud

# A process of its own, too: connections that were lost leave sockets to its garbage collector.
LISTENER = """
import sys
from mooring.neutron.bus import NeutronMessageBus
bus = NeutronMessageBus(sys.argv[1])
bus.listen("listener", lambda news: print(news.port_id, flush=True))
print("started", flush=True)
sys.stdin.read()
bus.close()
"""


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[NeutronCloud]:
    cloud = NeutronCloud(tmp_path)
    cloud.start()
    try:
        yield cloud
    finally:
        cloud.stop()


class Listener:
    """A process that prints the ids of the ports it hears of."""

    def __init__(self, transport_url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", LISTENER, transport_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.lines: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.put(line.strip())

    def end(self) -> int:
        """Let it end by itself, and return its exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._reader.join(30)
        self._process.stdout.close()
        return self._process.wait(30)


def hears(listener: Listener, cloud: NeutronCloud, port_id: str) -> bool:
    """Change a port until the change is told."""
    with cloud.client("mooring") as client:
        for admin_state_up in itertools.islice(itertools.cycle((False, True)), 60):
            client.update("port", port_id, admin_state_up=admin_state_up)
            try:
                while listener.lines.get(timeout=1) != port_id:
                    pass
            except Empty:
                continue
            return True
    return False


def test_news_comes_when_an_absent_broker_comes_and_when_it_comes_back(own_cloud: NeutronCloud) -> None:
    with own_cloud.client("admin") as admin, own_cloud.client("mooring") as service:
        network = admin.create_network("net04", physical_network="physnet2", vlan=150, shared=True)
        # A whole PF's port binds without an agent, and news is told of bound ports only.
        port = service.create_port(network["id"], vnic_type="direct-physical", profile={})
        service.bind_port(port["id"], host="node1", profile={"pci_slot": "0000:01:00.0"})
    own_cloud.stop_broker()
    listener = Listener(own_cloud.facts.transport_url())
    assert listener.lines.get(timeout=30) == "started"

    own_cloud.start_broker()
    came = hears(listener, own_cloud, port["id"])
    own_cloud.stop_broker()
    own_cloud.start_broker()
    came_back = hears(listener, own_cloud, port["id"])

    assert (came, came_back, listener.end()) == (True, True, 0)
