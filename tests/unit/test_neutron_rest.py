"""The gateway against a server on the loopback interface that says what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from keystoneauth1.adapter import Adapter

from mooring.config.session import neutron_session
from mooring.config.settings import NeutronSettings
from mooring.errors import NeutronConflict, NeutronRefused, NeutronUnreachable, PortBusy, PortNotFound
from mooring.neutron.api import Binding
from mooring.neutron.model import Port
from mooring.neutron.rest import NeutronGateway

PORT: dict[str, Any] = {
    "id": "p1",
    "network_id": "n1",
    "mac_address": "FA:16:3E:00:00:01",
    "revision_number": 7,
    "status": "DOWN",
    "fixed_ips": [{"subnet_id": "s1", "ip_address": "10.10.0.5"}],
    "binding:vnic_type": "direct",
    "binding:vif_type": "unbound",
    "binding:vif_details": {},
    "binding:profile": {"note": "keep me"},
    "binding:host_id": "",
    "unheard_of": "ignored",
}
NETWORK: dict[str, Any] = {
    "id": "n1",
    "name": "net04",
    "mtu": 1500,
    "provider:network_type": "vlan",
    "provider:physical_network": "physnet2",
    "provider:segmentation_id": 150,
}
BINDING = Binding(host="node1", device_id="e1", device_owner="compute:kuryr", profile={"pci_slot": "0000:01:10.2"})


@dataclass
class Request:
    verb: str
    path: str
    if_match: str | None
    body: Any


@dataclass
class Script:
    """Answers in order (the last one for ever), and the requests that came."""

    answers: list[tuple[int, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    silence: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    before_answering: Callable[[], object] = int

    def says(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)


def error(text: str, kind: str = "Some") -> dict[str, Any]:
    return {"NeutronError": {"type": kind, "message": text, "detail": ""}}


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            with lock:
                script.requests.append(Request(self.command, self.path, self.headers.get("If-Match"), body))
                status, content = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            script.before_answering()
            if content is script.silence:
                script.silence.wait(30)
                self.close_connection = True
                return
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in script.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    script.silence.set()
    server.shutdown()
    thread.join()
    server.server_close()


def adapter_to(url: str) -> Adapter:
    return neutron_session(NeutronSettings(auth_type="none", endpoint_override=url))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def gateway(script: Script) -> NeutronGateway:
    return NeutronGateway(adapter_to(script.url))


@pytest.mark.parametrize("suffix", ["", "/", "/v2.0", "/v2.0/"])
def test_an_endpoint_may_end_with_the_version_or_not(script: Script, suffix: str) -> None:
    script.says((200, {"port": PORT}))

    NeutronGateway(adapter_to(script.url + suffix)).port("p1")

    assert script.requests[0].path == "/v2.0/ports/p1"


def test_a_port_is_parsed_and_unknown_keys_are_ignored(script: Script, gateway: NeutronGateway) -> None:
    script.says((200, {"port": PORT}))

    port = gateway.port("p1")

    assert (port.mac, port.revision, str(port.fixed_ips[0].address)) == ("fa:16:3e:00:00:01", 7, "10.10.0.5")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, error("bad"), NeutronRefused),
        (403, error("not you"), NeutronRefused),
        (404, error("Port p1 could not be found."), PortNotFound),
        (409, error("in use"), NeutronConflict),
        (500, error("broken"), NeutronRefused),
        (401, {"error": {"code": 401, "message": "Authentication required"}}, NeutronRefused),
        (502, b"<html>bad gateway</html>", NeutronUnreachable),
        (503, error("starting"), NeutronUnreachable),
        (504, b"", NeutronUnreachable),
        (404, b"<html>no such page</html>", NeutronUnreachable),
        (200, b"<html>welcome to nginx</html>", NeutronUnreachable),
        (200, ["not", "an", "object"], NeutronUnreachable),
        (200, {"port": None}, NeutronRefused),
        (200, {"port": PORT | {"fixed_ips": [{"subnet_id": "s1", "ip_address": "nonsense"}]}}, NeutronRefused),
    ],
)
def test_every_answer_that_is_no_port_is_an_error_of_ours(
    script: Script, gateway: NeutronGateway, status: int, body: object, expected: type[Exception]
) -> None:
    script.says((status, body))

    with pytest.raises(expected) as raised:
        gateway.port("p1")

    assert type(raised.value) is expected


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_what_keystone_refuses_is_no_answer_of_neutrons(script: Script, status: int) -> None:
    options = {"auth_url": f"{script.url}/v3", "user_id": "u1", "password": "x", "project_id": "project-1"}
    script.says((status, {"error": {"code": status, "message": "Keystone is sick"}}))
    gateway = NeutronGateway(neutron_session(NeutronSettings(auth_type="v3password", auth_options=options)))

    with pytest.raises(NeutronUnreachable, match=rf"Keystone: .*HTTP {status}") as unbinding:
        gateway.unbind(Port(id="p1", network_id="n1", mac="fa:16:3e:00:00:01", revision=7), restore={})
    with pytest.raises(NeutronUnreachable):
        gateway.delete_port("p1")

    assert ("check the account" in str(unbinding.value)) == (status in (401, 403))


def test_a_refusal_tells_what_was_done_the_status_neutrons_words_and_the_request(
    script: Script, gateway: NeutronGateway
) -> None:
    script.headers["X-Openstack-Request-Id"] = "req-123"
    script.says((400, error("Invalid input for mac")))

    with pytest.raises(NeutronRefused) as raised:
        gateway.port("p1")

    assert str(raised.value) == "reading port p1: Neutron answered 400: Invalid input for mac (request req-123)"


@pytest.mark.parametrize("key", ["binding:vif_type", "binding:host_id", "binding:profile"])
def test_a_port_without_its_binding_tells_the_missing_roles(script: Script, gateway: NeutronGateway, key: str) -> None:
    script.says((200, {"port": {name: value for name, value in PORT.items() if name != key}}))

    with pytest.raises(NeutronRefused, match=f"{key}.*needs the roles admin and service"):
        gateway.port("p1")


def test_a_port_whose_binding_was_deleted_is_unbound(script: Script, gateway: NeutronGateway) -> None:
    script.says((200, {"port": {name: value for name, value in PORT.items() if "binding" not in name}}))

    assert gateway.port("p1").vif_type == "unbound"


def test_a_network_without_its_provider_keys_tells_the_missing_roles(script: Script, gateway: NeutronGateway) -> None:
    script.says((200, {"network": {"id": "n1", "name": "net04", "mtu": 1500}}))

    with pytest.raises(NeutronRefused, match="needs the roles admin and service"):
        gateway.network("n1")


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(NeutronUnreachable, match="reading port p1"):
        NeutronGateway(adapter_to("http://127.0.0.1:1")).port("p1")


def test_an_answer_that_never_comes_is_given_up_after_the_read_timeout(script: Script) -> None:
    script.says((200, script.silence))

    with pytest.raises(NeutronUnreachable, match="timed out"):
        NeutronGateway(adapter_to(script.url), read_timeout=0.05).port("p1")

    assert len(script.requests) == 1


def test_a_binding_is_one_put_on_condition_of_the_revision_and_merges_the_profile(
    script: Script, gateway: NeutronGateway
) -> None:
    script.says((200, {"port": PORT}))

    gateway.bind(gateway.port("p1"), BINDING)

    put = script.requests[1]
    assert (put.verb, put.path, put.if_match) == ("PUT", "/v2.0/ports/p1", "revision_number=7")
    assert put.body["port"] == {
        "device_id": "e1",
        "device_owner": "compute:kuryr",
        "binding:host_id": "node1",
        "binding:profile": {"note": "keep me", "pci_slot": "0000:01:10.2"},
    }


@pytest.mark.parametrize(("trusted", "written"), [(None, {"trusted": "true"}), (False, {}), (True, {})])
def test_neutrons_own_trusted_key_is_not_written_back_but_an_admins_is(
    script: Script, gateway: NeutronGateway, *, trusted: bool | None, written: dict[str, str]
) -> None:
    script.says((200, {"port": PORT | {"trusted": trusted, "binding:profile": {"trusted": "true"}}}))

    gateway.bind(gateway.port("p1"), BINDING)

    assert script.requests[1].body["port"]["binding:profile"] == written | {"pci_slot": "0000:01:10.2"}


def test_a_port_that_keeps_changing_is_busy_after_the_second_try(script: Script, gateway: NeutronGateway) -> None:
    stale = error("Constrained to 7, but current revision is 8")
    script.says((200, {"port": PORT}), (412, stale), (200, {"port": PORT | {"revision_number": 8}}), (412, stale))

    with pytest.raises(PortBusy, match="p1"):
        gateway.bind(gateway.port("p1"), BINDING)

    assert [request.verb for request in script.requests] == ["GET", "PUT", "GET", "PUT"]


def test_a_conflict_that_is_not_about_the_revision_is_not_tried_again(script: Script, gateway: NeutronGateway) -> None:
    script.says((200, {"port": PORT}), (409, error("Host node1 is not connected to any segments")))

    with pytest.raises(NeutronConflict, match="segments"):
        gateway.bind(gateway.port("p1"), BINDING)

    assert len(script.requests) == 2


def test_a_list_in_pages_is_followed_to_its_end(script: Script, gateway: NeutronGateway) -> None:
    following = [{"rel": "next", "href": "http://elsewhere.invalid/"}, {"rel": "previous", "href": "x"}]
    script.says(
        (200, {"networks": [NETWORK], "networks_links": following}),
        (200, {"networks": [NETWORK | {"id": "n2"}], "networks_links": following[1:]}),
    )

    assert [network.id for network in gateway.networks(name="net 04", tags=["b", "a"])] == ["n1", "n2"]
    assert script.requests[1].path == "/v2.0/networks?name=net+04&tags=a%2Cb&marker=n1"


def test_something_that_cannot_be_tagged_does_not_stay(script: Script, gateway: NeutronGateway) -> None:
    script.says((201, {"network": NETWORK}), (403, error("no tags for you")), (204, b""))

    with pytest.raises(NeutronRefused, match="tagging it"):
        gateway.create_network(name="net04", shared=False, tags=["a"])

    assert [(request.verb, request.path) for request in script.requests] == [
        ("POST", "/v2.0/networks"),
        ("PUT", "/v2.0/networks/n1/tags"),
        ("DELETE", "/v2.0/networks/n1"),
    ]


def test_every_call_is_told_to_the_observer_with_how_it_ended(script: Script) -> None:
    told: list[tuple[str, str]] = []
    gateway = NeutronGateway(
        adapter_to(script.url), on_call=lambda operation, outcome, _seconds: told.append((operation, outcome))
    )
    script.says((200, {"port": PORT}), (412, error("stale")), (503, b""))

    port = gateway.port("p1")
    with pytest.raises(NeutronUnreachable):
        gateway.bind(port, BINDING)

    assert told == [("show_port", "ok"), ("bind_port", "neutron-conflict"), ("show_port", "neutron-unreachable")]


def test_calls_of_several_threads_run_side_by_side(script: Script) -> None:
    together = threading.Barrier(4, timeout=10)
    gateway = NeutronGateway(adapter_to(script.url))
    script.says((200, {"port": PORT}))
    script.before_answering = together.wait

    with ThreadPoolExecutor(4) as pool:
        ports = list(pool.map(lambda _: gateway.port("p1"), range(4)))

    assert [port.id for port in ports] == ["p1"] * 4
