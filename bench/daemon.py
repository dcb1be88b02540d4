"""A daemon of its own: started as its service manager starts it, asked as Docker asks it, and looked at in /proc."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

from lab.neutron.accounts import ACCOUNTS, DOMAIN, REGION
from lab.neutron.cloud import NO_PROXY
from lab.neutron.facts import CloudFacts
from mooring.node.client import call

HOST = "bench"
READY_SECONDS = 120
ANSWER_SECONDS = 60
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a process has in memory, in MB of 2^20 bytes; ``pss`` counts a page of n processes as an n-th."""

    rss: float
    pss: float

    @classmethod
    def of(cls, pid: int | str) -> Memory:
        """Look at a process."""
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        kib = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
        return cls(rss=kib["Rss"] / 1024, pss=kib["Pss"] / 1024)


@dataclass(slots=True)
class RunningDaemon:
    """A daemon of which the service manager has heard READY=1; times are milliseconds since it was started."""

    process: subprocess.Popen[str]
    socket: Path
    serving_ms: float
    ready_ms: float
    processor_ms_to_ready: float

    def processor_ms(self) -> float:
        """Return the processor time that it has used, to the tick of 10 ms."""
        return _processor_ms(self.process.pid)

    def memory(self) -> Memory:
        """Look at its memory."""
        return Memory.of(self.process.pid)

    def threads(self) -> int:
        """Count its threads."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def make_calls(self, rounds: int, network: str) -> None:
        """Make eight of Docker's calls in each round: six questions, and a network of Neutron's comes and goes."""
        ask = partial(call, self.socket, timeout_s=ANSWER_SECONDS)
        for _ in range(rounds):
            docker_id = uuid.uuid4().hex * 2
            generic = {"com.docker.network.generic": {"neutron.net.uuid": network}}
            ipv4 = [{"AddressSpace": "null", "Pool": "0.0.0.0/0", "Gateway": "0.0.0.0/0", "AuxAddresses": {}}]
            for _ in range(3):
                ask("NetworkDriver.GetCapabilities")
                ask("IpamDriver.GetDefaultAddressSpaces")
            body = {"NetworkID": docker_id, "Options": generic, "IPv4Data": ipv4, "IPv6Data": None}
            ask("NetworkDriver.CreateNetwork", body)
            ask("NetworkDriver.DeleteNetwork", {"NetworkID": docker_id})


def environment(**more: str) -> dict[str, str]:
    """Return an environment such as a host's, where Python keeps what it has compiled."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, **NO_PROXY, **more}


@contextmanager
def running_daemon(python: Path, home: Path, facts: CloudFacts) -> Iterator[RunningDaemon]:
    """Start ``mooring node`` in an empty directory, and stop it with SIGTERM."""
    configuration = home / "mooring.conf"
    configuration.write_text(_configuration(home, facts))
    with _docker(home / "docker.sock"), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(home / "notify"))
        heard.settimeout(READY_SECONDS)
        command = [str(python), "-m", "mooring", "--config-file", str(configuration), "node"]
        began = time.monotonic()
        process = subprocess.Popen(
            command, env=environment(NOTIFY_SOCKET=str(home / "notify")), stderr=subprocess.PIPE, text=True
        )
        log = _Log(process)
        try:
            said, ready, used = heard.recv(64), time.monotonic(), _processor_ms(process.pid)
            assert said == b"READY=1", said
            yield RunningDaemon(
                process=process,
                socket=home / "kuryr.sock",
                serving_ms=(log.when("event=node.serving") - began) * 1000,
                ready_ms=(ready - began) * 1000,
                processor_ms_to_ready=used,
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(READY_SECONDS)


@dataclass(slots=True)
class _Log:
    """What the daemon logs, with the time at which it came; it must be read, or the daemon would wait."""

    process: subprocess.Popen[str]
    lines: list[tuple[float, str]] = field(default_factory=list)
    _new: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._new:
                self.lines.append((time.monotonic(), line.rstrip()))
                self._new.notify()

    def when(self, words: str) -> float:
        """Return the time of the first line that has these words, once it came."""

        def first() -> float | None:
            return next((moment for moment, line in self.lines if words in line), None)

        with self._new:
            moment = self._new.wait_for(first, READY_SECONDS)
        assert moment is not None, self.lines
        return moment


def _processor_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_MS


def _configuration(home: Path, facts: CloudFacts) -> str:
    account = ACCOUNTS["mooring"]
    # The host has no device that the daemon may touch.
    return f"""\
[DEFAULT]
host = {HOST}
state_dir = {home}/state
plugin_socket = {home}/kuryr.sock
docker_url = unix://{home}/docker.sock
metrics_address = 127.0.0.1:{_free_port()}
enabled_port_drivers = veth, sriov, macvtap, physical

[pci]
device_spec = {{"address": "ffff:ff:1f.7", "physical_network": "physnet1"}}

[neutron]
auth_type = password
auth_url = {facts.auth_url()}
username = {account.user}
password = {account.password}
project_name = {account.project}
user_domain_id = {DOMAIN}
project_domain_id = {DOMAIN}
region_name = {REGION}
valid_interfaces = public
transport_url = {facts.transport_url()}
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _docker(path: Path) -> Iterator[None]:
    """Answer what the daemon asks of Docker: which version it is, and that it has no network."""
    with ThreadingUnixStreamServer(str(path), _Engine) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


class _Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answer: Any = {"Version": "28.0", "ApiVersion": "1.48"} if self.path.endswith("/version") else []
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the bench prints a table."""
