"""What Docker is told and what it tells: the words on both sides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mooring.container.spec import ContainerSpec, Healthcheck, RestartPolicy
from mooring.container.states import Status
from mooring.node.containers.answers import ending_of, gathered, images_of, usage_of
from mooring.node.containers.creation import creation_of
from mooring.node.containers.inspection import detail_of, found_in, status_of
from mooring.node.containers.runtime import Link, Plan

INSPECTED: dict[str, Any] = {
    "Id": "d0c4e7",
    "Config": {
        "Labels": {"mooring.container": "c1", "mooring.service": "s1", "mooring.operation": "7", "tier": "edge"},
        "Cmd": ["sleep", "600"],
        "Entrypoint": None,
    },
    "State": {
        "Status": "running",
        "StartedAt": "2026-01-05T09:00:00.123456789Z",
        "ExitCode": 0,
        "Error": "",
        "Health": {"Status": "healthy"},
    },
    "NetworkSettings": {
        "Networks": {
            "mooring-01-n2": {"DriverOpts": {"neutron.port.uuid": "p2"}, "EndpointID": "e2"},
            "mooring-00-n1": {"DriverOpts": {"neutron.port.uuid": "p1"}, "EndpointID": "e1"},
            "mooring-02-n3": {"DriverOpts": {"neutron.port.uuid": "p3"}, "EndpointID": ""},
            "bridge": {"DriverOpts": None, "EndpointID": "e3"},
        }
    },
}


def inspected(**state: object) -> dict[str, Any]:
    return {**INSPECTED, "State": {**INSPECTED["State"], **state}}


def test_a_running_container_is_read() -> None:
    found = found_in(INSPECTED)

    assert (found.uuid, found.service, found.number, found.runtime_id) == ("c1", "s1", 7, "d0c4e7")
    assert found.started_at == datetime(2026, 1, 5, 9, 0, 0, 123456, tzinfo=UTC)
    assert (found.command, found.entrypoint, found.health, found.exit_code) == (
        ("sleep", "600"),
        None,
        "healthy",
        None,
    )
    # The third could not be connected.
    assert [link.port_id for link in found.links] == ["p1", "p2"]


def test_a_container_that_does_not_run_has_no_endpoints_but_is_to_have_its_ports() -> None:
    found = found_in(inspected(Status="exited"))

    assert [link.port_id for link in found.links] == ["p1", "p2", "p3"]


@pytest.mark.parametrize(
    ("state", "status", "detail"),
    [
        ({"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"}, Status.CREATED, "Created"),
        ({"Status": "running"}, Status.RUNNING, "Up"),
        ({"Status": "paused"}, Status.PAUSED, "Up (paused)"),
        ({"Status": "restarting"}, Status.RESTARTING, "Restarting"),
        ({"Status": "exited", "ExitCode": 3}, Status.STOPPED, "Exited(3)"),
        ({"Status": "dead", "ExitCode": 1}, Status.DEAD, "Exited(1)"),
        ({"Status": "removing"}, Status.DELETING, "Removing"),
        ({"Status": "new in Docker 40"}, Status.UNKNOWN, "New in docker 40"),
    ],
)
def test_every_state_of_dockers_has_a_name_here(state: dict[str, object], status: Status, detail: str) -> None:
    found = found_in(inspected(**state))

    assert (status_of(found), detail_of(found)) == (status, detail)
    assert (found.started_at is None) is (status is Status.CREATED)


def test_what_the_owner_left_open_is_left_to_the_image_and_to_docker() -> None:
    made = creation_of(Plan(uuid="c1", service="s1", number=1, spec=ContainerSpec(name="web", image="nginx")))

    told = {key: value for key, value in made.arguments.items() if value not in (None, [], {}, False)}
    assert told == {
        "name": "mooring-c1",
        "image": "nginx",
        "labels": {"mooring.container": "c1", "mooring.service": "s1", "mooring.operation": "1"},
    }
    assert made.host["network_mode"] == "none"
    assert "restart_policy" not in made.host
    assert "devices" not in made.host


def test_all_that_the_owner_asked_for_is_told() -> None:
    spec = ContainerSpec(
        name="web",
        image="nginx",
        command=("run",),
        entrypoint=("/bin/sh", "-c"),
        cpu=1.5,
        memory_mib=100,
        environment={"A": "1"},
        labels={"tier": "edge", "mooring.container": "another"},
        workdir="/srv",
        hostname="edge",
        restart_policy=RestartPolicy(name="on-failure", max_retries=3),
        interactive=True,
        tty=True,
        auto_remove=True,
        privileged=True,
        runtime="kata",
        exposed_ports=("80/tcp", "53/udp"),
        healthcheck=Healthcheck(test="true", interval_s=2, retries=4),
    )

    made = creation_of(
        Plan(
            uuid="c1",
            service="s1",
            number=1,
            spec=spec,
            link=Link(network="mooring-00-n1", port_id="p1"),
            mounts=(("/var/lib/mooring/0", "/etc/motd"),),
        )
    )

    arguments, host = made.arguments, made.host
    assert arguments["labels"]["mooring.container"] == "c1"
    assert (arguments["command"], arguments["entrypoint"]) == (["run"], ["/bin/sh", "-c"])
    assert arguments["ports"] == [("80", "tcp"), ("53", "udp")]
    assert arguments["healthcheck"]["interval"] == 2_000_000_000
    assert (host["cpu_quota"], host["mem_limit"], host["memswap_limit"]) == (150_000, 100 << 20, 200 << 20)
    assert host["restart_policy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert (host["network_mode"], host["privileged"], host["runtime"]) == ("mooring-00-n1", True, "kata")
    assert host["binds"] == ["/var/lib/mooring/0:/etc/motd:ro"]


@pytest.mark.parametrize(
    ("chunks", "text"), [([], ""), ([b"ab", b"cd"], "abcd"), ([b"0123", b"456789abc"], "3456789abc"), ([b"\xff"], "�")]
)
def test_of_much_text_the_end_is_kept(chunks: list[bytes], text: str) -> None:
    assert ending_of(chunks, 10) == text


def test_an_archive_that_is_too_large_is_not_gathered() -> None:
    assert gathered([b"1234", b"5678"], 8) == b"12345678"
    assert gathered([b"1234", b"56789"], 8) is None


def test_the_processors_share_is_of_the_time_since_the_reading_before() -> None:
    stats = {
        "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 4},
        "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
        "memory_stats": {"usage": 5, "limit": 9},
        "blkio_stats": {"io_service_bytes_recursive": [{"op": "read", "value": 7}, {"op": "Write", "value": 8}]},
        "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
    }

    usage = usage_of(stats)

    assert (usage.cpu_percent, usage.memory_bytes, usage.memory_limit_bytes) == (80.0, 5, 9)
    assert (usage.block_read_bytes, usage.block_write_bytes) == (7, 8)
    assert (usage.received_bytes, usage.sent_bytes) == (11, 22)


def test_a_container_without_network_or_history_uses_nothing_of_them() -> None:
    stats = {
        "cpu_stats": {"cpu_usage": {"total_usage": 0}},
        "precpu_stats": {"cpu_usage": {"total_usage": 0}},
        "memory_stats": {},
        "blkio_stats": {"io_service_bytes_recursive": None},
    }

    assert usage_of(stats).model_dump() == dict.fromkeys(usage_of(stats).model_dump(), 0)


def test_an_image_is_listed_under_each_of_its_names() -> None:
    listed = [
        {"Id": "i1", "RepoTags": ["nginx:1.27", "registry:5000/web/nginx:latest"], "Size": 5},
        {"Id": "i2", "RepoTags": ["<none>:<none>"], "Size": 5},
        {"Id": "i3", "RepoTags": None, "Size": 5},
    ]

    names = [(image.repository, image.tag) for image in images_of(listed)]

    assert names == [("nginx", "1.27"), ("registry:5000/web/nginx", "latest")]
