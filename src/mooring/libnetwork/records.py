"""Which Neutron network, subnets and pools belong to which Docker network, and who made them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from mooring.neutron.model import IpNetwork
from mooring.statefile import StateFile


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetUse:
    """A subnet that serves a Docker network. ``created`` tells that it was made for this Docker network."""

    subnet_id: str
    pool_id: str | None
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRecord:
    """A Docker network and the Neutron network it stands for.

    Without subnets its addresses are not ours to manage (``--ipam-driver null``). ``vnic_type`` is the kind of ports
    that mooring makes on it, None where it makes none. ``bound`` says that it is for ports that a controller has bound:
    nothing in Neutron tells of it.
    """

    docker_id: str
    network_id: str
    created: bool
    vnic_type: str | None = None
    subnets: tuple[SubnetUse, ...] = ()
    bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRecord:
    """A subnet pool that Docker holds. ``pending`` means that the Docker network it was requested for is not there yet.

    ``created`` tells that mooring made it here, so that it goes with the last Docker network that uses it.
    """

    pool_id: str
    cidr: IpNetwork
    created: bool
    pending: bool


class Records:
    """Networks and pools on disk. What is doomed is no longer Docker's, but still to be taken away in Neutron.

    What mooring has in Neutron, or is to take away there, outlives a power failure. A forgotten row that comes back
    with one is merely taken away once more.
    """

    def __init__(self, file: StateFile) -> None:
        self._file = file

    def network(self, docker_id: str) -> NetworkRecord | None:
        """Return a Docker network that was created and not deleted."""
        found = self._networks("docker_id = ? AND NOT doomed", docker_id)
        return found[0] if found else None

    def networks_of_pool(self, pool_id: str) -> tuple[NetworkRecord, ...]:
        """Return the Docker networks whose addresses come from a pool."""
        return self._networks(
            "NOT doomed AND docker_id IN (SELECT docker_id FROM subnet_use WHERE pool_id = ?)", pool_id
        )

    def doomed_networks(self) -> tuple[NetworkRecord, ...]:
        """Return the Docker networks that were deleted and have still something in Neutron."""
        return self._networks("doomed")

    def save_network(self, record: NetworkRecord, *, doomed: bool = False) -> None:
        """Write a Docker network; the pools it uses are no longer pending.

        One that is being made is written as doomed first: should mooring die half-way, what was made is taken away.
        """
        with self._file.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO network VALUES (?, ?, ?, ?, ?, ?)",
                (record.docker_id, record.network_id, record.created, record.vnic_type, doomed, record.bound),
            )
            for use in record.subnets:
                db.execute(
                    "INSERT INTO subnet_use VALUES (?, ?, ?, ?)",
                    (record.docker_id, use.subnet_id, use.pool_id, use.created),
                )
                db.execute("UPDATE pool SET pending = 0 WHERE pool_id = ?", (use.pool_id,))

    def forget_network(self, docker_id: str) -> None:
        """Forget a network of which nothing is left."""
        with self._file.transaction(durable=False) as db:
            db.execute("DELETE FROM network WHERE docker_id = ?", (docker_id,))

    def pool(self, pool_id: str) -> PoolRecord | None:
        """Return a pool that was requested here."""
        found = self._pools("pool_id = ?", pool_id)
        return found[0] if found else None

    def pool_for(self, cidr: IpNetwork) -> PoolRecord | None:
        """Return the pool that was requested for a network of a CIDR, or else the user's that serves such already."""
        found = self._pools(
            "cidr = ? AND NOT doomed AND (pending OR NOT created) ORDER BY pending DESC, rowid DESC", str(cidr)
        )
        return found[0] if found else None

    def doomed_pools(self) -> tuple[PoolRecord, ...]:
        """Return the pools that are to be deleted in Neutron."""
        return self._pools("doomed")

    def request_pool(self, pool_id: str, cidr: IpNetwork, *, created: bool) -> None:
        """Write a pool that Docker was given; one that is known keeps its origin."""
        with self._file.transaction(durable=created) as db:
            db.execute(
                "INSERT INTO pool VALUES (?, ?, ?, 1, 0) ON CONFLICT (pool_id) DO UPDATE SET pending = 1, doomed = 0",
                (pool_id, str(cidr), created),
            )

    def settle_pool(self, pool_id: str) -> None:
        """Note that no network is being created from a pool any more."""
        with self._file.transaction(durable=False) as db:
            db.execute("UPDATE pool SET pending = 0 WHERE pool_id = ?", (pool_id,))

    def doom_pool(self, pool_id: str) -> None:
        """Note that a pool is to be deleted in Neutron."""
        with self._file.transaction() as db:
            db.execute("UPDATE pool SET doomed = 1 WHERE pool_id = ?", (pool_id,))

    def forget_pool(self, pool_id: str) -> None:
        """Forget a pool."""
        with self._file.transaction(durable=False) as db:
            db.execute("DELETE FROM pool WHERE pool_id = ?", (pool_id,))

    def _networks(self, where: str, *values: str) -> tuple[NetworkRecord, ...]:
        rows = self._file.rows(
            f"SELECT docker_id, network_id, created, vnic_type, bound FROM network WHERE {where}",  # noqa: S608 - our words
            *values,
        )
        return tuple(
            NetworkRecord(
                docker_id=docker_id,
                network_id=network_id,
                created=bool(created),
                vnic_type=vnic_type,
                subnets=self._subnets(docker_id),
                bound=bool(bound),
            )
            for docker_id, network_id, created, vnic_type, bound in rows
        )

    def _subnets(self, docker_id: str) -> tuple[SubnetUse, ...]:
        rows = self._file.rows("SELECT subnet_id, pool_id, created FROM subnet_use WHERE docker_id = ?", docker_id)
        return tuple(SubnetUse(subnet_id=subnet, pool_id=pool, created=bool(made)) for subnet, pool, made in rows)

    def _pools(self, where: str, *values: str) -> tuple[PoolRecord, ...]:
        rows = self._file.rows(
            f"SELECT pool_id, cidr, created, pending FROM pool WHERE {where}",  # noqa: S608 - our words
            *values,
        )
        return tuple(
            PoolRecord(pool_id=pool_id, cidr=ip_network(cidr), created=bool(created), pending=bool(pending))
            for pool_id, cidr, created, pending in rows
        )
