"""The duty of the host's 'NIC Switch agent': to be alive in Neutron's eyes, or ports do not bind here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog

from mooring.neutron.api import AGENT_TYPE, REPORTED_BY, NeutronBus
from mooring.neutron.model import Agent

_RETRY_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


class Agents(Protocol):
    """Where to ask which agents a host has; NeutronNetworks is one."""

    def agents(self, *, host: str, agent_type: str) -> tuple[Agent, ...]:
        """Return the agent rows of a host."""
        ...


def is_own(agent: Agent) -> bool:
    """Tell whether mooring reports an agent, or a real one does."""
    return REPORTED_BY.items() <= agent.configurations.items()


class AgentDuty:
    """Reports the 'NIC Switch agent' of this host, unless a real neutron-sriov-nic-agent does.

    Neutron holds one row for a host and agent type, and whoever writes last wins: so mooring asks before each report
    whose the row is now, and leaves the duty to a real agent that has come, or come back, since the last one.
    ``mappings`` gives physical_network -> PF interface names at each report. ``interval`` is seconds between reports;
    Neutron takes an agent for dead after 75 (``agent_down_time``).
    """

    def __init__(
        self,
        *,
        host: str,
        agents: Agents,
        bus: NeutronBus,
        mappings: Callable[[], Mapping[str, tuple[str, ...]]],
        interval: float = 30.0,
    ) -> None:
        self.ready = threading.Event()
        """Set for good once Neutron knows of an agent on this host, mooring's or another."""
        self._host = host
        self._agents = agents
        self._bus = bus
        self._mappings = mappings
        self._interval = interval
        self._started = False
        self._state = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agent-duty", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns when a report that is under way has ended, which the bus bounds."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def beat(self) -> float:
        """Do the duty once, and return the seconds until it is due again. Raises nothing."""
        try:
            if self._has_real_agent():
                self._now("agent.left-to-another")
            else:
                mappings = self._mappings()
                self._bus.report_agent(self._host, mappings, started=not self._started)
                self._started = True
                self._now("agent.reported", mappings=dict(mappings))
        except Exception as exc:  # noqa: BLE001 - a host whose reports end loses its ports: nothing may end them
            self._now("agent.not-reported", error=str(exc))
            return _RETRY_SECONDS
        self.ready.set()
        return self._interval

    def _run(self) -> None:
        while not self._stopping.wait(self.beat()):
            pass

    def _has_real_agent(self) -> bool:
        rows = self._agents.agents(host=self._host, agent_type=AGENT_TYPE)
        return any(row.alive and not is_own(row) for row in rows)

    def _now(self, state: str, **facts: object) -> None:
        """Log a state that differs from the last one; a failure that lasts is told once."""
        if state != self._state:
            self._state = state
            level = log.warning if state == "agent.not-reported" else log.info
            level(state, host=self._host, **facts)
