"""Ports that a controller has bound to this host for containers of its service: what an endpoint of theirs needs.

With them endpoints come and go without a word to Neutron, even where nobody but Docker is there to start a container.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter

from mooring.errors import MooringError, NetworkUnusable, PortNotFound
from mooring.neutron.model import EgressLimits, Network, Port, Subnet
from mooring.statefile import StateFile


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPort:
    """A port as it is bound, with its network, that network's subnets, and what its QoS policy allows."""

    port: Port
    network: Network
    subnets: tuple[Subnet, ...]
    limits: EgressLimits = field(default_factory=EgressLimits)

    @property
    def own_subnets(self) -> tuple[Subnet, ...]:
        """The subnets that the port has an address on; raises NetworkUnusable when one of them was not told."""
        mine = {fixed.subnet_id for fixed in self.port.fixed_ips}
        if unknown := mine - {subnet.id for subnet in self.subnets}:
            raise NetworkUnusable(self.network.id, f"the controller did not tell of its subnet {', '.join(unknown)}")
        return tuple(subnet for subnet in self.subnets if subnet.id in mine)


_PORT: Final = TypeAdapter(BoundPort)


class BoundPorts:
    """Those of this host, on disk; and, in memory, why the last endpoint of each was refused."""

    def __init__(self, file: StateFile) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._refusals: dict[str, MooringError] = {}

    def keep(self, ports: Iterable[BoundPort]) -> None:
        """Know these and no others from now on."""
        bodies = {item.port.id: _PORT.dump_json(item).decode() for item in ports}
        with self._lock:
            if bodies == dict(self._file.rows("SELECT port_id, body FROM bound_port")):
                return
            with self._file.transaction() as db:
                db.execute("DELETE FROM bound_port")
                db.executemany("INSERT INTO bound_port VALUES (?, ?)", bodies.items())

    def find(self, port_id: str) -> BoundPort:
        """Return what is known of a port; raise PortNotFound when it is not bound to this host."""
        rows = self._file.rows("SELECT body FROM bound_port WHERE port_id = ?", port_id)
        if not rows:
            raise PortNotFound(f"id {port_id} bound to this host", "no controller has told this node of it")
        return _PORT.validate_json(rows[0][0])

    def refusal_of(self, port_id: str) -> MooringError | None:
        """Return why the last endpoint of a port could not be had, None when it could.

        Docker passes on the words of an error only.
        """
        return self._refusals.get(port_id)

    def forget_refusal(self, port_id: str) -> None:
        """Take it that a port was never refused: whoever asks next wants to know what happens from now on."""
        self._refusals.pop(port_id, None)

    @contextmanager
    def noting(self, port_id: str) -> Iterator[None]:
        """Keep in mind for which reason the body fails, if it does."""
        self.forget_refusal(port_id)
        try:
            yield
        except MooringError as exc:
            self._refusals[port_id] = exc
            raise
