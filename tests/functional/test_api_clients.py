"""Zun's own clients lead containers: the library, ``zun`` and ``openstack appcontainer``, none of them changed.

They speak with the real API over the real core; Neutron and the hosts are in memory. And schemathesis asks whatever the
OpenAPI document allows and forbids.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_clients import Library, Refused, Said, install_clients, program, run, stub_keystone
from api_service import HOSTS, VFS, ServedApi, served_api

ADMIN = "root:projA:admin"
MEMBER = "alice:projA:member"
STRANGER = "bob:projB:member"

_PATIENCE_S = 60

# A command line of OpenStack's takes seconds of processor time to begin with.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def programs() -> Path:
    return install_clients()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    with served_api(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture(scope="module")
def library(programs: Path, api: ServedApi) -> Iterator[Library]:
    library = Library(programs, api.endpoint, MEMBER)
    yield library
    library.close()


@pytest.fixture(scope="module")
def admin(programs: Path, api: ServedApi) -> Iterator[Library]:
    library = Library(programs, api.endpoint, ADMIN)
    yield library
    library.close()


def until(look: Callable[[], Any], wanted: Callable[[Any], object]) -> Any:  # noqa: ANN401 - what was looked at
    """Return what is seen when it is as wanted."""
    ends = time.monotonic() + _PATIENCE_S
    while not wanted(seen := look()):
        assert time.monotonic() < ends, seen
        time.sleep(0.05)
    return seen


def settled(library: Library, key: str, status: str) -> dict[str, Any]:
    """Return a container when it has come to rest in a status."""
    return until(
        lambda: library("containers", "get", id=key),
        lambda seen: seen["status"] == status and seen["task_state"] is None,
    )


def gone(library: Library, key: str) -> bool:
    try:
        library("containers", "get", id=key)
    except Refused as refused:
        return refused.kind == "NotFound"
    return False


def delete(library: Library, key: str) -> None:
    library("containers", "delete", id=key, stop=True)
    until(lambda: gone(library, key), bool)


# The library


def test_the_library_leads_a_container_through_its_life(api: ServedApi, library: Library) -> None:
    port = api.add_port(name="port1")
    management = api.add_network("mgmt", "192.0.2.0/24", vlan=151)
    nets = [{"port": port.id}, {"network": "mgmt", "v4-fixed-ip": "192.0.2.20"}]

    made = library("containers", "run", name="edge", image="cirros", command=["sleep", "600"], cpu="0.5", nets=nets)
    assert (made["status"], made["memory"]) == ("Creating", "512")
    running = settled(library, "edge", "Running")
    assert running["uuid"] == made["uuid"]
    assert running["addresses"][management.id][0]["addr"] == "192.0.2.20"
    assert [each["uuid"] for each in library("containers", "list", name="edge")] == [made["uuid"]]
    # What an operator sees in Neutron while it runs.
    bound = api.neutron.now(port.id)
    assert (bound.device_id, bound.device_owner, bound.vif_type) == (made["uuid"], "compute:mooring", "hw_veb")

    executed = library("containers", "execute", id="edge", command='"ls" "-l" "a b"', run=True, interactive=False)
    assert (executed["output"], executed["exit_code"]) == ("ls -l a b", 0)
    assert library("containers", "logs", id="edge", stdout=True, stderr=True, tail="5", since=None) == "cirros, 5"
    assert library("containers", "top", id="edge")["Titles"] == ["PID", "CMD"]
    assert library("containers", "stats", id="edge")["CONTAINER"] == "edge"
    assert library("containers", "commit", id="edge", repository="mine", tag="v1")["uuid"] == "sha256:mine:v1"
    assert [each["net_id"] for each in library("containers", "network_list", container="edge")] == [
        api.network.id,
        management.id,
    ]

    for verb, arguments, status in (
        ("pause", {}, "Paused"),
        ("unpause", {}, "Running"),
        ("stop", {"timeout": 1}, "Stopped"),
        ("start", {}, "Running"),
        ("restart", {"timeout": 1}, "Running"),
        ("kill", {"signal": "TERM"}, "Stopped"),
        ("rebuild", {"image": "nginx", "image_driver": None}, "Running"),
    ):
        library("containers", verb, id="edge", **arguments)
        rebuilt = settled(library, "edge", status) if verb != "rebuild" else until_rebuilt(library)
    assert rebuilt["image"] == "nginx"
    assert library("containers", "update", id="edge", name="edge-2", memory="1024")["memory"] == "1024"

    actions = until(
        lambda: library("actions", "list", container="edge-2"), lambda seen: all(each["finish_time"] for each in seen)
    )
    assert [each["message"] for each in actions] == [None] * len(actions)
    assert {"create", "stop", "rebuild"} <= {each["action"] for each in actions}
    create = library("actions", "get", container="edge-2", request_id=actions[-1]["request_id"])
    assert "bind_port" in {event["event"] for event in create["events"]}

    delete(library, "edge-2")
    left = api.neutron.now(port.id)
    assert (left.device_id, left.device_owner, left.host, left.vif_type) == ("", "", "", "unbound")


def until_rebuilt(library: Library) -> dict[str, Any]:
    return until(
        lambda: library("containers", "get", id="edge"),
        lambda seen: seen["image"] == "nginx" and seen["task_state"] is None and seen["status"] != "Rebuilding",
    )


def test_the_library_attaches_and_detaches(api: ServedApi, library: Library) -> None:
    other = api.add_network("storage", "192.0.3.0/24", vlan=152)
    port = api.add_port(other)
    library("containers", "run", name="attached", image="cirros", nets=[{"port": api.add_port().id}])
    settled(library, "attached", "Running")

    library("containers", "network_attach", container="attached", port=port.id)
    until(lambda: settled(library, "attached", "Running"), lambda seen: other.id in seen["addresses"])
    assert api.neutron.now(port.id).vif_type == "hw_veb"
    library("containers", "network_detach", container="attached", port=port.id)
    until(lambda: settled(library, "attached", "Running"), lambda seen: other.id not in seen["addresses"])

    assert api.neutron.now(port.id).device_id == ""
    delete(library, "attached")


def test_archives_come_and_go(api: ServedApi, library: Library) -> None:
    library("containers", "run", name="files", image="cirros", nets=[{"port": api.add_port().id}])
    settled(library, "files", "Running")

    library("containers", "put_archive", id="files", path="/etc", data="a tar archive")
    assert library("containers", "get_archive", id="files", path="/etc")["stat"] == {"name": "/etc"}

    delete(library, "files")


def test_when_no_vf_is_left_the_container_says_so(api: ServedApi, library: Library) -> None:
    names = [f"many-{number}" for number in range(len(HOSTS) * VFS + 1)]
    for name in names:
        library("containers", "run", name=name, image="cirros", nets=[{"port": api.add_port().id}])
    containers = until(
        lambda: [library("containers", "get", id=name) for name in names],
        lambda seen: all(each["status"] in ("Running", "Error") for each in seen),
    )

    (failed,) = [each for each in containers if each["status"] == "Error"]
    assert "no valid host" in failed["status_reason"]
    assert "VFs free on physnet2" in failed["status_reason"]
    (create,) = library("actions", "list", container=failed["uuid"])
    assert "no valid host" in create["message"]
    for name in names:
        delete(library, name)


def test_pages_are_followed_to_the_limit(api: ServedApi, library: Library) -> None:
    for number in range(3):
        library("containers", "create", name=f"page-{number}", image="cirros", nets=[{"port": api.add_port().id}])

    assert len(library("containers", "list", limit=2)) == 2
    found = library("containers", "list", limit=3, sort_key="name", sort_dir="desc")
    assert [each["name"] for each in found] == ["page-2", "page-1", "page-0"]

    for number in range(3):
        settled(library, f"page-{number}", "Created")
        delete(library, f"page-{number}")


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (("get", {"id": "nobody"}), "NotFound", "Container nobody could not be found"),
        (("create", {"image": "cirros", "nets": [{"port": "no-such-port"}]}), "NotFound", "no Neutron port"),
        (("create", {"image": "cirros", "cpu": "1000"}), "BadRequest", "cpu"),
        (("create", {"image": "cirros", "privileged": True}), "Forbidden", "Policy does not allow"),
        (("create", {"image": "cirros", "host": "node1"}), "Forbidden", "Policy does not allow"),
        (("list", {"all_projects": True}), "Forbidden", "Policy does not allow"),
        (("list", {"colour": "red"}), "BadRequest", "'colour' is not known"),
        (("attach", {"id": "nobody"}), "HttpNotImplemented", "not supported"),
    ],
    ids=str,
)
def test_errors_come_as_the_librarys_own(
    library: Library, call: tuple[str, dict[str, object]], kind: str, said: str
) -> None:
    method, arguments = call
    with pytest.raises(Refused, match=said) as refused:
        library("containers", method, **arguments)

    assert refused.value.kind == kind


def test_strangers_see_nothing(programs: Path, api: ServedApi, library: Library) -> None:
    library("containers", "create", name="secret", image="cirros", nets=[{"port": api.add_port().id}])
    uuid = settled(library, "secret", "Created")["uuid"]
    stranger = Library(programs, api.endpoint, STRANGER)

    assert stranger("containers", "list") == []
    assert gone(stranger, uuid)

    stranger.close()
    delete(library, "secret")


def test_an_operator_looks_and_decides(admin: Library) -> None:
    hosts = admin("hosts", "list")
    assert [host["hostname"] for host in hosts] == list(HOSTS)
    shown = admin("hosts", "get", id="node1")
    assert {"type-VF", "type-PF"} == {pool["dev_type"] for pool in shown["pci_pools"]}
    assert [(each["host"], each["state"]) for each in admin("services", "list")] == [(host, "up") for host in HOSTS]

    node = {"host": "node1", "binary": "mooring-node"}
    admin("services", "disable", **node, reason="maintenance")
    admin("services", "force_down", **node, force_down=True)
    (down, _) = admin("services", "list")
    assert (down["disabled_reason"], down["state"]) == ("maintenance", "down")
    admin("services", "force_down", **node, force_down=False)
    admin("services", "enable", **node)
    with pytest.raises(Refused, match="node9"):
        admin("services", "delete", host="node9", binary="mooring-node")

    assert admin("availability_zones", "list") == [{"availability_zone": "nova"}]
    assert admin("quotas", "update", project_id="projB", containers=3)["containers"] == 3
    assert admin("quotas", "get", project_id="projB", usages=True)["containers"] == {"limit": 3, "in_use": 0}
    admin("quotas", "delete", project_id="projB")
    assert admin("quotas", "defaults", project_id="projB")["containers"] == 40
    assert admin("images", "create", repo="nginx", host="node1")["repo"] == "nginx"
    assert isinstance(admin("images", "list"), list)
    with pytest.raises(Refused, match="not supported"):
        admin("registries", "list")


# The two command lines


@pytest.fixture(scope="module")
def zun(programs: Path, api: ServedApi) -> Iterator[Callable[..., Said]]:
    with stub_keystone(api.endpoint, MEMBER) as keystone:
        account = {
            "OS_AUTH_URL": keystone.url,
            "OS_USERNAME": "alice",
            "OS_PASSWORD": "secret",
            "OS_PROJECT_NAME": "projA",
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
        }
        yield lambda *arguments: run(
            [*program(programs, "zun"), *arguments], environment={"PATH": os.environ["PATH"], **account}
        )


def done(said: Said) -> str:
    assert said.code == 0, said
    assert "ERROR" not in said.err, said
    return said.out


def test_zun_leads_a_container_through_its_life(api: ServedApi, library: Library, zun: Callable[..., Said]) -> None:
    port = api.add_port()
    other = api.add_port(api.add_network("zun", "192.0.4.0/24", vlan=153))

    assert "edge-zun" in done(zun("create", "--name", "edge-zun", "--net", f"port={port.id}", "cirros", "sleep", "9"))
    settled(library, "edge-zun", "Created")
    for verb, status in (("start", "Running"), ("pause", "Paused"), ("unpause", "Running"), ("restart", "Running")):
        done(zun(verb, "edge-zun"))
        settled(library, "edge-zun", status)
    assert "edge-zun" in done(zun("list"))
    assert "198.51.100." in done(zun("show", "edge-zun"))
    assert "ls -l" in done(zun("exec", "edge-zun", "ls", "-l"))
    assert "cirros" in done(zun("logs", "edge-zun"))
    assert "edge-zun" in done(zun("stats", "edge-zun"))
    done(zun("network-attach", "--port", other.id, "edge-zun"))
    until(lambda: settled(library, "edge-zun", "Running"), lambda seen: other.network_id in seen["addresses"])
    assert other.id in done(zun("network-list", "edge-zun"))
    done(zun("network-detach", "--port", other.id, "edge-zun"))
    until(lambda: settled(library, "edge-zun", "Running"), lambda seen: other.network_id not in seen["addresses"])
    assert "network_detach" in done(zun("action-list", "edge-zun"))

    refused = zun("unpause", "edge-zun")
    assert "Cannot unpause container" in refused.out + refused.err
    refused = zun("show", "nobody")
    assert (refused.code, "could not be found" in refused.err) == (1, True)
    done(zun("delete", "--stop", "edge-zun"))
    until(lambda: gone(library, "edge-zun"), bool)


@pytest.fixture(scope="module")
def openstack(programs: Path, api: ServedApi) -> Callable[..., Said]:
    def call(*arguments: str, token: str = MEMBER) -> Said:
        access = ["--os-auth-type", "admin_token", "--os-endpoint", api.endpoint, "--os-token", token]
        command = [*program(programs, "openstack"), *access, "appcontainer", *arguments]
        return run(command, environment={"PATH": os.environ["PATH"]})

    return call


def test_openstack_leads_a_container_through_its_life(
    api: ServedApi, library: Library, openstack: Callable[..., Said]
) -> None:
    port = api.add_port()
    other = api.add_port(api.add_network("osc", "192.0.5.0/24", vlan=154))

    done(openstack("run", "--name", "edge-osc", "--net", f"port={port.id}", "--cpu", "0.5", "cirros"))
    settled(library, "edge-osc", "Running")
    (listed,) = json.loads(done(openstack("list", "-f", "json")))
    assert (listed["name"], listed["status"]) == ("edge-osc", "Running")
    shown = json.loads(done(openstack("show", "edge-osc", "-f", "json")))
    assert shown["addresses"].startswith("198.51.100.")
    assert "host" not in shown
    assert "ls -l" in done(openstack("exec", "edge-osc", "ls", "-l"))
    assert "cirros" in done(openstack("logs", "edge-osc"))
    done(openstack("network", "attach", "--port", other.id, "edge-osc"))
    until(lambda: settled(library, "edge-osc", "Running"), lambda seen: other.network_id in seen["addresses"])
    done(openstack("network", "detach", "--port", other.id, "edge-osc"))
    until(lambda: settled(library, "edge-osc", "Running"), lambda seen: other.network_id not in seen["addresses"])
    done(openstack("stop", "edge-osc"))
    settled(library, "edge-osc", "Stopped")
    assert "stop" in done(openstack("action", "list", "edge-osc"))
    # It waits until the container is not found any more.
    done(openstack("delete", "--wait", "edge-osc"))
    assert gone(library, "edge-osc")
    refused = openstack("show", "edge-osc")
    assert (refused.code, "could not be found" in refused.err) == (1, True)


def test_openstack_shows_operators_hosts_services_and_quotas(openstack: Callable[..., Said]) -> None:
    hosts = json.loads(done(openstack("host", "list", "-f", "json", token=ADMIN)))
    assert [host["hostname"] for host in hosts] == list(HOSTS)
    assert "type-VF" in done(openstack("host", "show", "node1", token=ADMIN))
    assert "mooring-node" in done(openstack("service", "list", token=ADMIN))
    assert "in_use" in done(openstack("quota", "get", "projA", "--usages", token=ADMIN))
    assert "Policy does not allow" in openstack("host", "list").err


# What nobody would ask


def test_schemathesis_finds_no_failure(programs: Path, api: ServedApi, admin: Library, tmp_path: Path) -> None:
    """Whatever is asked by the document, or against it, is answered as it says, and with no 5xx."""
    names = ["fuzzed", "doomed"]
    for name in names:
        admin("containers", "run", name=name, image="cirros", nets=[{"port": api.add_port().id}])
        settled(admin, name, "Running")
    root = api.endpoint.removesuffix("/v1")
    with urllib.request.urlopen(f"{root}/openapi.json") as answer:  # noqa: S310 - our own server's
        document = json.load(answer)
    # So that not all that is asked is about nothing.
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation["parameters"]:
                if parameter["name"] == "key":
                    parameter["schema"] = {"enum": known(path, method)}
    (tmp_path / "openapi.json").write_text(json.dumps(document))

    said = run(
        [
            *program(programs, "st"),
            *("run", str(tmp_path / "openapi.json"), "--url", root, "--phases", "fuzzing", "--max-examples", "10"),
            *("--checks", "not_a_server_error,status_code_conformance"),
            *("--checks", "content_type_conformance,response_schema_conformance"),
            *("--header", f"X-Auth-Token: {ADMIN}", "--header", "OpenStack-API-Version: container 1.40"),
            *("--seed", "1", "--workers", "2", "--no-shrink", "--suppress-health-check", "all"),
        ],
        environment={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        directory=tmp_path,
    )

    assert said.code == 0, said.out[-5000:]


def known(path: str, method: str) -> list[str]:
    """Return names for the variable part of a path, one of which there is not."""
    if path.startswith("/v1/hosts"):
        return ["node1", "nobody"]
    if path.startswith("/v1/containers"):
        return ["doomed" if method == "delete" else "fuzzed", "nobody"]
    return ["projA", "projB"]
