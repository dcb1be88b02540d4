"""Which port is meant by an address that Docker was given, and by which endpoint it was claimed."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.neutron.model import IpAddress
from mooring.statefile import StateFile

_COLUMNS = "port_id, network_id, created, container, endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A port that was chosen for a container to come. ``created`` tells that mooring made it for that.

    ``container`` is the container's name where the engine tells it; ``endpoint`` has claimed the port.
    """

    port_id: str
    network_id: str
    created: bool
    container: str = ""
    endpoint: str | None = None


class Reservations:
    """Reservations on disk, one for each port. A doomed one is over, but its port is still to be deleted in Neutron.

    Two Docker networks may reserve the same port under addresses of their own; who claims it is first come, first
    served, and the attachments' lease arbitrates.

    Ports that mooring makes or is to delete outlive a power failure. The rest is of no use without the containers that
    were running, and is not waited for.
    """

    def __init__(self, file: StateFile) -> None:
        self._file = file

    def of_port(self, port_id: str) -> Reservation | None:
        """Return the reservation of a port."""
        return self._first("port_id = ? AND NOT doomed", port_id)

    def at(self, network_id: str, address: IpAddress) -> Reservation | None:
        """Return the reservation of an address on a Neutron network."""
        return self._first(
            "network_id = ? AND NOT doomed AND port_id IN (SELECT port_id FROM address WHERE address = ?)",
            network_id,
            str(address),
        )

    def half_made(self, pool_id: str, container: str) -> Reservation | None:
        """Return the latest unclaimed reservation that a Docker network of an IPv6 pool has made for IPv4 only.

        Docker asks for a container's IPv4 address first and then for its IPv6 address, one network at a time.
        """
        return self._half_made(
            "port_id IN (SELECT port_id FROM address JOIN subnet_use AS v4 USING (pool_id)"
            " JOIN subnet_use AS v6 USING (docker_id) WHERE v6.pool_id = ?)",
            pool_id,
            container,
        )

    def half_made_on(self, network_id: str, container: str) -> Reservation | None:
        """Return the same for a Neutron network of which no Docker network is known."""
        return self._half_made("network_id = ? AND port_id IN (SELECT port_id FROM address)", network_id, container)

    def claimed_by(self, endpoint: str) -> Reservation | None:
        """Return the reservation that an endpoint has claimed."""
        return self._first("endpoint = ? AND NOT doomed", endpoint)

    def doomed(self) -> tuple[Reservation, ...]:
        """Return the reservations whose ports are to be deleted in Neutron."""
        return self._all("doomed")

    def older_than(self, moment: float) -> tuple[Reservation, ...]:
        """Return the reservations made before a moment, in seconds of the clock that made them."""
        return self._all("reserved_at < ? AND NOT doomed", moment)

    def save(self, reservation: Reservation, now: float) -> None:
        """Write a reservation.

        One of the same port gives way, except that a port made by mooring stays one, and Docker keeps its addresses.
        """
        with self._file.transaction(durable=reservation.created) as db:
            db.execute(
                "INSERT INTO reservation (port_id, network_id, created, container, endpoint, reserved_at)"
                " VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (port_id) DO UPDATE SET"
                " container = excluded.container, reserved_at = excluded.reserved_at, endpoint = excluded.endpoint,"
                " doomed = 0",
                (
                    reservation.port_id,
                    reservation.network_id,
                    reservation.created,
                    reservation.container,
                    reservation.endpoint,
                    now,
                ),
            )

    def add_address(self, port_id: str, pool_id: str, address: IpAddress) -> None:
        """Note that Docker was given an address of a port.

        Docker asks for IPv4 first, so that an IPv6 address that is there already was meant for an earlier container.
        """
        with self._file.transaction(durable=False) as db:
            if address.version == 4:  # noqa: PLR2004 - IP version
                db.execute("DELETE FROM address WHERE port_id = ? AND version = 6", (port_id,))
            db.execute(
                "INSERT OR REPLACE INTO address VALUES (?, ?, ?, ?)", (pool_id, str(address), address.version, port_id)
            )

    def claim(self, port_id: str, endpoint: str) -> None:
        """Note which endpoint uses a port."""
        with self._file.transaction(durable=False) as db:
            db.execute("UPDATE reservation SET endpoint = ? WHERE port_id = ?", (endpoint, port_id))

    def drop_address(self, pool_id: str, address: IpAddress) -> Reservation | None:
        """Take an address back from Docker; return its reservation if nobody has claimed it and no address is left."""
        values = pool_id, str(address)
        found = self._first(
            "endpoint IS NULL AND NOT doomed"
            " AND port_id IN (SELECT port_id FROM address WHERE pool_id = ? AND address = ?)",
            *values,
        )
        if found is None:
            return None
        with self._file.transaction(durable=False) as db:
            db.execute("DELETE FROM address WHERE pool_id = ? AND address = ?", values)
        return None if self._file.rows("SELECT 1 FROM address WHERE port_id = ?", found.port_id) else found

    def addresses_of_pool(self, pool_id: str) -> tuple[str, ...]:
        """Return the addresses of a pool that Docker holds."""
        return tuple(row[0] for row in self._file.rows("SELECT address FROM address WHERE pool_id = ?", pool_id))

    def doom(self, port_id: str) -> None:
        """End a reservation whose port is still to be deleted in Neutron."""
        with self._file.transaction() as db:
            db.execute("UPDATE reservation SET doomed = 1, endpoint = NULL WHERE port_id = ?", (port_id,))
            db.execute("DELETE FROM address WHERE port_id = ?", (port_id,))

    def forget(self, port_id: str) -> None:
        """End a reservation of which nothing is left."""
        with self._file.transaction(durable=False) as db:
            db.execute("DELETE FROM reservation WHERE port_id = ?", (port_id,))

    def _half_made(self, where: str, place: str, container: str) -> Reservation | None:
        return self._first(
            f"{where} AND container = ? AND endpoint IS NULL AND NOT doomed"  # noqa: S608 - our words
            " AND port_id NOT IN (SELECT port_id FROM address WHERE version = 6) ORDER BY reserved_at DESC, rowid DESC",
            place,
            container,
        )

    def _first(self, where: str, *values: object) -> Reservation | None:
        found = self._all(where, *values)
        return found[0] if found else None

    def _all(self, where: str, *values: object) -> tuple[Reservation, ...]:
        rows = self._file.rows(f"SELECT {_COLUMNS} FROM reservation WHERE {where}", *values)  # noqa: S608 - our words
        return tuple(
            Reservation(
                port_id=port_id, network_id=network_id, created=bool(created), container=container, endpoint=endpoint
            )
            for port_id, network_id, created, container, endpoint in rows
        )
