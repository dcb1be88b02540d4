"""The agent of a container host: tells its controllers what it sees, and sees to what they want."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog

from mooring.config.settings import ServiceSettings
from mooring.errors import BusUnavailable, EngineUnreachable, MooringError
from mooring.libnetwork.bound_ports import BoundPort, BoundPorts
from mooring.node.containers.holdings import Holdings
from mooring.node.containers.inventory import Inventory, facts_of
from mooring.node.containers.memory import Memory, Remembered
from mooring.node.containers.reporting import reports
from mooring.node.containers.runtime import Found, Runtime
from mooring.node.containers.workers import Workers
from mooring.rpc.api import ControllerEnd
from mooring.rpc.messages import NodeReport, Wanted

# A container that is not in one answer may be in the next: the answer was on its way when it was placed here.
_UNWANTED_SYNCS: Final = 2
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
_EVENTS_AGAIN_S: Final = 5.0
_STOP_S: Final = 2.0

log = structlog.get_logger(__name__)


class Agent:
    """One sync after another, in a thread of its own: when woken, and at least every ``sync_interval_s``.

    While controllers are away the node goes on with what it was told last, and leaves its containers alone. While the
    engine is away nothing is told: nobody knows then which containers there are.
    """

    def __init__(  # noqa: PLR0913 - all that it stands between
        self,
        *,
        host: str,
        settings: ServiceSettings,
        controller: ControllerEnd,
        runtime: Runtime,
        inventory: Inventory,
        holdings: Holdings,
        memory: Memory,
        bound_ports: BoundPorts,
        workers: Callable[[Callable[[], None]], Workers],
    ) -> None:
        """``workers`` makes those who do the work, from what they are to call when they have done some."""
        self._host = host
        self._settings = settings
        self._controller = controller
        self._runtime = runtime
        self._inventory = inventory
        self._holdings = holdings
        self._memory = memory
        self._bound_ports = bound_ports
        self._workers = workers(self.note_done)
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._untidy = True
        self._unwanted: dict[str, int] = {}
        self._failure = ""
        self._threads = [
            threading.Thread(target=self._run, name="agent", daemon=True),
            threading.Thread(target=self._listen, name="engine-events", daemon=True),
        ]

    def start(self) -> None:
        """Begin; goes on first with what was under way when the node went down."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End. Operations under way are left to the next start; what waits for somebody ends with the process."""
        self._stopping.set()
        self._woken.set()
        self._workers.stop()
        self._threads[0].join(_STOP_S)

    def wake(self) -> None:
        """Have a sync soon."""
        self._woken.set()

    def note_done(self) -> None:
        """Take note that an operation has come to an end: it is to be told, and may have left a network unused."""
        self._untidy = True
        self.wake()

    def sync(self) -> None:
        """Tell what there is to see, and have done what is wanted; raises BusUnavailable and EngineUnreachable."""
        service = self._memory.service()
        if self._untidy and service is not None:
            # Before the work: what ends meanwhile leaves more to be tidied.
            self._untidy = False
            if not self._tidied():
                self._untidy = True
        # Before the engine is asked: one that is made meanwhile would be told of as made, and as not there.
        remembered = self._memory.containers()
        ours = (container for container in self._runtime.containers() if container.service == service)
        found = {container.uuid: container for container in self._holdings.plugged(ours)}
        wanted = self._controller.sync(self._report(service, found, remembered))
        if service not in (None, wanted.service):
            log.warning("service.changed", before=service, now=wanted.service)
            for uuid in self._memory.containers():
                self._memory.forget(uuid)
            found = {}
        self._memory.note_service(wanted.service)
        known = {container.uuid: self._memory.want(container) for container in wanted.containers}
        self._see_to(self._memory.containers(), known)
        self._take_away_unwanted(found, wanted)

    def resume(self) -> None:
        """Go on with what was under way when the node went down, whether or not a controller answers."""
        known = self._memory.containers()
        self._see_to(known, known)

    def _see_to(self, all_known: Mapping[str, Remembered], wanted: Mapping[str, Remembered]) -> None:
        self._bound_ports.keep(_bound_ports(all_known.values()))
        for uuid, known in wanted.items():
            if known.is_due:
                self._workers.offer(uuid)

    def _take_away_unwanted(self, found: Mapping[str, Found], wanted: Wanted) -> None:
        """Take away what no controller has wanted for long enough. Other services' containers were left out before."""
        there = found.keys() | self._memory.containers().keys()
        unwanted = there - {container.uuid for container in wanted.containers}
        self._unwanted = {uuid: self._unwanted.get(uuid, 0) + 1 for uuid in unwanted}
        for uuid, syncs in self._unwanted.items():
            if syncs >= _UNWANTED_SYNCS:
                self._workers.offer(uuid, wanted=False)

    def _report(
        self, service: str | None, found: Mapping[str, Found], remembered: Mapping[str, Remembered]
    ) -> NodeReport:
        return NodeReport(
            host=self._host,
            boot_id=self._inventory.boot_id(),
            service=service,
            facts=facts_of(self._runtime.host(), self._settings),
            devices=self._inventory.devices(),
            containers=tuple(reports(found, remembered, self._workers.progress)),
        )

    def _tidied(self) -> bool:
        try:
            return self._workers.tidy()
        except MooringError:
            self._untidy = True
            raise

    def _run(self) -> None:
        self._do(self.resume)
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            self._woken.clear()
            if self._do(self.sync):
                pause_s = _FIRST_PAUSE_S
                self._woken.wait(self._settings.sync_interval_s)
            else:
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _do(self, duty: Callable[[], None]) -> bool:
        """Do one duty and tell whether it was done; a failure that lasts is told once, and ends nothing."""
        failure = ""
        try:
            duty()
        except (BusUnavailable, EngineUnreachable) as exc:
            failure = exc.code
            if failure != self._failure:
                log.warning("sync.interrupted", error=str(exc))
        except MooringError as exc:
            failure = str(exc)
            if failure != self._failure:
                log.error("sync.failed", error=failure)
        except Exception:
            failure = "broken"
            log.exception("sync.broken")
        if self._failure and not failure:
            log.info("sync.resumed")
        self._failure = failure
        return not failure

    def _listen(self) -> None:
        """Wake the agent at each change of a container; while the engine is away, the timer does."""
        while not self._stopping.is_set():
            try:
                for _ in self._runtime.events():
                    self.wake()
            except MooringError:
                pass  # the sync tells it
            self._stopping.wait(_EVENTS_AGAIN_S)


def _bound_ports(containers: Iterable[Remembered]) -> Iterable[BoundPort]:
    for known in containers:
        for interface in known.wanted.interfaces:
            yield BoundPort(
                port=interface.port, network=interface.network, subnets=interface.subnets, limits=interface.limits
            )
