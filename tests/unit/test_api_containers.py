"""Containers over HTTP, as Zun's clients create, see, list, change and delete them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest
from api_world import ADMIN, MEMBER, OTHER, READER, Service, title

from mooring.container.states import Status
from mooring.errors import DatabaseUnavailable

# zun-client 5.5.0 reads each of these of any container; one that is missing is an AttributeError there.
KEYS = {
    *("uuid", "name", "project_id", "user_id", "links", "image", "image_driver", "command", "entrypoint", "status"),
    *("status_reason", "status_detail", "task_state", "cpu", "cpu_policy", "memory", "disk", "environment", "labels"),
    *("workdir", "hostname", "ports", "addresses", "security_groups", "registry_id", "restart_policy", "healthcheck"),
    *("interactive", "tty", "auto_remove", "auto_heal", "created_at", "updated_at"),
}
ADMIN_KEYS = KEYS | {"host", "image_pull_policy", "privileged", "runtime", "pci_devices"}


@pytest.fixture
def service() -> Service:
    service = Service()
    service.add_host()
    return service


def test_a_container_on_a_port_is_accepted_and_tells_where_it_is(service: Service) -> None:
    port = service.add_port()
    asked = {
        "name": "edge-1",
        "image": "cirros:latest",
        "command": ["sleep", "600"],
        "cpu": "0.5",
        "memory": "256",
        "environment": {"MODE": "fast"},
        "labels": {"tier": "edge"},
        "restart_policy": {"Name": "on-failure", "MaximumRetryCount": "3"},
        "healthcheck": {"cmd": "true", "interval": 5},
        "exposed_ports": {"80/tcp": {}},
        "nets": [{"port": port.id}],
    }
    response = service.api.post("/v1/containers?run=true", json=asked)

    assert response.status_code == 202
    shown = response.json
    assert set(shown) == KEYS
    assert response.headers["Location"] == f"http://localhost/v1/containers/{shown['uuid']}"
    expected = asked | {
        "cpu": 0.5,
        "status": "Creating",
        "ports": [80],
        "healthcheck": {"test": "true", "interval": 5, "retries": 0, "timeout": 0},
        "project_id": "projA",
        "user_id": "alice",
    }
    del expected["nets"], expected["exposed_ports"]
    assert {key: shown[key] for key in expected} == expected
    assert shown["addresses"] == {
        service.network.id: [
            {
                "addr": "198.51.100.7",
                "version": 4,
                "port": port.id,
                "subnet_id": service.subnet.id,
                "preserve_on_delete": True,
            }
        ]
    }


def test_what_the_image_says_is_shown_where_its_owner_said_nothing(service: Service) -> None:
    own = service.create(command=["sleep", "600"])
    images = service.create(command=[])
    assert (images["command"], images["entrypoint"]) == (None, None)
    for uuid in (own["uuid"], images["uuid"]):
        service.put(uuid, Status.RUNNING, command=("nginx", "-g"), entrypoint=("/entrypoint.sh",))

    shown = [service.api.get(f"/v1/containers/{each['uuid']}").json for each in (own, images)]

    assert [each["command"] for each in shown] == [["sleep", "600"], ["nginx", "-g"]]
    assert [each["entrypoint"] for each in shown] == [["/entrypoint.sh"], ["/entrypoint.sh"]]


def test_the_id_of_the_request_is_the_actions(service: Service) -> None:
    response = service.api.post("/v1/containers", json={"image": "cirros", "nets": [{"port": service.add_port().id}]})
    request_id = response.headers["X-Openstack-Request-Id"]
    path = f"/v1/containers/{response.json['uuid']}/container_actions"

    (listed,) = service.api.get(path).json["containerActions"]
    assert listed | {"start_time": "", "finish_time": None} == {
        "action": "create",
        "request_id": request_id,
        "container_uuid": response.json["uuid"],
        "project_id": "projA",
        "user_id": "alice",
        "start_time": "",
        "finish_time": None,
        "message": None,
    }
    assert service.api.get(f"{path}/{request_id}").json["events"] == []
    assert service.api.get(f"{path}/req-unknown").status_code == 404


def test_only_administrators_see_where_a_container_is_and_on_what(service: Service) -> None:
    uuid = service.create()["uuid"]
    service.claim(uuid)
    service.put(uuid, Status.RUNNING)

    assert set(service.api.get(f"/v1/containers/{uuid}").json) == KEYS
    assert set(service.api.get(f"/v1/containers/{uuid}", token=READER).json) == KEYS
    seen = service.api.get(f"/v1/containers/{uuid}", token=ADMIN).json
    assert set(seen) == ADMIN_KEYS
    (device,) = seen["pci_devices"]
    assert (seen["host"], device["address"], device["parent"]) == ("node1", "0000:3b:10.0", "0000:3b:00.0")
    assert device["physical_network"] == "physnet2"


def test_another_projects_container_does_not_exist(service: Service) -> None:
    uuid = service.create(name="web")["uuid"]

    for key in (uuid, "web"):
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/start"), ("GET", "/logs"), ("PATCH", "")):
            response = service.api.ask(method, f"/v1/containers/{key}{path}", token=OTHER, json={})
            assert response.status_code == 404, (method, path)
    assert service.api.get("/v1/containers", token=OTHER).json == {"containers": [], "next": None}


def test_an_administrator_reaches_any_container_by_its_id(service: Service) -> None:
    service.create(name="web")
    uuid = service.create(name="db")["uuid"]

    assert service.api.get(f"/v1/containers/{uuid}", token=ADMIN).status_code == 200
    assert service.api.get("/v1/containers/db", token=ADMIN).status_code == 404
    assert service.api.get("/v1/containers/db?all_projects=True", token=ADMIN).status_code == 200
    assert service.api.get("/v1/containers", token=ADMIN).json["containers"] == []
    assert len(service.api.get("/v1/containers?all_projects=1", token=ADMIN).json["containers"]) == 2


def test_a_name_of_two_is_refused(service: Service) -> None:
    service.create(name="web")
    service.create(name="web")

    response = service.api.get("/v1/containers/web")

    assert response.status_code == 409
    assert "2 containers are named web" in title(response)


def test_a_path_that_no_database_could_find_is_refused(service: Service) -> None:
    assert service.api.get("/v1/containers/a%00b").status_code == 400


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"name": "b"}, ["b"]),
        ({"status": "Creating", "image": "cirros"}, ["a", "b", "c"]),
        ({"status": "Running"}, []),
        ({"memory": "512"}, ["a", "b", "c"]),
        ({"auto_remove": "False"}, ["a", "b", "c"]),
        ({"user_id": "alice", "project_id": "projA"}, ["a", "b", "c"]),
        ({"project_id": "projB"}, []),
        ({"task_state": "None", "sort_key": "name", "sort_dir": "desc"}, ["c", "b", "a"]),
        ({"sort_key": "id", "sort_dir": "asc"}, ["a", "b", "c"]),
    ],
    ids=str,
)
def test_lists_are_filtered_and_sorted(service: Service, query: dict[str, str], names: list[str]) -> None:
    for name in "abc":
        service.create(name=f"{name}-x")

    found = service.api.get(f"/v1/containers?{urlencode({k: 'b-x' if k == 'name' else v for k, v in query.items()})}")

    assert [container["name"][0] for container in found.json["containers"]] == names


def test_pages_follow_each_other_and_keep_what_was_asked_for(service: Service) -> None:
    for name in ("a1", "a2", "a3", "a4"):
        service.create(name=name)

    first = service.api.get("/v1/containers?limit=2&image=cirros&sort_dir=desc").json
    # The client puts it behind its endpoint: it must begin with /v1 and name no host.
    assert first["next"].startswith("/v1/containers?")
    second = service.api.get(first["next"]).json

    assert [[each["name"] for each in page["containers"]] for page in (first, second)] == [["a4", "a3"], ["a2", "a1"]]
    assert second["next"] is None


def test_a_page_may_begin_after_no_container_that_never_was(service: Service) -> None:
    assert service.api.get("/v1/containers?marker=nobody").status_code == 404


def test_a_container_is_changed_while_it_is_at_rest(service: Service) -> None:
    uuid = service.create(name="web")["uuid"]
    service.put(uuid, Status.RUNNING)

    response = service.api.ask("PATCH", f"/v1/containers/{uuid}", json={"name": "web-2", "cpu": "2", "memory": "1024"})

    assert response.status_code == 200
    assert (response.json["name"], response.json["cpu"], response.json["memory"]) == ("web-2", 2.0, "1024")
    assert service.api.ask("PATCH", f"/v1/containers/{uuid}", json={"image": "other"}).status_code == 400


@pytest.mark.parametrize("path", ["start", "pause", "unpause", "stop?timeout=1", "reboot", "kill?signal=None"])
def test_a_verb_is_accepted_with_nothing_to_say(service: Service, path: str) -> None:
    uuid = service.create()["uuid"]
    status = {"start": Status.STOPPED, "unpause": Status.PAUSED}.get(path, Status.RUNNING)
    service.put(uuid, status)

    response = service.api.post(f"/v1/containers/{uuid}/{path}", content_type="application/json")

    assert response.status_code == 202
    # A body of JSON that is empty makes python-zunclient complain.
    assert response.data == b""
    assert "Content-Type" not in response.headers
    operation = service.store.container(uuid)
    assert operation is not None
    assert operation.operation.verb.value == path.partition("?")[0]


@pytest.mark.parametrize("verb", ["stop", "pause", "unpause", "kill", "execute?command=ls", "top", "stats", "commit"])
def test_a_verb_that_the_state_forbids_says_so(service: Service, verb: str) -> None:
    uuid = service.create()["uuid"]
    service.put(uuid, Status.STOPPED if verb != "commit" else Status.ERROR)
    method = "GET" if verb in ("top", "stats") else "POST"

    response = service.api.ask(method, f"/v1/containers/{uuid}/{verb}{'?repository=r' if verb == 'commit' else ''}")

    assert response.status_code == 409
    assert "Cannot" in title(response)
    assert uuid in title(response)


def test_deleting_writes_it_down_and_answers_nothing(service: Service) -> None:
    uuid = service.create()["uuid"]
    service.put(uuid, Status.RUNNING)

    assert service.api.ask("DELETE", f"/v1/containers/{uuid}?all_projects=False").status_code == 409
    response = service.api.ask("DELETE", f"/v1/containers/{uuid}?stop=True", content_type="application/octet-stream")

    assert (response.status_code, response.data) == (204, b"")
    container = service.store.container(uuid)
    assert container is not None
    assert container.is_going


def test_an_administrator_deletes_by_force_in_any_state(service: Service) -> None:
    uuid = service.create()["uuid"]

    assert service.api.ask("DELETE", f"/v1/containers/{uuid}?force=1", token=ADMIN).status_code == 204


@pytest.mark.parametrize(
    ("attributes", "status", "said"),
    [
        ({"vnic_type": "virtio-forwarder"}, 400, "vnic_type"),
        ({"project_id": "projB"}, 404, "no Neutron port"),
        ({"device_id": "vm-1", "device_owner": "compute:nova"}, 400, "in use by"),
    ],
)
def test_a_port_that_cannot_be_used_is_refused(
    service: Service, attributes: dict[str, Any], status: int, said: str
) -> None:
    port = service.add_port(**attributes)

    response = service.api.post("/v1/containers", json={"image": "cirros", "nets": [{"port": port.id}]})

    assert response.status_code == status
    assert said in title(response)
    assert service.api.get("/v1/containers").json["containers"] == []


def test_a_port_is_one_containers(service: Service) -> None:
    port = service.add_port().id
    first = service.create(nets=[{"port": port}])["uuid"]

    response = service.api.post("/v1/containers", json={"image": "cirros", "nets": [{"port": port}]})

    assert response.status_code == 400
    assert first in title(response)


@pytest.mark.parametrize(
    ("nets", "status"),
    [([{"port": "nobody"}], 404), ([{"network": "nobody"}], 404)],
    ids=["port", "network"],
)
def test_what_is_not_there_is_not_found(service: Service, nets: list[dict[str, str]], status: int) -> None:
    assert service.api.post("/v1/containers", json={"image": "cirros", "nets": nets}).status_code == status


def test_a_network_without_a_physical_network_is_refused_by_name(service: Service) -> None:
    tunnel = service.neutron.add_network("overlay", physical_network=None, project_id="projA")
    service.neutron.add_subnet(tunnel, "10.9.0.0/24")
    port = service.neutron.add_port(tunnel, project_id="projA")

    response = service.api.post("/v1/containers", json={"image": "cirros", "nets": [{"port": port.id}]})

    assert response.status_code == 400
    assert "physical_network" in title(response)


def test_a_project_without_a_network_must_name_a_port(service: Service) -> None:
    response = service.api.post("/v1/containers", token=OTHER, json={"image": "cirros", "nets": []})

    assert response.status_code == 409
    assert "has no network" in title(response)


def test_a_host_that_nobody_knows_is_not_found(service: Service) -> None:
    response = service.api.post("/v1/containers", token=ADMIN, json={"image": "cirros", "host": "node9"})

    assert response.status_code == 404


def test_quotas_are_kept(service: Service) -> None:
    service.api.ask("PUT", "/v1/quotas/projA", token=ADMIN, json={"containers": 1})
    service.create()

    response = service.api.post("/v1/containers", json={"image": "cirros", "nets": [{"port": service.add_port().id}]})

    assert response.status_code == 403
    assert "Quota exceeded for containers" in title(response)


def test_names_are_unique_where_the_operator_says_so() -> None:
    service = Service(unique_names="project")
    service.create(name="web")

    response = service.api.post(
        "/v1/containers", json={"image": "cirros", "name": "web", "nets": [{"port": service.add_port().id}]}
    )

    assert response.status_code == 409


def test_a_container_in_error_says_why(service: Service) -> None:
    uuid = service.create()["uuid"]
    reason = "no valid host: 1 host: 1 PciPassthroughFilter (0 of 2 VFs free on physnet2)"
    service.put(uuid, Status.ERROR, status_reason=reason)

    assert service.api.get(f"/v1/containers/{uuid}").json["status_reason"] == reason


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_neighbour_that_is_away_is_said_with_when_to_come_again(
    service: Service, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method == "GET":

        def away(_: object) -> None:
            raise DatabaseUnavailable("could not connect to db7 as mooring")

        monkeypatch.setattr(service.store, "containers", away)
    else:
        service.neutron.unreachable = True

    response = service.api.ask(method, "/v1/containers", json={"image": "cirros", "nets": [{"port": "p1"}]})

    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert int(response.headers["Retry-After"]) > 0
    assert "db7" not in response.text


def test_security_groups_on_an_sriov_port_are_told_not_to_be_enforced(service: Service) -> None:
    group = service.neutron.add_security_group("web", project_id="projA")
    shown = service.create(security_groups=["web", "web"])

    assert shown["security_groups"] == [group.id]
    assert "not enforced" in shown["status_reason"]
    assert service.api.post("/v1/containers", json={"image": "cirros", "security_groups": ["no"]}).status_code == 400


def test_the_ports_of_a_container_are_listed_one_by_one(service: Service) -> None:
    port = service.add_port()
    uuid = service.create(nets=[{"port": port.id}])["uuid"]

    assert service.api.get(f"/v1/containers/{uuid}/network_list").json == {
        "networks": [
            {
                "net_id": service.network.id,
                "port_id": port.id,
                "fixed_ips": [{"ip_address": "198.51.100.7", "version": 4, "subnet_id": service.subnet.id}],
            }
        ]
    }


def test_a_port_is_attached_and_detached(service: Service) -> None:
    other = service.neutron.add_network("mgmt", vlan=151, project_id="projA")
    service.neutron.add_subnet(other, "192.0.2.0/24")
    port = service.neutron.add_port(other, project_id="projA")
    uuid = service.create()["uuid"]
    service.put(uuid, Status.RUNNING)

    attached = service.api.post(f"/v1/containers/{uuid}/network_attach?port={port.id}")
    assert (attached.status_code, attached.data) == (202, b"")
    service.put(uuid, Status.RUNNING)
    assert len(service.api.get(f"/v1/containers/{uuid}/network_list").json["networks"]) == 2

    assert service.api.post(f"/v1/containers/{uuid}/network_detach?port={port.id}").status_code == 202


def test_an_address_beside_a_port_is_answered_400_unless_it_is_the_ports(service: Service) -> None:
    port = service.add_port()
    nets = [{"port": port.id, "v4-fixed-ip": "198.51.100.8"}]
    refused = service.api.post("/v1/containers", json={"image": "cirros", "nets": nets})
    assert (refused.status_code, "198.51.100.8" in refused.text) == (400, True)
    nets[0]["v4-fixed-ip"] = "198.51.100.7"
    assert service.create(nets=nets)["status"] == "Creating"


def test_attaching_nothing_named_attaches_the_projects_own_network(service: Service) -> None:
    other = service.neutron.add_network("other", physical_network="physnet2", vlan=7, project_id="projA")
    service.neutron.add_subnet(other)
    port = service.neutron.add_port(other, project_id="projA")
    uuid = service.create(nets=[{"port": port.id}])["uuid"]
    service.put(uuid, Status.RUNNING)

    assert service.api.post(f"/v1/containers/{uuid}/network_attach").status_code == 202

    listed = service.api.get(f"/v1/containers/{uuid}/network_list").json["networks"]
    assert [item["net_id"] for item in listed] == [other.id, service.network.id]


@pytest.mark.parametrize(
    "request_",
    [
        "network_attach?fixed_ip=10.0.0.9",
        "network_attach?port=p&network=n",
        "network_attach?network=n&fixed_ip=10.0.0.999",
        "network_detach",
        "network_detach?port=p&network=n",
        "network_detach?port=nobody",
        "network_detach?fixed_ip=10.0.0.9",
    ],
)
def test_attach_and_detach_want_one_port_or_one_network(service: Service, request_: str) -> None:
    uuid = service.create()["uuid"]
    service.put(uuid, Status.RUNNING)

    assert service.api.post(f"/v1/containers/{uuid}/{request_}").status_code == 400


@pytest.mark.parametrize("token", [MEMBER, ADMIN])
def test_who_made_it_sees_it_in_the_list(service: Service, token: str) -> None:
    service.api.post(
        "/v1/containers",
        token=token,
        json={"image": "cirros", "nets": [{"port": service.add_port(project_id=token.split(":")[1]).id}]},
    )

    assert len(service.api.get("/v1/containers", token=token).json["containers"]) == 1
