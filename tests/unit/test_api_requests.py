"""Bodies and queries: what clients write, however they write it, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import json
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.api.container_inside import LogsQuery
from mooring.api.container_verbs import KillQuery, RebuildQuery
from mooring.api.containers import ListQuery
from mooring.api.reading import parse_body, parse_query
from mooring.api.schemas import CreateBody
from mooring.api.versions import MAXIMUM, Version
from mooring.container.spec import ContainerSpec, Healthcheck, Mount, PullPolicy, RestartPolicy
from mooring.controller.api import NetworkWish
from mooring.errors import InvalidRequest, MooringError

FILE = base64.b64encode(b"hello").decode()


def parsed(version: Version = MAXIMUM, **fields: object) -> CreateBody:
    return parse_body(CreateBody, json.dumps({"image": "cirros", **fields}).encode(), version=version)


def spec(**fields: object) -> ContainerSpec:
    return parsed(**fields).spec(pull_policy="ifnotpresent")


def test_what_the_command_line_sends_for_an_empty_command_line() -> None:
    # python-zunclient 5.5.0: these are always there.
    sent = {"environment": {}, "labels": {}, "hints": {}, "nets": [], "mounts": [], "auto_remove": False, "command": []}
    container = spec(**sent)

    assert container.command is None
    assert container.cpu == 1.0
    assert container.memory_mib == 512
    assert container.disk_gib is None
    assert container.image_pull_policy is PullPolicy.IF_NOT_PRESENT
    assert container.name.endswith("-container")


def test_null_says_the_same_as_leaving_out() -> None:
    nullable = [name for name in CreateBody.model_fields if name not in ("image", "hostname", "name")]

    assert spec(name="web", **dict.fromkeys(nullable)) == spec(name="web")


@pytest.mark.parametrize(
    ("field", "sent", "attribute", "kept"),
    [
        ("cpu", "0.5", "cpu", 0.5),
        ("cpu", 2, "cpu", 2.0),
        ("memory", "100", "memory_mib", 100),
        ("disk", "7", "disk_gib", 7),
        ("command", ["sh", "-c", "a b"], "command", ("sh", "-c", "a b")),
        ("entrypoint", ["/init"], "entrypoint", ("/init",)),
        ("image_driver", "None", "image_driver", "docker"),
        ("image_pull_policy", "Always", "image_pull_policy", PullPolicy.ALWAYS),
        ("image_pull_policy", "", "image_pull_policy", PullPolicy.IF_NOT_PRESENT),
        ("interactive", "True", "interactive", True),
        ("auto_heal", "false", "auto_heal", False),
        ("auto_remove", True, "auto_remove", True),
        ("hostname", "web-1.example", "hostname", "web-1.example"),
        ("security_groups", ["b", "a", "b"], "security_groups", ("b", "a")),
        ("exposed_ports", {"80": {}, "53/udp": {}}, "exposed_ports", ("80/tcp", "53/udp")),
        ("hints", {"pci_passthrough:alias": "qat:2"}, "hints", {"pci_passthrough:alias": "qat:2"}),
        ("restart_policy", {"Name": "no", "MaximumRetryCount": 3}, "restart_policy", RestartPolicy(name="no")),
        (
            "restart_policy",
            {"Name": "on-failure", "MaximumRetryCount": "3"},
            "restart_policy",
            RestartPolicy(name="on-failure", max_retries=3),
        ),
        (
            "healthcheck",
            {"cmd": "true", "interval": "5", "retries": 2},
            "healthcheck",
            Healthcheck(test="true", interval_s=5, retries=2),
        ),
        (
            "mounts",
            [{"type": "bind", "source": FILE, "destination": "/etc/motd"}],
            "mounts",
            (Mount(destination="/etc/motd", content=FILE),),
        ),
    ],
)
def test_values_are_read_as_clients_write_them(field: str, sent: object, attribute: str, kept: object) -> None:
    assert getattr(spec(**{field: sent}), attribute) == kept


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"image": "x"}, "image"),
        ({"name": "-web"}, "name"),
        ({"name": "w"}, "name"),
        ({"cpu": True}, "cpu"),
        ({"cpu": 0.01}, "cpu"),
        ({"cpu": "much"}, "cpu"),
        ({"memory": "512m"}, "memory"),
        ({"memory": 2}, "memory"),
        ({"disk": 161}, "disk"),
        ({"command": "true"}, "command"),
        ({"environment": {"K": ["a", "b"]}}, "environment.K"),
        ({"labels": {"K": 1}}, "labels.K"),
        ({"hostname": None}, "hostname"),
        ({"hostname": "a_b c"}, "hostname"),
        ({"image_driver": "oci"}, "image_driver"),
        ({"image_pull_policy": "often"}, "image_pull_policy"),
        ({"interactive": "perhaps"}, "interactive"),
        ({"auto_remove": "true"}, "auto_remove"),
        ({"restart_policy": {"Name": "always", "MaximumRetryCount": 1}}, "MaximumRetryCount"),
        ({"restart_policy": {"Name": "never"}}, "restart_policy.Name"),
        ({"restart_policy": {"Name": "always"}, "auto_remove": True}, "auto_remove"),
        ({"security_groups": ["a"], "exposed_ports": {"80/tcp": {}}}, "exclude each other"),
        ({"exposed_ports": {"80/sctp": {}}}, "exposed_ports"),
        ({"exposed_ports": {"70000": {}}}, "exposed_ports"),
        ({"mounts": [{"source": "disk1", "destination": "/data"}]}, "volumes are not supported"),
        ({"mounts": [{"type": "bind", "source": "no base64!", "destination": "/data"}]}, "not base64"),
        ({"mounts": [{"type": "bind", "destination": "/data"}]}, "source is missing"),
        ({"registry": "r1"}, "registries are not supported"),
        ({"nets": [{"port": "p", "network": "n"}]}, "either network or port"),
        ({"nets": [{}]}, "either network or port"),
        ({"nets": [{"port": "", "network": ""}]}, "either network or port"),
        ({"nets": [{"network": "n", "v4-fixed-ip": "10.0.0.999"}]}, "v4-fixed-ip"),
        ({"nets": [{"network": "n", "vnic_type": "direct"}]}, "vnic_type"),
        ({"naem": "web"}, "did you mean name?"),
        ({"name": "we\0b"}, "NUL"),
        ({"labels": {"a\0": "b"}}, "NUL"),
    ],
)
def test_what_means_nothing_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(**fields)

    assert named in str(refused.value)


def test_interfaces_come_in_the_order_in_which_they_were_asked_for() -> None:
    nets = [{"port": "p1"}, {"network": "mgmt", "v4-fixed-ip": "192.0.2.20", "v6-fixed-ip": "2001:db8::7"}]
    wishes = [net.value for net in parsed(nets=nets).nets or ()]

    assert wishes == [
        NetworkWish(port="p1"),
        NetworkWish(network="mgmt", addresses=(ip_address("192.0.2.20"), ip_address("2001:db8::7"))),
    ]


def test_empty_keys_of_an_interface_are_absent_as_in_the_example_of_zuns_specification() -> None:
    nets = [{"v4-fixed-ip": "", "network": "", "v6-fixed-ip": "", "port": "890699a9"}]

    assert [net.value for net in parsed(nets=nets).nets or ()] == [NetworkWish(port="890699a9")]


def test_an_address_beside_a_port_is_for_who_knows_the_ports_to_judge() -> None:
    (net,) = parsed(nets=[{"port": "p", "v4-fixed-ip": "10.0.0.9"}]).nets or ()

    assert net.value == NetworkWish(port="p", addresses=(ip_address("10.0.0.9"),))


def test_a_command_of_an_old_client_is_split_like_a_shells() -> None:
    assert parsed((1, 19), command='"sh" "-c" "x y"').command == ("sh", "-c", "x y")
    with pytest.raises(InvalidRequest, match="command"):
        parsed((1, 19), command='"sh')


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"text"', b"\xff", b"[" * 5000, b"1" * 5000, b'{"image": "\\ud800"}', b"NaN"],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="body"):
        parse_body(CreateBody, body, version=MAXIMUM)


def test_a_number_that_is_too_large_for_any_machine_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        parse_body(CreateBody, b'{"image": "cirros", "hints": {"a": [1e999]}}', version=MAXIMUM)


TEXT = st.text("aZ0:/=-.\0é ", max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(CreateBody.model_fields)), JSON))
def test_any_json_is_a_container_or_a_refusal(fields: dict[str, Any]) -> None:
    with contextlib.suppress(MooringError):
        parsed(**fields).spec(pull_policy="always")


@pytest.mark.parametrize("text", ["1", "true", "True", "ON", "yes"])
def test_a_query_says_yes_in_many_ways(text: str) -> None:
    assert parse_query(ListQuery, [("all_projects", text)]).all_projects is True


def test_none_as_a_text_is_nothing() -> None:
    assert parse_query(KillQuery, [("signal", "None")]).signal is None
    assert parse_query(RebuildQuery, [("image", "None"), ("image_driver", "None")]) == RebuildQuery()


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("SIGTERM", "SIGTERM"), ("term", "SIGTERM"), ("15", "15")],
)
def test_signals_have_many_names(sent: str, meant: str) -> None:
    assert parse_query(KillQuery, [("signal", sent)]).signal == meant


@pytest.mark.parametrize("text", ["SIGFOO", "0", "99", "1; reboot"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="signal"):
        parse_query(KillQuery, [("signal", text)])


def test_logs_are_asked_for_in_all_of_the_clients_ways() -> None:
    query = parse_query(
        LogsQuery, [("stdout", "True"), ("stderr", "False"), ("tail", "all"), ("since", "1970-01-01 00:01:00,500000")]
    )

    assert (query.stdout, query.stderr, query.tail, query.since) == (True, False, None, 60.5)
    assert parse_query(LogsQuery, [("since", "1700000000"), ("tail", "3")]).since == 1_700_000_000
    assert parse_query(LogsQuery, [("since", "None"), ("tail", "None")]) == LogsQuery()


@pytest.mark.parametrize(
    "pairs",
    [
        [("limit", "0")],
        [("limit", "-1")],
        [("limit", "many")],
        [("sort_dir", "up")],
        [("sort_key", "colour")],
        [("colour", "red")],
        [("all_projects", "maybe")],
        [("name", "a"), ("name", "b")],
        [("name", "a\0")],
    ],
)
def test_a_query_that_means_nothing_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_query(ListQuery, pairs)

    assert pairs[0][0] in str(refused.value) or "NUL" in str(refused.value)


def test_a_page_has_an_end() -> None:
    assert parse_query(ListQuery, [("limit", "5000")]).limit == 1000
