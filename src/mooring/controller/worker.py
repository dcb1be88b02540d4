"""The work for one container: one step at a time, each written down before the next begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Final

import structlog

from mooring.container.model import Container, Interface, InterfacePhase
from mooring.controller import steps
from mooring.controller.clock import Clock, utc_now
from mooring.controller.ports import ContainerPorts, verify
from mooring.controller.record import Record, may_pass
from mooring.controller.scheduler.scheduler import Placement, Scheduler
from mooring.controller.steps import Step, next_step
from mooring.db.api import Store
from mooring.errors import (
    BindingRefused,
    BusUnavailable,
    ClaimLost,
    DatabaseUnavailable,
    HostNotFound,
    MooringError,
    Outdated,
)
from mooring.neutron.api import Neutron
from mooring.rpc.api import Nodes

LEASE: Final = timedelta(seconds=90)
"""How long a worker may be silent about a container before another one takes it: longer than any step."""
PATIENCE: Final = timedelta(minutes=5)
"""How long a container that is being made waits for a neighbour that does not answer."""

_MOST_CLAIMS: Final = 8
_LONGEST_PAUSE: Final = timedelta(seconds=30)
_SHORTEST_PAUSE: Final = timedelta(seconds=1)
_LOOK_AGAIN: Final = timedelta(seconds=30)

_MAY_FAIL: Final = (Step.RESERVE, Step.PLACE, Step.BIND)
"""The steps that are given up in time; what gives things back is tried for ever."""

log = structlog.get_logger(__name__)


class Worker:
    """Does what is due for containers. Keeps nothing: any worker may go on where another has stopped.

    Safe to use from several threads. A step may be done twice, and by two workers at once: the database says whose it
    is, and the other takes back what it has done for nothing.
    """

    def __init__(
        self, *, store: Store, neutron: Neutron, nodes: Nodes, scheduler: Scheduler, clock: Clock = utc_now
    ) -> None:
        self._store = store
        self._ports = ContainerPorts(neutron)
        self._nodes = nodes
        self._scheduler = scheduler
        self._clock = clock
        self._record = Record(store=store, clock=clock)
        self._interruptions: SimpleQueue[Container] = SimpleQueue()
        self._doing = {
            Step.RESERVE: self._reserve,
            Step.PLACE: self._place,
            Step.BIND: self._bind,
            Step.GIVE: self._give,
            Step.AWAIT: self._await,
            Step.LEAVE: self._leave,
            Step.RETURN: self._return,
            Step.RELEASE: self._release,
            Step.REMOVE: self._remove,
            Step.REST: self._rest,
        }

    def work(self) -> bool:
        """Do all that there is to do at this moment for one container that is due; tell whether there was one."""
        now = self._clock()
        container = self._interrupted() or self._store.take_due(now, now + LEASE)
        if container is None:
            return False
        try:
            self.advance(container)
        except DatabaseUnavailable:
            self._interruptions.put(container)
            raise
        return True

    def _interrupted(self) -> Container | None:
        """Return a container that had to be left when the database went away, unless somebody else has it by now.

        Without this it would be due again when the lease of its worker ends.
        """
        try:
            container = self._interruptions.get_nowait()
        except Empty:
            return None
        try:
            return self._mine(container)
        except DatabaseUnavailable:
            self._interruptions.put(container)
            raise

    def advance(self, container: Container) -> None:
        """Go on with a container that was taken, until somebody else must do something, or has to wait."""
        turn: Container | None = container
        while turn is not None:
            turn = self._step(turn)

    def _step(self, container: Container) -> Container | None:
        """Do one step; return the container when there is more to be done at once, and by this worker."""
        step, started = next_step(container), self._clock()
        try:
            after = self._doing[step](container)
            # A binding that was refused has been told as such.
            if after is not None and after.tried == container.tried:
                self._record.tell(container, step, started, None)
        except DatabaseUnavailable:
            raise
        except Outdated:
            return self._mine(container)
        except MooringError as exc:
            log.info("container.step-failed", container=container.uuid, step=step, error=str(exc))
            self._record.tell(container, step, started, exc)
            try:
                return self._after_failure(container, step, exc)
            except Outdated:
                return self._mine(container)
        return after

    def _mine(self, container: Container) -> Container | None:
        """Return a container that somebody has changed as it is by now, unless it is another worker's."""
        current = self._store.container(container.uuid)
        return current if current is not None and current.due_at == container.due_at else None

    def _held(self, container: Container) -> Container:
        """Return a container as this worker's. The lease is what it knows it by, and is renewed when it wears out."""
        now = self._clock()
        is_fresh = container.due_at is not None and container.due_at - now > LEASE / 2
        return container if is_fresh else replace(container, due_at=now + LEASE)

    def _save(self, container: Container) -> Container:
        return self._store.save(self._held(container))

    def _save_and_rest(self, container: Container) -> None:
        self._store.save(replace(container, due_at=None))

    # Steps

    def _reserve(self, container: Container) -> Container:
        interface = steps.in_phase(container, InterfacePhase.ASKED)
        return self._keep(container, self._ports.reserve(container, interface))

    def _place(self, container: Container) -> Container:
        for _ in range(_MOST_CLAIMS - 1):
            try:
                return self._claim(container, self._scheduler.place(container, self._clock()))
            except ClaimLost as exc:
                log.info("container.claim-lost", container=container.uuid, reason=str(exc))
        return self._claim(container, self._scheduler.place(container, self._clock()))

    def _claim(self, container: Container, place: Placement) -> Container:
        claimed = self._held(steps.placed(container))
        return self._store.claim(claimed, host=place.host, picks=place.picks, capacity=place.capacity)

    def _bind(self, container: Container) -> Container:
        interface = steps.in_phase(container, InterfacePhase.CLAIMED)
        bound = self._ports.bind(container, interface)
        try:
            verify(bound)
        except BindingRefused as exc:
            if container.is_given:
                raise
            # Another host may do; the next binding starts from what Neutron has now.
            self._record.tell(container, Step.BIND, self._clock(), exc)
            return self._save(steps.refused(steps.with_interface(container, bound), container.host or "", exc.public))
        return self._keep(container, bound)

    def _keep(self, container: Container, interface: Interface) -> Container:
        """Write an interface whose port was changed in Neutron; take that back if nobody has a use for it any more."""
        after = steps.with_interface(container, interface)
        if all(each.phase is InterfacePhase.BOUND for each in after.interfaces) and after.is_given:
            # The node must not see the port before it is told what to do with it.
            after = steps.given(after)
        try:
            return self._save(after)
        except Outdated:
            if not steps.keeps(self._store.container(container.uuid), interface):
                self._ports.give_back(container, interface)
            raise

    def _give(self, container: Container) -> None:
        self._save_and_rest(steps.given(container))
        self._wake(container)

    def _await(self, container: Container) -> Container | None:
        """Wake the node and rest; only an administrator's word stands for that of a node that is down."""
        if container.is_going and container.operation.arguments.get("force"):
            if self._is_down(container.host or ""):
                return self._save(replace(container, is_given=False))
            self._store.save(replace(container, due_at=self._clock() + _LOOK_AGAIN))
        else:
            self._save_and_rest(container)
        self._wake(container)
        return None

    def _leave(self, container: Container) -> Container:
        interface = steps.in_phase(container, InterfacePhase.LEAVING)
        self._ports.give_back(container, interface)
        after = steps.without(container, interface)
        if not steps.is_leaving(after):
            self._record.finish(container)
            after = replace(after, task_state=None)
        return self._save(after)

    def _return(self, container: Container) -> Container:
        return self._save(steps.returned(container))

    def _release(self, container: Container) -> None:
        self._ports.give_all_back(container)
        self._save_and_rest(steps.released(container))

    def _remove(self, container: Container) -> None:
        self._ports.give_all_back(container)
        self._store.remove(container)
        log.info("container.removed", container=container.uuid)

    def _rest(self, container: Container) -> None:
        if container.due_at is not None:
            self._save_and_rest(container)

    # What goes wrong

    def _after_failure(self, container: Container, step: Step, error: MooringError) -> Container | None:
        now = self._clock()
        waited = now - self._record.since(container)
        if step not in _MAY_FAIL or (may_pass(error) and waited < PATIENCE):
            pause = min(max(waited, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            self._store.save(replace(container, status_detail=error.public, due_at=now + pause))
            return None
        self._record.fail(container, error)
        return self._save(steps.failed(container, error.public))

    def _is_down(self, host: str) -> bool:
        try:
            return self._store.host(host).forced_down
        except HostNotFound:
            return True

    def _wake(self, container: Container) -> None:
        """Let the node ask what is wanted. That it does so soon is all that is lost when it cannot be told."""
        try:
            self._nodes.on(container.host or "").wake()
        except BusUnavailable as exc:
            log.warning("node.not-woken", host=container.host, error=str(exc))
