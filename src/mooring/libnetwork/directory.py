"""From Docker's ids to Neutron's networks and subnets, without asking Neutron each time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from mooring.errors import NetworkUnusable
from mooring.libnetwork import names
from mooring.libnetwork.records import NetworkRecord, Records, SubnetUse
from mooring.neutron.api import Neutron
from mooring.neutron.model import Network, Port, Subnet

CACHE_SECONDS: Final = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A subnet that serves a pool of Docker's. ``record`` is None where only Neutron knows (kuryr-libnetwork's)."""

    subnet: Subnet
    record: NetworkRecord | None = None

    @property
    def vnic_type(self) -> str | None:
        """The kind of ports that mooring may make here."""
        return self.record.vnic_type if self.record else None


class Directory:
    """Answers from what was created here, else from the tags in Neutron; remembers Neutron's answers for a minute."""

    def __init__(self, neutron: Neutron, records: Records, clock: Callable[[], float] = time.monotonic) -> None:
        self._neutron = neutron
        self._records = records
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[float, object]] = {}

    def network(self, network_id: str) -> Network:
        """Return a Neutron network, up to a minute old; raise NetworkUnusable when there is none."""
        return self._remember(("network", network_id), lambda: self._neutron.network(network_id))

    def subnets(self, network_id: str) -> tuple[Subnet, ...]:
        """Return the subnets of a Neutron network."""
        return self._remember(("subnets", network_id), lambda: self._neutron.subnets(network_id=network_id))

    def forget(self) -> None:
        """Ask Neutron again: something was changed."""
        with self._lock:
            self._known.clear()

    def resolve(self, docker_id: str) -> NetworkRecord:
        """Return the Neutron network of a Docker network; raise NetworkUnusable when none, or several, bear its tags.

        What is found by its tags is written down, so that it costs one look in Neutron only.
        """
        if (known := self._records.network(docker_id)) is not None:
            return known
        found = self.tagged(docker_id)
        if len(found) != 1:
            raise NetworkUnusable(
                f"of Docker network {docker_id[:12]}",
                f"{len(found) or 'none'} of Neutron's networks bear its tags; remove the Docker network and create it"
                " again",
            )
        self._records.save_network(found[0])
        return found[0]

    def tagged(self, docker_id: str) -> tuple[NetworkRecord, ...]:
        """Return what the tags in Neutron say of a Docker network, be it ours or kuryr-libnetwork's."""
        return tuple(
            NetworkRecord(
                docker_id=docker_id,
                network_id=network.id,
                created=names.adoption_tag(docker_id) not in network.tags,
                subnets=tuple(_use(subnet) for subnet in self.subnets(network.id) if _pool_of(subnet)),
            )
            for network in self._neutron.networks(tags=names.identity_tags(docker_id))
        )

    def places(self, pool_id: str) -> tuple[Place, ...]:
        """Return the subnets that a pool's addresses are on; several only where Docker networks share the pool."""
        places: dict[str, Place] = {}
        for record in self._records.networks_of_pool(pool_id):
            mine = {use.subnet_id for use in record.subnets if use.pool_id == pool_id}
            for subnet in self.subnets(record.network_id):
                if subnet.id in mine and (subnet.id not in places or record.vnic_type):
                    places[subnet.id] = Place(subnet=subnet, record=record)
        return tuple(places.values()) or self._tagged_places(pool_id)

    def subnets_of_port(self, port: Port, record: NetworkRecord) -> tuple[Subnet, ...]:
        """Return those subnets of a Docker network that a port has an address on, one made a moment ago included."""
        mine = {fixed.subnet_id for fixed in port.fixed_ips}
        if not mine <= {subnet.id for subnet in self.subnets(record.network_id)}:
            self.forget()
        return tuple(subnet for subnet in self.subnets_of(record) if subnet.id in mine)

    def subnets_of(self, record: NetworkRecord) -> tuple[Subnet, ...]:
        """Return the subnets that serve a Docker network; all of the network's where Docker manages no addresses."""
        chosen = {use.subnet_id for use in record.subnets}
        return tuple(subnet for subnet in self.subnets(record.network_id) if not chosen or subnet.id in chosen)

    def _tagged_places(self, pool_id: str) -> tuple[Place, ...]:
        def find() -> tuple[Subnet, ...]:
            return self._neutron.subnets(subnetpool_id=pool_id) or self._neutron.subnets(tags=[pool_id])

        if self._records.pool(pool_id) is not None:
            return ()
        return tuple(Place(subnet=subnet) for subnet in self._remember(("pool", pool_id), find))

    def _remember(self, key: tuple[str, str], ask: Callable[[], T]) -> T:
        with self._lock:
            until, known = self._known.get(key, (0.0, None))
        if known is not None and self._clock() < until:
            return known  # type: ignore[return-value]  # each key has one kind of answer
        answer = ask()
        with self._lock:
            self._known[key] = self._clock() + CACHE_SECONDS, answer
        return answer


def _use(subnet: Subnet) -> SubnetUse:
    created = subnet.name == names.subnet_name(subnet.cidr)
    return SubnetUse(subnet_id=subnet.id, pool_id=_pool_of(subnet), created=created)


def _pool_of(subnet: Subnet) -> str | None:
    """Return the pool that Docker takes a subnet's addresses from: tagged with its id, or cut from it."""
    return next((tag for tag in sorted(subnet.tags) if _is_uuid(tag)), subnet.subnetpool_id)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
