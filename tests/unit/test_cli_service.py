"""The container service from a shell: the real API answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from service_cli_world import NO_HOST, PORT, Core, Front, served

from mooring.cli.main import main
from mooring.rpc.messages import LogQuery

Mooring = Callable[..., int]

ALICE = "alice:projA:member"


@pytest.fixture(scope="module")
def door() -> Iterator[tuple[Front, str]]:
    front = Front()
    with served(front) as endpoint:
        yield front, endpoint


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def mooring(door: tuple[Front, str], core: Core, monkeypatch: pytest.MonkeyPatch) -> Mooring:
    """Runs a command as alice of projA; returns its exit code."""
    monkeypatch.setattr("mooring.cli.service.waiting.POLL_S", 0.0)

    def run(*words: str, token: str = ALICE) -> int:
        # An empty variable is one that is not set.
        monkeypatch.setenv("MOORING_TOKEN", token)
        monkeypatch.setattr(sys, "argv", ["mooring", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    front, endpoint = door
    front.serve(core)
    monkeypatch.setenv("MOORING_ENDPOINT", endpoint)
    return run


Said = Callable[[], str]
Told = Callable[[], list[str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Return the lines of standard error; the service, which shares it here, says of each request that it was one."""
    return lambda: [line for line in capsys.readouterr().err.splitlines() if "api.request" not in line]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return lambda: capsys.readouterr().out


def test_a_container_is_created_with_all_that_was_wished(mooring: Mooring, said: Said, core: Core) -> None:
    words = ["--nets", f"port={PORT}", "-e", "MODE=fast", "--label", "tier=edge", "--hint", "label:rack=7"]
    limits = ["--cpu", "0.5", "--memory", "256", "--restart", "on-failure:3", "--security-group", "web"]

    assert mooring("create", "--name", "edge", *words, *limits, "cirros", "sh", "-c", "sleep 60") == 0

    assert "edge" in said()
    (container,) = core.store.find_containers("edge", "projA")
    assert container.interfaces[0].port_id == PORT
    assert container.spec.command == ("sh", "-c", "sleep 60")
    assert container.spec.environment == {"MODE": "fast"}
    assert container.spec.hints == {"label:rack": "7"}
    assert (container.spec.cpu, container.spec.memory_mib) == (0.5, 256)
    assert container.spec.restart_policy is not None
    assert container.spec.restart_policy.max_retries == 3
    assert container.spec.security_groups == ("web",)


def test_who_waits_is_told_on_standard_error_how_far_it_is(mooring: Mooring, told: Told) -> None:
    assert mooring("create", "--name", "edge", "--wait", "cirros") == 0

    assert told() == ["edge: bind: done", "edge: Creating (image_pulling)", "edge: Created"]


def test_run_returns_when_the_container_runs(mooring: Mooring, said: Said) -> None:
    assert mooring("run", "--name", "edge", "--format", "json", "cirros") == 0

    assert json.loads(said())["status"] == "Running"


def test_a_container_that_finds_no_host_ends_the_wait_with_the_reason(
    mooring: Mooring, core: Core, capsys: pytest.CaptureFixture[str]
) -> None:
    core.full = True

    assert mooring("run", "--name", "edge", "cirros") == 1

    assert f"mooring: edge: {NO_HOST}" in capsys.readouterr().err.splitlines()


def test_who_does_not_want_to_wait_any_longer_is_told_what_goes_on(
    mooring: Mooring, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mooring("run", "--name", "edge", "--timeout", "0", "cirros") == 1

    assert "edge is still Creating" in capsys.readouterr().err


def test_a_terminal_is_refused_before_anything_is_made(
    mooring: Mooring, core: Core, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mooring("run", "--interactive", "--name", "edge", "cirros") == 2

    assert "--interactive is not supported" in capsys.readouterr().err
    assert core.store.find_containers("edge", None) == ()


def test_lists_are_read_to_their_end_and_belong_to_the_project(
    mooring: Mooring, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.cli.service.client.PAGE", 2)
    for number in range(5):
        mooring("create", "--name", f"c{number}", "cirros")
    mooring("create", "--name", "theirs", "cirros", token="bob:projB:member")
    said()

    assert mooring("list", "--format", "json") == 0
    assert [row["name"] for row in json.loads(said())] == ["c0", "c1", "c2", "c3", "c4"]

    assert mooring("list", "--name", "c3") == 0
    headings, row = said().splitlines()
    assert headings.split() == ["UUID", "Name", "Image", "Status"]
    assert row.split()[1:] == ["c3", "cirros", "Creating"]


def test_an_administrator_sees_the_containers_of_all(mooring: Mooring, said: Said) -> None:
    mooring("create", "--name", "mine", "cirros")
    said()

    assert mooring("list", "--all-projects", token="root:projX:admin") == 0
    assert "mine" in said()
    assert mooring("list", "--all-projects") == 1


def test_no_containers_are_told_as_such_and_to_programs_as_an_empty_list(mooring: Mooring, said: Said) -> None:
    assert mooring("list") == 0
    assert said() == "no containers\n"
    assert mooring("list", "--format", "json") == 0
    assert said() == "[]\n"


def test_what_the_service_refuses_is_one_sentence_of_its_own_with_the_request(mooring: Mooring, told: Told) -> None:
    assert mooring("show", "nobody") == 1

    (line,) = told()
    assert line.startswith("mooring: Container nobody could not be found")
    assert "(HTTP 404, request req-" in line


def test_a_verb_waits_for_its_own_end(mooring: Mooring, said: Said) -> None:
    mooring("create", "--name", "edge", "--wait", "cirros")

    assert mooring("start", "edge", "--wait") == 0
    said()
    mooring("show", "edge", "--format", "json")
    assert json.loads(said())["status"] == "Running"
    assert mooring("stop", "edge", "--wait") == 0
    assert mooring("stop", "edge") == 1


def test_what_was_taken_away_is_waited_for_until_it_is_gone(mooring: Mooring, core: Core) -> None:
    mooring("create", "--name", "edge", "--wait", "cirros")

    assert mooring("delete", "edge", "--wait") == 0

    assert core.store.find_containers("edge", None) == ()


def test_a_command_in_a_container_keeps_its_words_its_output_and_its_exit_code(
    mooring: Mooring, said: Said, core: Core
) -> None:
    mooring("create", "--name", "edge", "cirros")
    said()

    assert mooring("exec", "edge", "sh", "-c", 'echo "a  b"; exit 7', "--flag") == 7

    assert said() == "hello\n"
    assert core.executed == [("sh", "-c", 'echo "a  b"; exit 7', "--flag")]


def test_logs_are_printed_as_they_were_written(mooring: Mooring, said: Said, core: Core) -> None:
    mooring("create", "--name", "edge", "cirros")
    said()

    assert mooring("logs", "edge", "--tail", "2", "--timestamps") == 0

    assert said() == "one\ntwo\n"
    assert core.asked_logs == [LogQuery(tail=2, timestamps=True)]


def test_what_was_asked_of_a_container_is_listed_with_its_end(mooring: Mooring, said: Said, core: Core) -> None:
    core.full = True
    mooring("run", "--name", "edge", "cirros")
    said()

    assert mooring("actions", "edge", "--format", "json") == 0
    (action,) = json.loads(said())
    assert (action["action"], action["message"]) == ("create", NO_HOST)
    assert mooring("actions", "edge", action["request_id"]) == 0


def test_processes_usage_and_ports_are_shown(mooring: Mooring, said: Said) -> None:
    mooring("create", "--name", "edge", "--net", f"port={PORT}", "cirros")
    said()

    assert mooring("top", "edge") == 0
    assert said().splitlines()[1].split() == ["1", "sleep", "60"]
    assert mooring("stats", "edge") == 0
    assert "MEM %           25.0" in said()
    assert mooring("net", "list", "edge") == 0
    assert PORT in said()


def test_an_administrator_sees_hosts_services_devices_and_images(mooring: Mooring, said: Said, core: Core) -> None:
    core.add_host("node1")
    core.add_host("node2")
    root = "root:projX:admin"

    assert mooring("host", "list", token=root) == 0
    assert "0 of 8" in said()
    assert mooring("pci", "list", "--all", "--format", "json", token=root) == 0
    devices = json.loads(said())
    assert [(it["host"], it["address"], it["status"]) for it in devices] == [
        ("node1", "0000:3b:10.0", "available"),
        ("node2", "0000:3b:10.0", "available"),
    ]
    assert mooring("pci", "list", "--all", token=root) == 0
    assert "physnet1" in said()
    assert mooring("image", "list", token=root) == 0
    assert "cirros" in said()
    assert mooring("host", "show", "node1", token=root) == 0
    assert "pci_pools" in said()
    assert mooring("host", "list") == 1


def test_an_administrator_takes_a_host_out_of_service_and_forgets_it(mooring: Mooring, said: Said, core: Core) -> None:
    core.add_host("node1")
    root = "root:projX:admin"

    assert mooring("service", "disable", "node1", "--reason", "new card", token=root) == 0
    assert mooring("service", "force-down", "node1", token=root) == 0
    assert mooring("service", "list", token=root) == 0
    assert "forced down" in (listed := said())
    assert "new card" in listed
    assert mooring("service", "force-down", "node1", "--unset", token=root) == 0
    assert mooring("service", "enable", "node1", token=root) == 0
    assert not core.store.host("node1").disabled
    assert not core.store.host("node1").forced_down
    assert mooring("service", "forget", "node1", token=root) == 0
    assert core.store.hosts() == ()


def test_a_project_sees_its_quota_and_an_administrator_changes_it(mooring: Mooring, said: Said) -> None:
    assert mooring("quota", "set", "projA", "--containers", "3", token="root:projX:admin") == 0

    assert mooring("quota", "show", "--format", "json") == 0
    assert json.loads(said())["containers"] == {"limit": 3.0, "in_use": 0.0}
    assert mooring("quota", "set", "projA", "--containers", "9") == 1


def test_a_service_that_is_not_there_is_told_as_such(mooring: Mooring, capsys: pytest.CaptureFixture[str]) -> None:
    assert mooring("list", "--endpoint", "http://127.0.0.1:1/v1") == 1

    assert "see whether the service runs and --endpoint is right" in capsys.readouterr().err


def test_somebody_who_does_not_say_who_they_are_is_told_how(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["mooring", "list"])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert "--os-cloud, OS_CLOUD" in capsys.readouterr().err


CLOUDS = """
clouds:
  edge:
    auth_type: admin_token
    auth: {{endpoint: "{endpoint}", token: "alice:projA:member"}}
"""


# openstacksdk's own, of a database that nobody configured.
@pytest.mark.filterwarnings("ignore:Support for InfluxDB")
@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_cloud_is_found_in_clouds_yaml(
    mooring: Mooring, door: tuple[Front, str], told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    (tmp_path / "clouds.yaml").write_text(CLOUDS.format(endpoint=door[1]))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    monkeypatch.delenv("MOORING_ENDPOINT")
    if way == "variable":
        monkeypatch.setenv("OS_CLOUD", "edge")

    assert mooring("list", *(["--os-cloud", "edge"] if way == "option" else []), token="") == 0
    assert mooring("list", "--os-cloud", "egde", token="") == 2
    assert "egde" in told()[-1]
