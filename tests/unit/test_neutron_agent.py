from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import pytest
from structlog.testing import capture_logs

from mooring.neutron.agent import AgentDuty
from mooring.neutron.api import AGENT_TYPE
from mooring.testing.neutron import FakeNeutron

HOST = "node1"
MAPPINGS = {"physnet2": ("ens5",)}


class Starts(FakeNeutron):
    """Also remembers which reports were marked as the first."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[bool] = []
        self.reported = threading.Semaphore(0)

    def report_agent(self, host: str, mappings: Mapping[str, tuple[str, ...]], *, started: bool) -> None:
        super().report_agent(host, mappings, started=started)
        self.starts.append(started)
        self.reported.release()


@pytest.fixture
def neutron() -> Starts:
    return Starts()


@pytest.fixture
def duty(neutron: Starts) -> Iterator[AgentDuty]:
    duty = AgentDuty(host=HOST, agents=neutron, bus=neutron, mappings=lambda: MAPPINGS)
    yield duty
    duty.stop()


def rows(neutron: FakeNeutron) -> list[Mapping[str, object]]:
    return [agent.configurations for agent in neutron.agents(host=HOST, agent_type=AGENT_TYPE)]


def test_a_host_without_an_agent_is_reported_and_ready(neutron: Starts, duty: AgentDuty) -> None:
    assert not duty.ready.is_set()

    assert duty.beat() == 30

    assert duty.ready.is_set()
    assert rows(neutron)[0]["device_mappings"] == {"physnet2": ["ens5"]}


def test_only_the_first_report_says_that_the_agent_started(neutron: Starts, duty: AgentDuty) -> None:
    for _ in range(3):
        duty.beat()

    assert neutron.starts == [True, False, False]


def test_a_real_agent_that_comes_back_gets_its_duty_back(neutron: Starts, duty: AgentDuty) -> None:
    duty.beat()
    neutron.add_agent(HOST, {"physnet2": ["ens9"]})

    duty.beat()

    assert rows(neutron) == [{"device_mappings": {"physnet2": ["ens9"]}}]


def test_a_real_agent_keeps_its_duty(neutron: Starts, duty: AgentDuty) -> None:
    neutron.add_agent(HOST, {"physnet2": ["ens9"]})

    duty.beat()

    assert duty.ready.is_set()
    assert rows(neutron) == [{"device_mappings": {"physnet2": ["ens9"]}}]


def test_a_real_agent_that_died_is_relieved(neutron: Starts, duty: AgentDuty) -> None:
    neutron.add_agent(HOST, {"physnet2": ["ens9"]})
    duty.beat()
    neutron.kill_agent(HOST)

    duty.beat()

    assert neutron.starts == [True]


def test_moorings_own_row_of_an_earlier_run_is_no_real_agent(neutron: Starts, duty: AgentDuty) -> None:
    AgentDuty(host=HOST, agents=neutron, bus=neutron, mappings=lambda: MAPPINGS).beat()

    duty.beat()

    assert neutron.starts == [True, True]


def test_an_agent_of_another_host_is_none_of_ours(neutron: Starts, duty: AgentDuty) -> None:
    neutron.add_agent("node2", {})

    duty.beat()

    assert neutron.starts == [True]


@pytest.mark.parametrize("switch", ["unreachable", "bus_unreachable"])
def test_a_failure_is_tried_again_soon_and_told_once(neutron: Starts, duty: AgentDuty, switch: str) -> None:
    setattr(neutron, switch, True)

    with capture_logs() as logs:
        pauses = [duty.beat() for _ in range(3)]
        ready = duty.ready.is_set()
        setattr(neutron, switch, False)
        duty.beat()

    assert (pauses, ready) == ([5, 5, 5], False)
    assert [entry["event"] for entry in logs] == ["agent.not-reported", "agent.reported"]
    assert neutron.starts == [True]


def test_after_a_failure_neutron_is_asked_again(neutron: Starts, duty: AgentDuty) -> None:
    duty.beat()
    neutron.bus_unreachable = True
    duty.beat()
    neutron.bus_unreachable = False
    neutron.add_agent(HOST, {})

    duty.beat()

    assert rows(neutron) == [{"device_mappings": {}}]


def test_mappings_that_cannot_be_told_do_not_end_the_reports(neutron: Starts) -> None:
    answers = iter([OSError("no such device"), MAPPINGS])

    def mappings() -> Mapping[str, tuple[str, ...]]:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    duty = AgentDuty(host=HOST, agents=neutron, bus=neutron, mappings=mappings)

    assert [duty.beat(), duty.beat()] == [5, 30]


def test_the_duty_runs_by_itself_until_it_is_stopped(neutron: Starts) -> None:
    duty = AgentDuty(host=HOST, agents=neutron, bus=neutron, mappings=lambda: MAPPINGS, interval=0.001)
    duty.start()
    assert neutron.reported.acquire(timeout=10)
    assert neutron.reported.acquire(timeout=10)

    duty.stop()

    assert not duty._thread.is_alive()
    assert neutron.starts[:2] == [True, False]


def test_a_duty_that_never_began_can_be_stopped(duty: AgentDuty) -> None:
    duty.stop()
