"""What is asked of a container while the client waits."""

from __future__ import annotations

import base64

import pytest
from api_world import Service, title

from mooring.container.states import Status
from mooring.rpc.messages import LogQuery

TAR = base64.b64encode(b"a tar archive").decode()


@pytest.fixture
def service() -> Service:
    service = Service()
    service.add_host()
    uuid = service.create(name="web")["uuid"]
    service.put(uuid, Status.RUNNING)
    return service


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({"command": '"ls" "-l" "a b"', "run": "True", "interactive": "False"}, None),
        ({}, {"command": "ls -l 'a b'", "run": True}),
        ({}, {"command": ["ls", "-l", "a b"]}),
    ],
    ids=["query", "text in the body", "list in the body"],
)
def test_a_command_is_run_and_its_end_told(
    service: Service, query: dict[str, str], body: dict[str, object] | None
) -> None:
    response = service.api.post("/v1/containers/web/execute", query_string=query, json=body)

    assert response.json == {"output": "hello\n", "exit_code": 3, "exec_id": None, "proxy_url": None}
    assert service.node.executed == [("ls", "-l", "a b")]


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), ("command=", 400), ("command='", 400), ("command=sh&interactive=True&run=False", 400)],
)
def test_a_command_that_cannot_be_run_is_refused(service: Service, query: str, status: int) -> None:
    assert service.api.post(f"/v1/containers/web/execute?{query}").status_code == status
    assert service.node.executed == []


def test_dockers_own_words_are_told(service: Service) -> None:
    response = service.api.post("/v1/containers/web/execute?command=nonsense")

    assert response.status_code == 400
    assert "executable file not found" in title(response)


def test_logs_are_a_json_text(service: Service) -> None:
    response = service.api.get(
        "/v1/containers/web/logs?stdout=True&stderr=False&timestamps=True&tail=3&since=None",
        headers={"Content-Length": "0"},
    )

    assert response.json == 'it says "hello"\n'
    assert response.content_type == "application/json"
    assert service.node.queries == [LogQuery(stdout=True, stderr=False, timestamps=True, tail=3)]


def test_processes_and_usage_have_dockers_titles(service: Service) -> None:
    assert service.api.get("/v1/containers/web/top?ps_args=None").json == {
        "Titles": ["PID", "CMD"],
        "Processes": [["4711", "sleep None"]],
    }
    assert service.api.get("/v1/containers/web/stats").json == {
        "CONTAINER": "web",
        "CPU %": 0.4,
        "MEM USAGE(MiB)": 3.0,
        "MEM LIMIT(MiB)": 256.0,
        "MEM %": 1.17,
        "BLOCK I/O(B)": "0/1",
        "NET I/O(B)": "1024/2048",
    }


def test_archives_go_in_and_out(service: Service) -> None:
    put = service.api.post("/v1/containers/web/put_archive?path=/etc/motd", json={"data": TAR})

    assert (put.status_code, put.json) == (200, None)
    got = service.api.get("/v1/containers/web/get_archive?path=/etc/motd").json
    assert got == {"data": TAR, "stat": {"name": "/etc/motd", "size": 1, "mode": 420}}
    assert service.api.get("/v1/containers/web/get_archive?path=/nothing").status_code == 404
    assert service.api.get("/v1/containers/web/get_archive").status_code == 400
    assert service.api.post("/v1/containers/web/put_archive?path=/x", json={"data": "no base64"}).status_code == 400


def test_an_image_is_made_and_a_terminal_resized(service: Service) -> None:
    response = service.api.post("/v1/containers/web/commit?repository=mine&tag=v1")

    assert (response.status_code, response.json) == (202, {"uuid": "sha256:mine-v1"})
    resized = service.api.post("/v1/containers/web/resize?w=80&h=24")
    assert (resized.status_code, resized.json, service.node.sizes) == (200, None, [(80, 24)])


def test_a_node_that_does_not_answer_is_503_and_showing_needs_none(service: Service) -> None:
    service.node.away = True

    response = service.api.get("/v1/containers/web/logs")

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert service.api.get("/v1/containers/web").json["status"] == "Running"
