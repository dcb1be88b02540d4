"""Docker's address pools: each is a subnet pool of Neutron, and its id is the pool's."""

from __future__ import annotations

import threading

from mooring.config.settings import LibnetworkSettings
from mooring.errors import InvalidRequest
from mooring.libnetwork import names
from mooring.libnetwork.debts import Debts, owing
from mooring.libnetwork.intents import Intents
from mooring.libnetwork.options import NetworkOptions, Selector, parse_network_options
from mooring.libnetwork.protocol import RequestPoolRequest
from mooring.libnetwork.records import PoolRecord, Records
from mooring.neutron.api import Neutron
from mooring.neutron.model import IpNetwork, SubnetPool


class Pools:
    """Finds or makes the subnet pool of a Docker network, and lets it go.

    A pool of the user's, the default ones included, is tagged while it is used and never deleted. A pool that mooring
    makes serves one Docker network, so that equal CIDRs on several networks, or hosts, do not meet in one pool; only
    while that network is being created does asking again find the same pool.
    """

    def __init__(self, neutron: Neutron, records: Records, intents: Intents, settings: LibnetworkSettings) -> None:
        self._neutron = neutron
        self._records = records
        self._intents = intents
        self._settings = settings
        self._debts = Debts(self._let_go_again)
        self._lock = threading.Lock()

    def request(self, request: RequestPoolRequest) -> PoolRecord:
        """Return the pool for what ``docker network create`` was given; raise InvalidRequest for what cannot be."""
        options = parse_network_options(request.options)
        cidr = request.sub_pool or request.pool
        version = cidr.version if cidr else (6 if request.v6 else 4)
        with self._lock:
            if cidr is None or options.pools[version].given:
                return self._users_pool(options, cidr, version)
            return self._own_pool(options, cidr)

    def find(self, selector: Selector) -> SubnetPool:
        """Return the user's pool; raise InvalidRequest when there is none or several of that name."""
        if selector.uuid:
            found = self._neutron.subnetpools(pool_id=selector.uuid)
        else:
            found = self._neutron.subnetpools(name=selector.name)
        if len(found) != 1:
            amount = "several subnet pools" if found else "no subnet pool"
            raise InvalidRequest(f"Neutron has {amount} with {selector}; give the pool's id, or --subnet")
        return found[0]

    def release(self, pool_id: str) -> None:
        """Let a pool go that Docker has released. Its network, where it has one, goes later: DeleteNetwork is last."""
        if (record := self._records.pool(pool_id)) is not None:
            self._records.settle_pool(pool_id)
            if not self._records.networks_of_pool(pool_id):
                self._records.doom_pool(pool_id)
                with owing("pool.deletion-deferred", pool=pool_id):
                    self._let_go(record.pool_id, created=record.created)

    def let_go(self, pool_id: str) -> None:
        """Let a pool go with the last Docker network that used it; raise EdgeFailure when Neutron cannot be told."""
        if self._records.networks_of_pool(pool_id):
            return
        if (record := self._records.pool(pool_id)) is not None:
            self._records.doom_pool(pool_id)
            self._let_go(pool_id, created=record.created)
            return
        for pool in self._neutron.subnetpools(pool_id=pool_id):
            own = {names.pool_name(self._settings.subnetpool_prefix, prefix) for prefix in pool.prefixes}
            # Who made it is not known here: its name and that nobody uses it must do.
            self._let_go(pool_id, created=pool.name in own and not self._in_use(pool_id))

    def pay_debts(self) -> None:
        """Let go what should be gone already."""
        self._debts.pay(self._records.doomed_pools())

    def _let_go_again(self, record: PoolRecord) -> None:
        self._let_go(record.pool_id, created=record.created)

    def _let_go(self, pool_id: str, *, created: bool) -> None:
        """Delete a pool, or take the mark off a user's, unless a subnet of another host still uses it."""
        with self._lock:
            if (record := self._records.pool(pool_id)) is not None and record.pending:
                return  # Docker has asked for it again meanwhile
            if created:
                self._neutron.delete_subnetpool(pool_id)
            elif not self._in_use(pool_id):
                self._neutron.remove_tags("subnetpools", pool_id, [names.POOL_IN_USE_TAG])
            self._records.forget_pool(pool_id)

    def _in_use(self, pool_id: str) -> bool:
        """Tell whether any Docker network, of any host, takes its addresses from a pool of the user's."""
        return bool(self._neutron.subnets(tags=[pool_id]))

    def _users_pool(self, options: NetworkOptions, cidr: IpNetwork | None, version: int) -> PoolRecord:
        selector = options.pools[version]
        if not selector.given:
            selector = Selector(key="subnet pool", name=self._settings.default_pool(version))
        pool = self.find(selector)
        cidr = cidr or pool.prefixes[0]
        if not any(_contains(prefix, cidr) for prefix in pool.prefixes):
            raise InvalidRequest(f"subnet {cidr} is not in the subnet pool {pool.name} ({_listed(pool)})")
        _check_shared(pool, options)
        if names.POOL_IN_USE_TAG not in pool.tags:
            self._neutron.add_tags("subnetpools", pool.id, [names.POOL_IN_USE_TAG])
        return self._record(pool, cidr, created=False)

    def _own_pool(self, options: NetworkOptions, cidr: IpNetwork) -> PoolRecord:
        tags = self._subnet_tag(options.subnets[cidr.version], cidr)
        known = self._records.pool_for(cidr)
        if known is not None and known.created and known.pending:
            return known
        name = names.pool_name(self._settings.subnetpool_prefix, cidr)
        shared = options.shared or False
        return self._intents.make(
            "subnetpools",
            create=lambda token: self._neutron.create_subnetpool(
                name=name, prefixes=[cidr], shared=shared, tags=tags, description=token
            ),
            record=lambda pool: self._record(pool, cidr, created=True),
        )

    def _subnet_tag(self, selector: Selector, cidr: IpNetwork) -> frozenset[str]:
        """Tie a pool to the subnet the user named, as kuryr-libnetwork does."""
        if not selector.given:
            return frozenset()
        if selector.uuid:
            found = self._neutron.subnets(subnet_id=selector.uuid)
        else:
            found = self._neutron.subnets(name=selector.name)
        matching = [subnet for subnet in found if subnet.cidr == cidr]
        if len(matching) != 1:
            amount = "several subnets" if matching else "no subnet"
            raise InvalidRequest(f"Neutron has {amount} {cidr} with {selector}; check --subnet and --ipam-opt")
        return frozenset({matching[0].id})

    def _record(self, pool: SubnetPool, cidr: IpNetwork, *, created: bool) -> PoolRecord:
        self._records.request_pool(pool.id, cidr, created=created)
        return PoolRecord(pool_id=pool.id, cidr=cidr, created=created, pending=True)


def _check_shared(pool: SubnetPool, options: NetworkOptions) -> None:
    if options.shared is not None and options.shared != pool.shared:
        raise InvalidRequest(f"neutron.net.shared={options.shared}, but the subnet pool {pool.name} is {pool.shared}")


def _contains(prefix: IpNetwork, cidr: IpNetwork) -> bool:
    return prefix.version == cidr.version and prefix.supernet_of(cidr)  # type: ignore[arg-type]  # same version


def _listed(pool: SubnetPool) -> str:
    return ", ".join(str(prefix) for prefix in pool.prefixes)
