"""What is done with a container for each verb. Each may be cut off anywhere and carried out again: it is done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from mooring.container.spec import PullPolicy
from mooring.container.states import TaskState, Verb
from mooring.errors import (
    ContainerNotFound,
    EngineRefused,
    EngineUnreachable,
    InvalidInput,
    MooringError,
    PortUnusable,
)
from mooring.libnetwork.bound_ports import BoundPorts
from mooring.node.containers.holdings import Holdings
from mooring.node.containers.memory import Begun, Memory
from mooring.node.containers.mounts import Mounts
from mooring.node.containers.networks import ServiceNetworks
from mooring.node.containers.runtime import Found, Link, Plan, Runtime
from mooring.node.containers.work import NotYet, Work
from mooring.rpc.messages import Failure, FailureKind, WantedInterface

_STOP_S: Final = 10
_KILL: Final = "SIGKILL"

log = structlog.get_logger(__name__)


class Operations:
    """Carries operations out, each in the thread that asks; those on different containers wait for nothing."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        networks: ServiceNetworks,
        holdings: Holdings,
        bound_ports: BoundPorts,
        memory: Memory,
        mounts: Mounts,
    ) -> None:
        self._runtime = runtime
        self._networks = networks
        self._holdings = holdings
        self._bound_ports = bound_ports
        self._memory = memory
        self._mounts = mounts
        self._verbs: dict[Verb, Callable[[Work], None]] = {
            Verb.CREATE: self._create,
            Verb.START: self._start,
            Verb.STOP: self._stop,
            Verb.REBOOT: self._reboot,
            Verb.PAUSE: self._pause,
            Verb.UNPAUSE: self._unpause,
            Verb.KILL: self._kill,
            Verb.REBUILD: self._rebuild,
            Verb.UPDATE: self._update,
            Verb.ATTACH: self._attach,
            Verb.DETACH: self._detach,
            Verb.DELETE: self._delete,
        }

    def carry_out(self, work: Work) -> Failure | None:
        """Carry an operation out; return why it failed, None when it is done.

        Raises Superseded, and EngineUnreachable or NotYet where it is to be carried out again.
        """
        for interface in work.wanted.interfaces:
            self._bound_ports.forget_refusal(interface.port.id)
        try:
            if self._has_run(work):
                return None
            self._verbs[work.wanted.operation.verb](work)
        except EngineUnreachable:
            raise
        except MooringError as exc:
            # It may end at any moment.
            return None if self._has_run(work) else self._failure(work, exc)
        return None

    def _has_run(self, work: Work) -> bool:
        """Tell whether the engine was told to start the container, and has removed it since: it ran once, as was asked.

        The engine does that by itself (``auto_remove``), perhaps before it could answer, and never a second time.
        """
        if not work.wanted.spec.auto_remove:
            return False
        known = self._memory.find(work.uuid)
        begun = None if known is None else known.begun
        is_launched = begun is not None and begun.number == work.number and begun.launched
        return is_launched and self._find(work) is None

    def take_away(self, uuid: str) -> None:
        """Remove a container that nobody wants, with all that it has; raises as ``carry_out`` does."""
        self._runtime.remove(uuid)
        self._let_go(uuid)
        self._mounts.remove(uuid)
        self._holdings.take_back(uuid)

    def tidy(self) -> bool:
        """Remove the networks that no container is on any more, or is to be on; tell whether all have gone.

        Devices of containers that are not there any more are taken back.
        """
        self._holdings.take_back_from_others(self._living)
        return self._networks.prune(self._service())

    def _create(self, work: Work) -> None:
        """Make a container, and start it if asked; a failure leaves nothing."""
        try:
            self._make(work)
            if work.argument("run", default=False):
                self._start_made(work)
        except EngineUnreachable:
            raise
        except MooringError:
            self.take_away(work.uuid)
            raise

    def _rebuild(self, work: Work) -> None:
        """Make a container anew, with the same ports and devices."""
        begun = self._begin(work, self._find(work))
        self._make(work)
        if work.argument("run", default=begun.ran):
            self._start_made(work)

    def _make(self, work: Work) -> None:
        """Have the container that the operation wants, in place of an earlier one; it has all its interfaces then."""
        found = self._find(work)
        if found is None or found.number != work.number:
            self._fetch(work)
            work.check()
            if found is not None:
                self._runtime.remove(work.uuid)
                self._let_go(work.uuid)
            found = self._made(work)
        self._connect(work, found)

    def _fetch(self, work: Work) -> None:
        spec = work.wanted.spec
        if spec.image_pull_policy is PullPolicy.NEVER:
            return
        if spec.image_pull_policy is PullPolicy.IF_NOT_PRESENT and self._runtime.has_image(spec.image):
            return
        work.tell(TaskState.IMAGE_PULLING)
        try:
            self._runtime.pull(spec.image, work.check)
        finally:
            work.tell(None)

    def _made(self, work: Work) -> Found:
        wanted = work.wanted
        service = self._service()
        link = None
        if wanted.interfaces:
            link = self._link(wanted.interfaces[0], beside=())
        self._runtime.create(
            Plan(
                uuid=wanted.uuid,
                service=service,
                number=work.number,
                spec=wanted.spec,
                link=link,
                device_nodes=self._holdings.nodes_for(wanted),
                mounts=self._mounts.write(wanted.uuid, wanted.spec.mounts),
            )
        )
        return self._there(work)

    def _connect(self, work: Work, found: Found) -> None:
        """Give a container the interfaces that it lacks, in their order."""
        for interface in work.wanted.interfaces:
            if interface.port.id not in found.ports:
                work.check()
                self._runtime.connect(work.uuid, self._link(interface, beside=found.networks))
                found = self._there(work)

    def _link(self, interface: WantedInterface, *, beside: tuple[str, ...]) -> Link:
        return self._networks.provide(interface.network.id, interface.port.id, service=self._service(), beside=beside)

    def _start_made(self, work: Work) -> None:
        work.check()
        if self._there(work).started_at is None:
            self._launch(work)

    def _start(self, work: Work) -> None:
        found = self._there(work)
        begun = self._begin(work, found)
        if not found.runs and found.started_at == begun.started_at:
            self._start_again(work)

    def _stop(self, work: Work) -> None:
        if self._still_runs(work):
            self._runtime.stop(work.uuid, int(work.argument("timeout_s", _STOP_S)))

    def _reboot(self, work: Work) -> None:
        found = self._there(work)
        timeout_s = int(work.argument("timeout_s", _STOP_S))
        if found.started_at != self._begin(work, found).started_at:
            return
        if found.runs and work.wanted.spec.auto_remove:
            # Stopped, it would be gone, and so it would be if Docker failed again with a connection that is not wanted.
            self._cut_unwanted(work)
            with self._launching(work):
                self._runtime.restart(work.uuid, timeout_s)
            return
        if found.runs:
            self._runtime.stop(work.uuid, timeout_s)
        self._start_again(work)

    def _start_again(self, work: Work) -> None:
        """Start a container that does not run, with nothing but what it is to have."""
        self._cut_unwanted(work)
        self._launch(work)

    def _cut_unwanted(self, work: Work) -> None:
        """Take from a container what Docker would bring back at its next start: connections that failed, too.

        Raises EngineRefused for one that failed and that Docker does not give up as long as the container runs.
        """
        wanted = {interface.port.id for interface in work.wanted.interfaces}
        # As the engine has it: what is not plugged any more comes back, too.
        found = self._runtime.find(work.uuid)
        if found is None:
            raise ContainerNotFound(work.uuid)
        for link in (*found.links, *found.failed):
            if link.port_id not in wanted:
                self._runtime.disconnect(work.uuid, link.network)

    def _launch(self, work: Work) -> None:
        with self._launching(work):
            self._runtime.start(work.uuid)

    @contextmanager
    def _launching(self, work: Work) -> Iterator[None]:
        """Write down that a container is started which Docker removes at its end, or that Docker has refused."""
        if not work.wanted.spec.auto_remove:
            yield
            return
        self._memory.launch(work.uuid, work.number)
        try:
            yield
        except EngineRefused:
            self._memory.launch(work.uuid, work.number, is_launched=False)
            raise

    def _pause(self, work: Work) -> None:
        if self._there(work).state != "paused":
            self._runtime.pause(work.uuid)

    def _unpause(self, work: Work) -> None:
        if self._there(work).state == "paused":
            self._runtime.unpause(work.uuid)

    def _kill(self, work: Work) -> None:
        if self._still_runs(work):
            self._runtime.kill(work.uuid, str(work.argument("signal", _KILL)))

    def _still_runs(self, work: Work) -> bool:
        """Tell whether a container runs that ran when it was to be ended; raises ContainerNotFound."""
        if work.wanted.spec.auto_remove and self._find(work) is None:
            return False
        return self._there(work).runs

    def _update(self, work: Work) -> None:
        self._runtime.update(self._there(work).uuid, work.wanted.spec)

    def _attach(self, work: Work) -> None:
        """Give a container the interfaces that it lacks; one that cannot be had leaves nothing."""
        before = self._there(work)
        try:
            self._connect(work, before)
        except EngineUnreachable:
            raise
        except MooringError:
            for link in self._there(work).links:
                if link.port_id not in before.ports:
                    self._runtime.disconnect(work.uuid, link.network)
            self._let_go(work.uuid, {interface.port.id for interface in work.wanted.interfaces} - before.ports)
            raise

    def _detach(self, work: Work) -> None:
        """Take from a container what it is not to have."""
        found = self._there(work)
        kept = {interface.port.id for interface in work.wanted.interfaces} - {work.argument("port", "")}
        for link in found.links:
            if link.port_id not in kept:
                self._runtime.disconnect(work.uuid, link.network)
        leaving = {link.port_id for link in found.links} | {str(work.argument("port", ""))}
        self._let_go(work.uuid, leaving - kept)

    def _delete(self, work: Work) -> None:
        found = self._runtime.find(work.uuid)
        timeout_s = int(work.argument("timeout_s", 0))
        if found is not None and found.state == "running" and timeout_s:
            self._runtime.stop(work.uuid, timeout_s)
        self.take_away(work.uuid)

    def _let_go(self, uuid: str, ports: set[str] | None = None) -> None:
        if left := self._holdings.let_go(uuid, ports):
            raise NotYet(f"{', '.join(left)} of container {uuid} is not free yet")

    def _begin(self, work: Work, found: Found | None) -> Begun:
        begun = Begun(number=work.number)
        if found is not None:
            begun = Begun(number=work.number, ran=found.runs, started_at=found.started_at)
        return self._memory.begin(work.uuid, begun)

    def _there(self, work: Work) -> Found:
        found = self._find(work)
        if found is None:
            raise ContainerNotFound(work.uuid)
        return found

    def _find(self, work: Work) -> Found | None:
        found = self._runtime.find(work.uuid)
        return None if found is None else next(self._holdings.plugged([found]))

    def _living(self) -> set[str]:
        """Return the containers that there are, or that are to be."""
        return {container.uuid for container in self._runtime.containers()} | self._memory.containers().keys()

    def _service(self) -> str:
        return self._memory.service() or ""

    def _failure(self, work: Work, error: MooringError) -> Failure:
        """Say why an operation failed: the plugin knows better than Docker, which passes its words on at most."""
        if isinstance(error, EngineRefused):
            ports = (interface.port.id for interface in work.wanted.interfaces)
            error = next(filter(None, map(self._bound_ports.refusal_of, ports)), error)
        log.warning("operation.failed", container=work.uuid, verb=work.wanted.operation.verb.value, error=str(error))
        elsewhere = not isinstance(error, (EngineRefused, PortUnusable, InvalidInput, ContainerNotFound))
        return Failure(kind=FailureKind.REFUSED if elsewhere else FailureKind.FAILED, message=error.public)
