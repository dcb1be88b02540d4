from __future__ import annotations

import threading
from queue import SimpleQueue

import pytest
from controller_world import World

from mooring.container.states import Status
from mooring.controller.workers import Workers
from mooring.errors import DatabaseUnavailable


class Jobs:
    """Work that lasts until there is none left; ``done`` has who did what."""

    def __init__(self) -> None:
        self.todo: SimpleQueue[object] = SimpleQueue()
        self.done: SimpleQueue[object] = SimpleQueue()

    def work(self) -> bool:
        if self.todo.empty():
            return False
        job = self.todo.get()
        if isinstance(job, Exception):
            raise job
        self.done.put(job)
        return True


@pytest.mark.parametrize("trouble", [DatabaseUnavailable("a test"), ValueError("a mistake of ours")], ids=type)
def test_workers_do_what_is_due_when_they_are_woken_whatever_went_wrong_before(trouble: Exception) -> None:
    jobs, rounds = Jobs(), threading.Event()
    jobs.todo.put(trouble)
    workers = Workers(worker=jobs, rounds=rounds.set, count=2)
    workers.start()
    try:
        jobs.todo.put("one")
        workers.wake()
        assert jobs.done.get(timeout=30) == "one"
        assert rounds.wait(30)
    finally:
        workers.stop()

    jobs.todo.put("late")
    workers.wake()
    assert jobs.done.empty()


def test_a_container_is_led_to_running_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    node = world.add_host()
    is_woken = threading.Event()
    monkeypatch.setattr(node, "wake", is_woken.set)
    workers = Workers(worker=world.worker, rounds=world.rounds.make, count=4)
    workers.start()
    try:
        container = world.create(world.add_port())
        workers.wake()
        assert is_woken.wait(30)
    finally:
        workers.stop()

    node.sync(world.reports)
    assert world.now(container).status is Status.RUNNING


def test_what_the_databases_absence_has_interrupted_goes_on_when_it_is_back() -> None:
    world = World()
    world.add_host()
    container = world.create(world.add_port())
    world.store.fail_write(3, reply_lost=False)
    with pytest.raises(DatabaseUnavailable):
        world.worker.work()
    before = world.clock.now

    assert world.worker.work()
    world.settle()

    assert world.now(container).status is Status.RUNNING
    assert (world.clock.now - before).total_seconds() < 10


def test_a_container_that_another_worker_has_meanwhile_is_left_to_it() -> None:
    world = World()
    world.add_host()
    container = world.create(world.add_port())
    world.store.fail_write(3, reply_lost=False)
    with pytest.raises(DatabaseUnavailable):
        world.worker.work()
    world.clock.pass_(seconds=91)
    other = world.another_controller().worker
    while other.work():
        pass
    given = world.now(container)

    assert not world.worker.work()

    assert world.now(container) == given
