"""Docker networks come and go: Neutron networks and subnets are adopted or made, and given back or deleted."""

from __future__ import annotations

import threading
from dataclasses import replace

import structlog

from mooring.config.settings import LibnetworkSettings
from mooring.errors import InvalidRequest
from mooring.libnetwork import names
from mooring.libnetwork.debts import Debts, owing
from mooring.libnetwork.directory import Directory
from mooring.libnetwork.intents import Intents
from mooring.libnetwork.network_plan import NetworkPlan, Planner, SubnetPlan
from mooring.libnetwork.options import BOUND_KEY, NETWORK_KEY, parse_network_options
from mooring.libnetwork.pools import Pools
from mooring.libnetwork.protocol import CreateNetworkRequest
from mooring.libnetwork.records import NetworkRecord, Records, SubnetUse
from mooring.neutron.api import Neutron
from mooring.neutron.model import Network, Subnet

log = structlog.get_logger(__name__)


class Networks:
    """Makes and unmakes Docker networks. Marks in Neutron name the Docker network, so that several may share one.

    Only what was made for a Docker network goes with it, and only when no other Docker network uses it.
    """

    def __init__(
        self,
        neutron: Neutron,
        records: Records,
        intents: Intents,
        directory: Directory,
        pools: Pools,
        settings: LibnetworkSettings,
    ) -> None:
        self._neutron = neutron
        self._records = records
        self._intents = intents
        self._directory = directory
        self._pools = pools
        self._settings = settings
        self.planner = Planner(neutron, records, intents, pools)
        self._debts = Debts(self._dismantle)
        self._lock = threading.Lock()

    def create(self, request: CreateNetworkRequest) -> None:
        """Adopt or make a network; whatever it raises, nothing is left of it, for Docker sends no DeleteNetwork then.

        Raises InvalidRequest, NetworkUnusable, NeutronRefused, NeutronUnreachable.
        """
        with self._lock:
            if self._records.network(request.network_id) is not None:
                return
            if (bound := _bound_record(request)) is not None:
                self._records.save_network(bound)
                return
            plan = self.planner.plan(request)
            record = NetworkRecord(
                docker_id=request.network_id,
                network_id=plan.existing.id if plan.existing else "",
                created=plan.existing is None,
                vnic_type=plan.vnic_type,
            )
            self._records.save_network(record, doomed=True)
            try:
                record = self._carry_out(plan, record)
            except BaseException:
                self._dismantle_or_owe(self._written(record))
                raise
            self._records.save_network(record)
            log.info("network.created", neutron=record.network_id, made=record.created)

    def delete(self, docker_id: str) -> None:
        """Give back or delete what a Docker network has in Neutron; what Neutron does not answer now is owed."""
        with self._lock:
            known = self._records.network(docker_id)
            if known is not None and known.bound:
                self._records.forget_network(docker_id)
                return
            for record in (known,) if known else self._directory.tagged(docker_id):
                self._records.save_network(record, doomed=True)
                self._dismantle_or_owe(record)
                log.info("network.deleted", neutron=record.network_id)

    def pay_debts(self) -> None:
        """Take away what is left of deleted networks."""
        with self._lock:
            self._debts.pay(self._records.doomed_networks())

    def _carry_out(self, plan: NetworkPlan, record: NetworkRecord) -> NetworkRecord:
        tags = names.identity_tags(record.docker_id)
        if plan.existing:
            self._neutron.add_tags("networks", plan.existing.id, tags | {names.adoption_tag(record.docker_id)})
        else:
            name = names.network_name(record.docker_id)
            made = self._neutron.create_network(name=name, shared=plan.shared, tags=tags)
            record = replace(record, network_id=made.id)
            self._records.save_network(record, doomed=True)
        for subnet in plan.subnets:
            record = self._provide(subnet, record)
        self._directory.forget()
        return record

    def _provide(self, plan: SubnetPlan, record: NetworkRecord) -> NetworkRecord:
        tags = frozenset({plan.pool_id}) if plan.pool_id else frozenset[str]()
        if plan.existing:
            if not tags <= plan.existing.tags:
                self._neutron.add_tags("subnets", plan.existing.id, tags)
            return self._with_subnet(record, plan, plan.existing)
        return self._intents.make(
            "subnets",
            create=lambda token: self._neutron.create_subnet(
                network_id=record.network_id,
                name=names.subnet_name(plan.cidr),
                cidr=plan.cidr,
                gateway=plan.gateway,
                subnetpool_id=plan.cut_from,
                enable_dhcp=self._settings.enable_dhcp,
                tags=tags,
                description=token,
            ),
            record=lambda made: self._with_subnet(record, plan, made),
        )

    def _with_subnet(self, record: NetworkRecord, plan: SubnetPlan, subnet: Subnet) -> NetworkRecord:
        """Write that a subnet serves a Docker network that is being created."""
        use = SubnetUse(subnet_id=subnet.id, pool_id=plan.pool_id, created=plan.existing is None)
        record = replace(record, subnets=(*record.subnets, use))
        self._records.save_network(record, doomed=True)
        return record

    def _written(self, record: NetworkRecord) -> NetworkRecord:
        """Return how far a creation had come when it failed."""
        doomed = (known for known in self._records.doomed_networks() if known.docker_id == record.docker_id)
        return next(doomed, record)

    def _dismantle_or_owe(self, record: NetworkRecord) -> None:
        with owing("network.deletion-deferred", network=record.docker_id[:12]):
            self._dismantle(record)

    def _dismantle(self, record: NetworkRecord) -> None:
        """Take away what a Docker network has in Neutron; forget it once nothing is left."""
        if record.network_id:
            found = self._neutron.networks(network_id=record.network_id)
        else:
            # The answer to its creation was lost: its name, which has Docker's id, tells whether it was made.
            found = self._neutron.networks(name=names.network_name(record.docker_id))
        if [network for network in found if self._still_needed(network, record)]:
            return
        for network in found:
            self._remove(network, record)
        self._directory.forget()
        self._records.forget_network(record.docker_id)
        for pool_id in {use.pool_id for use in record.subnets if use.pool_id}:
            with owing("pool.deletion-deferred", pool=pool_id):
                self._pools.let_go(pool_id)

    def _still_needed(self, network: Network, record: NetworkRecord) -> bool:
        """Take our own marks off a network; tell whether what we made must wait for other Docker networks to go."""
        if not names.used_by_others(network.tags, record.docker_id):
            return False
        if marks := network.tags & names.docker_tags(record.docker_id):
            self._neutron.remove_tags("networks", network.id, marks)
        return record.created or any(use.created for use in record.subnets)

    def _remove(self, network: Network, record: NetworkRecord) -> None:
        if record.created:
            self._neutron.delete_network(network.id)
            return
        shared = names.used_by_others(network.tags, record.docker_id)
        for use in record.subnets:
            if use.created:
                self._neutron.delete_subnet(use.subnet_id)
            elif use.pool_id and not (shared and self._is_users_pool(use.pool_id)):
                self._neutron.remove_tags("subnets", use.subnet_id, [use.pool_id])
        self._neutron.remove_tags("networks", network.id, names.docker_tags(record.docker_id))

    def _is_users_pool(self, pool_id: str) -> bool:
        """Tell whether other Docker networks, of any host, may look for their subnet by this pool's tag."""
        record = self._records.pool(pool_id)
        return record is None or not record.created


def _bound_record(request: CreateNetworkRequest) -> NetworkRecord | None:
    """Return what a network for ports that a controller has bound is, None for any other; Neutron has no part in it."""
    options = parse_network_options(request.user_options)
    if not options.bound:
        return None
    has_addresses = any(item.pool and item.pool.prefixlen for item in (*request.ipv4, *request.ipv6))
    if options.network.uuid is None or has_addresses:
        raise InvalidRequest(f"a network with {BOUND_KEY} needs {NETWORK_KEY}, and '--ipam-driver null'")
    return NetworkRecord(docker_id=request.network_id, network_id=options.network.uuid, created=False, bound=True)
