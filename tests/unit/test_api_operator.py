"""Hosts, services, quotas, images and zones: what administrators ask."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from api_world import ADMIN, Api, Service, title
from werkzeug.test import TestResponse

from mooring.container.states import Status
from mooring.db.api import Host


@pytest.fixture
def service() -> Service:
    service = Service()
    service.add_host("node1")
    service.add_host("node2", vfs=0)
    return service


def ask(service: Service, path: str, method: str = "GET", **request: object) -> TestResponse:
    api: Api = service.api
    return api.ask(method, f"/v1{path}", token=ADMIN, **request)


def test_hosts_are_listed_page_by_page(service: Service) -> None:
    page = ask(service, "/hosts/?limit=1").json

    assert [host["hostname"] for host in page["hosts"]] == ["node1"]
    assert page["next"].startswith("/v1/hosts?")
    rest = service.api.get(page["next"], token=ADMIN).json
    assert [host["hostname"] for host in rest["hosts"]] == ["node2"]
    assert rest["next"] is None


def test_a_page_of_hosts_takes_no_look_at_all_of_them(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3, 10):
        service.add_host(f"node{number}", vfs=0)
    hosts, read = service.store.hosts, []

    def reading(**which: Any) -> tuple[Host, ...]:  # noqa: ANN401 - whatever hosts() takes
        found = hosts(**which)
        read.extend(host.name for host in found)
        return found

    monkeypatch.setattr(service.store, "hosts", reading)
    second = ask(service, "/hosts?limit=2").json["next"]
    read.clear()

    assert [host["hostname"] for host in service.api.get(second, token=ADMIN).json["hosts"]] == ["node3", "node4"]
    assert read == ["node3", "node4", "node5"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("sort_dir=desc", ["node2", "node1"]),
        ("sort_key=total_containers", ["node2", "node1"]),
        ("sort_key=cpu_used&sort_dir=desc", ["node1", "node2"]),
    ],
)
def test_hosts_are_sorted_by_what_is_told_of_them(service: Service, query: str, names: list[str]) -> None:
    service.claim(service.create()["uuid"])

    listed = ask(service, f"/hosts?{query}").json["hosts"]
    first = ask(service, f"/hosts?{query}&limit=1").json
    second = service.api.get(first["next"], token=ADMIN).json

    assert [host["hostname"] for host in listed] == names
    assert first["hosts"] + second["hosts"] == listed


@pytest.mark.parametrize("what", ["hosts", "services", "images"])
def test_lists_are_cut_and_go_on_where_they_were_cut(service: Service, what: str) -> None:
    whole = ask(service, f"/{what}").json
    assert (len(whole[what]), whole["next"]) == (2, None)

    first = ask(service, f"/{what}?limit=1&sort_dir=desc").json
    second = service.api.get(first["next"], token=ADMIN).json

    assert first["next"].startswith(f"/v1/{what}?")
    assert [*second[what], *first[what]] == whole[what]
    assert (len(first[what]), len(second[what]), second["next"]) == (1, 1, None)
    for query in ("limit=0", "sort_key=colour", "sort_dir=up", "marker=nobody", "marker=node1"):
        assert ask(service, f"/{what}?{query}").status_code == 400


def test_a_host_tells_what_it_has_and_what_of_it_is_promised(service: Service) -> None:
    uuid = service.create(cpu=2, memory=1024)["uuid"]
    service.claim(uuid)
    host = ask(service, "/hosts/node1").json

    assert (host["cpus"], host["cpu_used"], host["mem_total"], host["mem_used"]) == (16, 2.0, 64000, 1024)
    assert (host["total_containers"], host["labels"], host["runtimes"]) == (1, {"rack": "r1"}, ["runc"])
    assert ask(service, f"/hosts/{host['uuid']}").json["hostname"] == "node1"
    assert ask(service, "/hosts/node9").status_code == 404
    pools = {pool["dev_type"]: pool for pool in host["pci_pools"]}
    assert (pools["type-VF"]["total"], pools["type-VF"]["free"]) == (2, 1)
    assert ask(service, "/hosts/node1/pools").json == {"pools": host["pci_pools"]}


def test_devices_tell_who_has_them(service: Service) -> None:
    uuid = service.create()["uuid"]
    service.claim(uuid)

    pf, taken, free = ask(service, "/hosts/node1/devices").json["devices"]

    assert (pf["dev_type"], pf["status"], pf["container"]) == ("type-PF", "unavailable", None)
    assert (taken["status"], taken["container"], taken["parent"]) == ("allocated", uuid, pf["address"])
    assert (free["status"], free["state"], free["physical_network"]) == ("available", "free", "physnet2")


def services(service: Service) -> dict[str, dict[str, Any]]:
    return {each["host"]: each for each in ask(service, "/services").json["services"]}


def test_a_node_that_is_not_heard_of_is_down(service: Service) -> None:
    assert services(service)["node1"]["state"] == "up"
    service.now += timedelta(seconds=300)
    service.add_host("node2")

    assert [services(service)[name]["state"] for name in ("node1", "node2")] == ["down", "up"]
    assert services(service)["node1"]["binary"] == "mooring-node"


def test_an_operators_words_are_kept(service: Service) -> None:
    node = "host=node1&binary=mooring-node"

    disabled = ask(service, f"/services/disable?{node}&disabled_reason=maintenance", "PUT").json["service"]
    assert (disabled["disabled"], disabled["disabled_reason"]) == (True, "maintenance")
    ask(service, f"/services/force_down?{node}&forced_down=True", "PUT")
    assert services(service)["node1"]["state"] == "down"
    ask(service, f"/services/force_down?{node}&forced_down=False", "PUT")
    enabled = ask(service, f"/services/enable?{node}", "PUT").json["service"]
    assert (enabled["disabled"], enabled["disabled_reason"], enabled["forced_down"]) == (False, None, False)
    assert ask(service, "/services/enable?host=node9&binary=mooring-node", "PUT").status_code == 404
    assert ask(service, "/services/enable?host=node1&binary=zun-compute", "PUT").status_code == 404
    assert ask(service, "/services/enable?host=node1", "PUT").status_code == 400


def test_a_host_is_forgotten_when_nothing_is_on_it(service: Service) -> None:
    uuid = service.create()["uuid"]
    service.put(uuid, Status.RUNNING)

    refused = ask(service, "/services?host=node1&binary=mooring-node", "DELETE")
    assert refused.status_code == 409
    assert "node1" in title(refused)
    assert ask(service, "/services?host=node2&binary=mooring-node", "DELETE").status_code == 204
    assert set(services(service)) == {"node1"}


def test_quotas_are_told_changed_and_given_back(service: Service) -> None:
    service.create(cpu=2)

    assert service.api.get("/v1/quotas/projA").json == {"containers": 40, "cpu": 20, "memory": 51200, "disk": 100}
    used = service.api.get("/v1/quotas/projA?usages=True").json
    assert (used["containers"], used["cpu"]) == ({"limit": 40, "in_use": 1}, {"limit": 20, "in_use": 2})
    assert service.api.get("/v1/quotas/projB").status_code == 403

    changed = ask(service, "/quotas/projB", "PUT", json={"containers": 7, "disk": -1}).json
    assert changed == {"containers": 7, "cpu": 20, "memory": 51200, "disk": -1}
    assert ask(service, "/quotas/projB").json == changed
    assert ask(service, "/quotas/projB/defaults").json["containers"] == 40
    assert ask(service, "/quotas/projB", "DELETE").status_code == 204
    assert ask(service, "/quotas/projB").json["containers"] == 40
    assert ask(service, "/quotas/projB", "PUT", json={"containers": -2}).status_code == 400


def test_images_are_those_that_hosts_have(service: Service) -> None:
    listed = ask(service, "/images/").json["images"]
    assert [(image["repo"], image["host"]) for image in listed] == [("cirros", "node1"), ("cirros", "node2")]
    assert len(ask(service, "/images?host=node2").json["images"]) == 1

    pulled = ask(service, "/images/", "POST", json={"repo": "nginx", "host": "node1"})
    assert (pulled.status_code, pulled.json["repo"], pulled.json["host"]) == (202, "nginx", "node1")
    assert ask(service, "/images/", "POST", json={"repo": "nginx", "host": "node9"}).status_code == 404


def test_zones_are_everybodys_and_networks_are_not_kept(service: Service) -> None:
    zones = service.api.get("/v1/availability_zones").json

    assert zones == {"availability_zones": [{"availability_zone": "nova"}]}
    assert ask(service, "/networks/0d3f6a2e", "DELETE").status_code == 204
