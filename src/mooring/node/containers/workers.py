"""The threads that operations are carried out in: one for each container that has something to be done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from mooring.container.states import TaskState
from mooring.errors import MooringError
from mooring.node.containers.memory import Memory, Remembered
from mooring.node.containers.operations import Operations
from mooring.node.containers.work import NotYet, Superseded, Work
from mooring.rpc.messages import Done, Failure, FailureKind

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0

log = structlog.get_logger(__name__)


def in_thread(name: str, do: Callable[[], None]) -> None:
    """Have something done in a thread that holds no program up."""
    threading.Thread(target=do, name=name, daemon=True).start()


class Workers:
    """Does for each container what is due, one thing after another; containers do not wait for each other.

    What cannot be done now is tried again, at growing intervals. ``on_done`` is called whenever something has come to
    an end, or has come as far as somebody may like to know. ``spawn`` begins a thread, ``pause`` waits in one.
    """

    def __init__(
        self,
        memory: Memory,
        operations: Operations,
        *,
        on_done: Callable[[], None],
        spawn: Callable[[str, Callable[[], None]], None] = in_thread,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._memory = memory
        self._operations = operations
        self._on_done = on_done
        self._spawn = spawn
        self._stopping = threading.Event()
        self._pause = pause or self._stopping.wait
        self._lock = threading.Lock()
        self._at_work: set[str] = set()
        self._unwanted: set[str] = set()
        self._progress: dict[str, TaskState] = {}

    def offer(self, uuid: str, *, wanted: bool = True) -> None:
        """See to it that what is due for a container is done, or that it is taken away: nobody wants it."""
        with self._lock:
            (self._unwanted.discard if wanted else self._unwanted.add)(uuid)
            if uuid in self._at_work or self._stopping.is_set():
                return
            self._at_work.add(uuid)
        self._spawn(f"container-{uuid[:8]}", partial(self._work, uuid))

    def tidy(self) -> bool:
        """Remove the networks that are not used any more; tell whether all have gone."""
        return self._operations.tidy()

    def progress(self, uuid: str) -> TaskState | None:
        """Return at which step the operation on a container is, if that is worth telling."""
        return self._progress.get(uuid)

    def stop(self) -> None:
        """Begin nothing more. What is under way goes on after the next start, from what is found then."""
        self._stopping.set()

    def _work(self, uuid: str) -> None:
        pause_s = _FIRST_PAUSE_S
        while self._has_work(uuid):
            try:
                self._do(uuid)
                pause_s = _FIRST_PAUSE_S
            except Superseded:
                continue
            except (MooringError, NotYet) as exc:
                log.warning("operation.put-off", container=uuid, error=str(exc), pause_s=pause_s)
                self._pause(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _has_work(self, uuid: str) -> bool:
        """Tell whether there is anything to be done; if not, the thread ends, and the next offer begins another."""
        with self._lock:
            try:
                known = self._memory.find(uuid)
            except MooringError as exc:
                log.error("operation.not-known", container=uuid, error=str(exc))
                known = None
            is_due = uuid in self._unwanted or (known is not None and known.is_due)
            if is_due and not self._stopping.is_set():
                return True
            self._at_work.discard(uuid)
            return False

    def _do(self, uuid: str) -> None:
        known = self._memory.find(uuid)
        if uuid in self._unwanted:
            self._operations.take_away(uuid)
            self._memory.forget(uuid)
            with self._lock:
                self._unwanted.discard(uuid)
            log.info("container.taken-away", container=uuid)
        elif known is not None:
            failure = self._outcome(known)
            self._memory.finish(uuid, Done(number=known.wanted.operation.number, failure=failure))
        self._on_done()

    def _outcome(self, known: Remembered) -> Failure | None:
        uuid, operation = known.wanted.uuid, known.wanted.operation
        work = Work(wanted=known.wanted, check=partial(self._check, known), tell=partial(self._tell, uuid))
        try:
            failure = self._operations.carry_out(work)
        except (MooringError, NotYet, Superseded):
            raise
        except Exception:
            log.exception("operation.broken", container=uuid, verb=operation.verb.value)
            return Failure(kind=FailureKind.FAILED, message="it failed inside mooring; the log of its host says why")
        if failure is None:
            log.info("operation.done", container=uuid, verb=operation.verb.value, number=operation.number)
        return failure

    def _check(self, known: Remembered) -> None:
        """Raise Superseded when the operation is not what is wanted any more, or is to be left to the next start."""
        uuid = known.wanted.uuid
        now = self._memory.find(uuid)
        is_wanted = now is not None and now.wanted.operation.number == known.wanted.operation.number
        if not is_wanted or uuid in self._unwanted or self._stopping.is_set():
            raise Superseded

    def _tell(self, uuid: str, step: TaskState | None) -> None:
        if step is None:
            self._progress.pop(uuid, None)
        else:
            self._progress[uuid] = step
            self._on_done()
