"""How clients find out what is served: documents, microversions, paths."""

from __future__ import annotations

import re

import pytest
from api_world import Api, coreless, title


@pytest.fixture(scope="module")
def api() -> Api:
    return coreless()


@pytest.mark.parametrize("path", ["", "/", "//"])
@pytest.mark.parametrize("version", ["container 1.1", "container 9.9", "nonsense"])
def test_discovery_needs_no_token_and_never_fails_for_a_version(path: str, version: str) -> None:
    response = coreless(token=None).get(path, headers={"OpenStack-API-Version": version})

    assert response.status_code == 200
    (served,) = response.json["versions"]
    assert (served["status"], served["min_version"], served["max_version"]) == ("CURRENT", "1.1", "1.40")


@pytest.mark.parametrize("path", ["/v1", "/v1/"])
def test_version_one_tells_what_it_has(path: str) -> None:
    response = coreless(token=None).get(path)

    assert response.status_code == 200
    assert response.json["id"] == "v1"
    assert response.json["containers"][0]["href"].endswith("/v1/containers")


@pytest.mark.parametrize(
    ("asked", "served"), [("container 1.25", "1.25"), ("container latest", "1.40"), ("Container 1.1", "1.1")]
)
def test_the_answer_echoes_the_version_that_was_asked_for(api: Api, asked: str, served: str) -> None:
    response = api.get("/v1/capsules", headers={"OpenStack-API-Version": asked})

    assert response.headers["OpenStack-API-Version"] == f"container {served}"
    assert response.headers["OpenStack-API-Minimum-Version"] == "container 1.1"
    assert response.headers["OpenStack-API-Maximum-Version"] == "container 1.40"
    assert response.headers["Vary"] == "OpenStack-API-Version"


@pytest.mark.parametrize("version", ["container 1.41", "container 1.0", "container 2.1", "compute 1.40", "1.40", ""])
def test_a_version_that_is_not_served_is_406_with_the_range(api: Api, version: str) -> None:
    response = api.get("/v1/containers", headers={"OpenStack-API-Version": version})

    assert response.status_code == 406
    assert response.headers["OpenStack-API-Maximum-Version"] == "container 1.40"
    assert "OpenStack-API-Version" not in response.headers
    assert "1.40" in title(response)


def test_every_answer_bears_the_id_of_its_request(api: Api) -> None:
    response = api.get("/v1/capsules")

    assert re.fullmatch(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", response.headers["X-Openstack-Request-Id"])
    assert response.json["errors"][0]["request_id"] == response.headers["X-Openstack-Request-Id"]


@pytest.mark.parametrize("path", ["/v1/capsules", "/capsules", "/v1/capsules/", "/v1//capsules", "//v1/capsules//"])
def test_paths_are_taken_as_clients_write_them(api: Api, path: str) -> None:
    assert api.get(path).status_code == 501


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("PUT", "/v1/containers", 405), ("OPTIONS", "/v1/containers", 405)],
)
def test_what_is_not_there_is_said_in_the_envelope(api: Api, method: str, path: str, status: int) -> None:
    response = api.ask(method, path)

    assert response.status_code == status
    assert "is not served" in title(response)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/capsules/"),
        ("DELETE", "/v1/capsules/web"),
        ("GET", "/v1/registries"),
        ("GET", "/v1/quota_classes/default"),
        ("GET", "/v1/images/cirros/search"),
        ("GET", "/v1/containers/web/attach"),
        ("POST", "/v1/containers/web/execute_resize"),
        ("POST", "/v1/networks"),
    ],
)
def test_what_zun_has_and_this_service_has_not_is_said_so(api: Api, method: str, path: str) -> None:
    response = api.ask(method, path)

    assert response.status_code == 501
    assert title(response).startswith("not supported: ")
