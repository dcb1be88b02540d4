from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest
from controller_world import World

from mooring.container.states import Status
from mooring.controller import pulse
from mooring.controller.pulse import Pulse
from mooring.controller.workers import Workers
from mooring.errors import BusUnavailable, DatabaseUnavailable
from mooring.process.watchdog import LONGEST_SILENCE_S, Watchdog


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
    workers = Workers(worker=jobs, rounds=rounds.set, count=2, watchdog=Watchdog())
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
    workers = Workers(worker=world.worker, rounds=world.rounds.make, count=4, watchdog=Watchdog())
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


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_thread_that_hangs_is_missed_by_the_watchdog_and_one_that_idles_is_not() -> None:
    clock, hanging, released = Clock(), threading.Barrier(3), threading.Event()
    watchdog = Watchdog(clock=clock)

    def hang() -> None:
        hanging.wait(30)
        assert released.wait(30)

    jobs = Jobs()
    jobs.work = lambda: bool(hang())  # type: ignore[method-assign]
    workers = Workers(worker=jobs, rounds=hang, count=1, watchdog=watchdog)
    workers.start()
    try:
        hanging.wait(30)
        assert watchdog.silent() == ()
        clock.now = LONGEST_SILENCE_S + 1
        assert sorted(watchdog.silent()) == ["rounds", "worker-0"]
    finally:
        released.set()
        jobs.work = lambda: False  # type: ignore[method-assign]
        hanging.abort()
        workers.stop()


class Wire:
    """A bus that carries what a pulse sends, loses it, or is away."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        self.calls: SimpleQueue[str] = SimpleQueue()
        self.state = "well"

    def call(self) -> None:
        self.calls.put(self.state)
        if self.state == "away":
            raise BusUnavailable("calling", "a test")
        if self.state == "well":
            self._heard()


@pytest.mark.parametrize(("state", "missed"), [("well", ()), ("away", ()), ("deaf", ("bus",))])
def test_an_end_of_the_bus_that_does_not_hear_is_missed_but_not_an_absent_broker(
    monkeypatch: pytest.MonkeyPatch, state: str, missed: tuple[str, ...]
) -> None:
    monkeypatch.setattr(pulse, "_EVERY_S", 0.001)
    clock = Clock()
    watchdog = Watchdog(clock=clock)
    beating = Pulse(watchdog)
    wire = Wire(beating.heard)
    beating.start(wire.call)
    try:
        assert wire.calls.get(timeout=30)
        wire.state = state
        while wire.calls.get(timeout=30) != state:
            pass
        clock.now = LONGEST_SILENCE_S + 1
        # One that had begun before may end now; the next one is of this time.
        for _ in range(3):
            wire.calls.get(timeout=30)
        assert watchdog.silent() == missed
    finally:
        beating.stop(30)


def test_a_pulse_that_was_stopped_has_made_its_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_EVERY_S", 0.001)
    beating = Pulse(Watchdog())
    calling, may_return = threading.Event(), threading.Event()

    def call() -> None:
        calling.set()
        may_return.wait(30)

    beating.start(call)
    assert calling.wait(30)
    may_return.set()
    beating.stop(30)

    assert "bus-pulse" not in {thread.name for thread in threading.enumerate()}
