"""What nobody asks for, and must be looked at from time to time: silent hosts, and ports that nobody gave back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from mooring.container.model import Container
from mooring.container.states import Status
from mooring.controller.clock import Clock, utc_now
from mooring.controller.names import DEVICE_OWNER
from mooring.controller.ports import ContainerPorts
from mooring.db.api import Store
from mooring.errors import HostNotFound, Outdated
from mooring.neutron.api import Neutron
from mooring.neutron.model import Port

_SWEEP_EVERY: Final = timedelta(minutes=5)
_GRACE: Final = timedelta(minutes=10)
"""How long a port must have been nobody's before it is given back: a worker may be about to write whose it is."""

log = structlog.get_logger(__name__)


class Rounds:
    """Rounds of one controller. Others make the same ones, and it does no harm.

    Which ports were seen to be nobody's is kept in memory: a restart delays their return, no more. Devices need no such
    round: a claim is in the row of a device that names its container, and goes with that container's row.
    """

    def __init__(self, *, store: Store, neutron: Neutron, silent_s: float, clock: Clock = utc_now) -> None:
        self._store = store
        self._neutron = neutron
        self._ports = ContainerPorts(neutron)
        self._silent = timedelta(seconds=silent_s)
        self._clock = clock
        self._swept_at: datetime | None = None
        self._orphans: dict[str, datetime] = {}

    def make(self) -> None:
        """Make a round. Neutron is asked every five minutes."""
        now = self._clock()
        self.mark_silent(now)
        if self._swept_at is None or now - self._swept_at >= _SWEEP_EVERY:
            self._swept_at = now
            self.sweep(now)

    def mark_silent(self, now: datetime) -> None:
        """Show containers as Unknown whose host has not reported for too long, or was forced down."""
        for container in self._store.placed_on_silent_hosts(now - self._silent):
            if container.is_given:
                self._mark(container, now)

    def _mark(self, container: Container, now: datetime) -> None:
        try:
            host = self._store.host(container.host or "")
            said = "was forced down" if host.forced_down else f"has not reported since {host.seen_at:%Y-%m-%d %H:%M:%S}"
            reason = f"host {host.name} {said}"
            self._store.save(replace(container, status=Status.UNKNOWN, status_reason=reason, updated_at=now))
        except (Outdated, HostNotFound):
            return  # it was changed at this moment: the next round sees
        log.warning("container.unknown", container=container.uuid, reason=reason)

    def sweep(self, now: datetime) -> None:
        """Give back the ports that bear the id of a container that does not have them, and have done so for a while."""
        found = {port.id: port for port in self._neutron.ports(device_owner=DEVICE_OWNER) if self._is_orphan(port)}
        self._orphans = {port_id: self._orphans.get(port_id, now) for port_id in found}
        for port_id, since in list(self._orphans.items()):
            if now - since >= _GRACE:
                log.warning("port.orphaned", port=port_id, device=found[port_id].device_id)
                self._ports.give_orphan_back(found[port_id])
                del self._orphans[port_id]

    def _is_orphan(self, port: Port) -> bool:
        container = self._store.container(port.device_id)
        if container is not None:
            return port.id not in {interface.port_id for interface in container.interfaces}
        return not port.host or self._is_known(port.host)

    def _is_known(self, host: str) -> bool:
        """Tell whether a host is this service's: another one may use the same Neutron."""
        try:
            self._store.host(host)
        except HostNotFound:
            return False
        return True
