"""Choosing a container's port: adopted if it is free, or made; kept in mind until its endpoint comes or does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import structlog

from mooring.attach.types import Attachments
from mooring.errors import PortBusy, PortUnusable
from mooring.libnetwork import names
from mooring.libnetwork.debts import Debts, owing
from mooring.libnetwork.intents import GRACE_SECONDS, Intents
from mooring.libnetwork.reservations import Reservation, Reservations
from mooring.neutron.api import Neutron, NewPort
from mooring.neutron.model import BINDING_FAILED, UNBOUND, IpAddress, Port

_SHORT_ID: Final = 12
"""How many digits of an id Docker shows its users."""

log = structlog.get_logger(__name__)


def check_adoptable(port: Port, *, host: str, alive: bool) -> None:
    """Raise PortBusy unless a port is nobody's, or was left over by an attachment of this host that is no more.

    ``alive`` tells whether the attachment that the port's device_id names still exists. A failed binding does not
    make a port anybody's: binding it again is the way to recover it.
    """
    ours = port.device_owner == names.DEVICE_OWNER and port.host == host and not alive
    bound = bool(port.host) and port.vif_type not in (UNBOUND, BINDING_FAILED)
    if not ours and (port.device_id or bound):
        raise PortBusy(port.id, _user_of(port))


def _user_of(port: Port) -> str:
    is_endpoint = port.device_owner == names.DEVICE_OWNER
    device = port.device_id[:_SHORT_ID] if is_endpoint else port.device_id
    facts = ("", port.device_owner), ("device ", device), ("on host ", port.host)
    user = " ".join(label + value for label, value in facts if value)
    return f"{user} ('docker network inspect' there lists it by that EndpointID)" if is_endpoint else user


class Ports:
    """The ports of containers to come. Remembers each port it read, so that CreateEndpoint need not ask Neutron."""

    def __init__(
        self,
        neutron: Neutron,
        attachments: Attachments,
        reservations: Reservations,
        intents: Intents,
        host: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._neutron = neutron
        self._attachments = attachments
        self._reservations = reservations
        self._intents = intents
        self._host = host
        self._clock = clock
        self._debts = Debts(self._delete)
        self._read: dict[str, Port] = {}

    def with_address(self, network_id: str, address: IpAddress) -> Port | None:
        """Return the port of a network that has an address."""
        return next(iter(self._neutron.ports(network_id=network_id, address=address)), None)

    def with_mac(self, network_id: str, mac: str) -> Port | None:
        """Return the port of a network that has a MAC address."""
        return next(iter(self._neutron.ports(network_id=network_id, mac=mac)), None)

    def with_id(self, port_id: str) -> Port:
        """Return a port as Neutron has it now; raise PortNotFound."""
        return self._neutron.port(port_id)

    def reserved(self, reservation: Reservation) -> Port:
        """Return the port of a reservation as it was read for it; asks Neutron after a restart only."""
        return self._read.get(reservation.port_id) or self._neutron.port(reservation.port_id)

    def check_free(self, port: Port) -> None:
        """Raise PortBusy when a port is in use, be it by a container of this host or by anybody else.

        Raises PortUnusable for one that mooring is making or is about to delete.
        """
        self._attachments.make_way(port.id)
        self.check_unclaimed(port.id)
        if self._intents.stands(port.description):
            problem = "a start under way is making it, or an earlier start that failed left it"
            remedy = f"try again in {GRACE_SECONDS:.0f} seconds, when mooring has deleted it, or choose another address"
            raise PortUnusable(port.id, f"{problem}; {remedy}")
        check_adoptable(port, host=self._host, alive=self._is_alive(port.device_id))

    def check_unclaimed(self, port_id: str) -> None:
        """Raise PortBusy when a living endpoint of this host has claimed a port."""
        reservation = self._reservations.of_port(port_id)
        if reservation and reservation.endpoint and self._is_alive(reservation.endpoint):
            endpoint = reservation.endpoint[:_SHORT_ID]
            where = "on this host ('docker network inspect' lists it by that EndpointID)"
            raise PortBusy(port_id, f"the container with endpoint {endpoint} {where}")

    def make(
        self,
        *,
        network_id: str,
        vnic_type: str,
        addresses: Iterable[tuple[str, IpAddress | None]] = (),
        mac: str | None = None,
        container: str = "",
        endpoint: str | None = None,
    ) -> Port:
        """Make a port for a container, under kuryr-libnetwork's name and tag; raise NetworkUnusable."""
        new = NewPort(
            network_id=network_id,
            name=names.PORT_NAME,
            addresses=tuple(addresses),
            vnic_type=vnic_type,
            device_owner="",
            mac=mac,
            tags=frozenset({names.PORT_TAG}),
        )
        port = self._intents.make(
            "ports",
            create=lambda token: self._neutron.create_port(replace(new, description=token)),
            record=lambda made: self.reserve(made, created=True, container=container, endpoint=endpoint),
        )
        log.info("port.created", port=port.id, network=network_id, vnic_type=vnic_type)
        return port

    def reserve(self, port: Port, *, created: bool = False, container: str = "", endpoint: str | None = None) -> Port:
        """Keep a port in mind for a container to come, and return it."""
        self._read[port.id] = port
        reservation = Reservation(
            port_id=port.id, network_id=port.network_id, created=created, container=container, endpoint=endpoint
        )
        self._reservations.save(reservation, self._clock())
        return port

    def release(self, reservation: Reservation) -> None:
        """End a reservation; a port that was made for it is deleted, later if Neutron does not answer now."""
        if reservation.created:
            self._reservations.doom(reservation.port_id)
            with owing("port.deletion-deferred", port=reservation.port_id):
                self._delete(reservation)
        else:
            self.forget(reservation)

    def forget(self, reservation: Reservation) -> None:
        """End a reservation whose port needs nothing more."""
        self._read.pop(reservation.port_id, None)
        self._reservations.forget(reservation.port_id)

    def expire(self, seconds: float) -> None:
        """Release what was reserved that many seconds ago and has no endpoint."""
        for reservation in self._reservations.older_than(self._clock() - seconds):
            if not (reservation.endpoint and self._is_alive(reservation.endpoint)):
                log.warning("reservation.expired", port=reservation.port_id)
                self.release(reservation)

    def pay_debts(self) -> None:
        """Delete the ports that should be deleted already."""
        self._debts.pay(self._reservations.doomed())

    def _delete(self, reservation: Reservation) -> None:
        self._neutron.delete_port(reservation.port_id)
        self.forget(reservation)

    def _is_alive(self, attachment: str) -> bool:
        return bool(attachment) and self._attachments.find(attachment) is not None
