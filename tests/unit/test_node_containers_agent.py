"""When the agent syncs: at once, when woken, after failures at growing intervals; and that it ends when told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from containers_world import UUID, World
from structlog.testing import capture_logs

from mooring.container.states import Status, Verb
from mooring.node.containers.runtime import EngineHost
from mooring.rpc.messages import NodeReport, Wanted


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


class Heard:
    """Lets each sync of a controller's be waited for."""

    def __init__(self, world: World) -> None:
        self._syncs = threading.Semaphore(0)
        self._answer: Callable[[NodeReport], Wanted] = world.controller.sync
        world.controller.sync = self._sync  # type: ignore[method-assign]

    def _sync(self, report: NodeReport) -> Wanted:
        try:
            return self._answer(report)
        finally:
            self._syncs.release()

    def wait(self) -> None:
        assert self._syncs.acquire(timeout=10)


def test_it_syncs_at_once_when_woken_and_after_each_operation(world: World) -> None:
    heard = Heard(world)

    world.agent.start()
    heard.wait()
    world.controller.want(Verb.CREATE, world.interface(), run=True)
    world.agent.wake()
    heard.wait()
    heard.wait()

    assert world.told().status is Status.RUNNING
    world.agent.stop()


def test_a_controller_that_is_away_is_told_of_once_and_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.node.containers.agent._FIRST_PAUSE_S", 0.01)
    heard = Heard(world)
    world.controller.away = True

    with capture_logs() as log:
        world.agent.start()
        for _ in range(3):
            heard.wait()
        world.controller.away = False
        heard.wait()
        heard.wait() if len(world.controller.reports) == 0 else None
        world.agent.stop()

    events = [entry["event"] for entry in log if entry["event"].startswith("sync.")]
    assert events == ["sync.interrupted", "sync.resumed"]


def test_what_was_begun_goes_on_before_any_controller_answers(world: World) -> None:
    world.controller.want(Verb.CREATE, world.interface(), run=True)
    world.docker.fail_call(3, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        world.agent.sync()
    world.controller.away = True

    world.restart()

    assert world.docker.by_uuid[UUID].runs


def test_a_container_that_is_made_while_a_report_is_written_is_not_told_of_as_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Callable[[], None]] = []
    world.spawn = lambda _name, do: begun.append(do)
    world.restart()
    world.controller.want(Verb.CREATE, world.interface(), run=True)
    world.agent.sync()
    tell = world.docker.host

    def end_operations_and_tell() -> EngineHost:
        while begun:
            begun.pop()()
        return tell()

    monkeypatch.setattr(world.docker, "host", end_operations_and_tell)
    world.agent.sync()
    late = world.told().status
    world.agent.sync()

    assert (late, world.told().status) == (Status.CREATING, Status.RUNNING)


def test_a_fault_of_ours_in_one_sync_does_not_end_the_agent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mooring.node.containers.agent._FIRST_PAUSE_S", 0.01)
    heard = Heard(world)
    monkeypatch.setattr(world.controller, "wanted", None)

    with capture_logs() as log:
        world.agent.start()
        heard.wait()
        world.controller.wanted = {}
        heard.wait()
        world.agent.stop()

    assert "sync.broken" in [entry["event"] for entry in log]


def test_a_fault_of_ours_in_an_operation_fails_it_without_its_internals(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(_uuid: str) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(world.docker, "start", stumble)
    world.controller.want(Verb.CREATE, run=True)

    with capture_logs():
        world.settle()

    assert "it failed inside mooring" in world.failure().message
    assert "secret" not in world.failure().message
