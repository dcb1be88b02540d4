"""What creating a Docker network will change in Neutron: decided by reading only, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mooring.errors import InvalidRequest, NetworkUnusable
from mooring.libnetwork.intents import GRACE_SECONDS, Intents
from mooring.libnetwork.options import NetworkOptions, Selector, parse_network_options
from mooring.libnetwork.pools import Pools
from mooring.libnetwork.protocol import CreateNetworkRequest, IpamData
from mooring.libnetwork.records import Records
from mooring.neutron.api import Neutron
from mooring.neutron.model import IpAddress, IpNetwork, Network, Subnet


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetPlan:
    """A subnet to adopt (``existing``) or to make, with ``gateway``, out of ``cut_from``.

    ``pool_id`` is Docker's address pool, which the subnet is tagged with.
    """

    cidr: IpNetwork
    gateway: IpAddress
    pool_id: str | None
    cut_from: str | None
    existing: Subnet | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """A network to adopt (``existing``) or to make, and its subnets."""

    existing: Network | None
    subnets: tuple[SubnetPlan, ...]
    shared: bool
    vnic_type: str | None


class Planner:
    """Reads Docker's request against what Neutron has, and refuses what does not fit."""

    def __init__(self, neutron: Neutron, records: Records, intents: Intents, pools: Pools) -> None:
        self._neutron = neutron
        self._records = records
        self._intents = intents
        self._pools = pools

    def plan(self, request: CreateNetworkRequest) -> NetworkPlan:
        """Return what to do; raise InvalidRequest or NetworkUnusable."""
        options = parse_network_options(request.user_options)
        network = self._adopted(options)
        if network and options.shared is not None and options.shared != network.shared:
            problem = f"its shared flag is {network.shared}, and neutron.net.shared={options.shared} was asked for"
            raise NetworkUnusable(network.id, problem)
        there = self._neutron.subnets(network_id=network.id) if network else ()
        return NetworkPlan(
            existing=network,
            subnets=tuple(
                self._subnet(item, item.pool, network, there, options, alone=len(data) == 1)
                for data in (request.ipv4, request.ipv6)
                for item in data
                if item.pool and item.pool.prefixlen
            ),
            shared=options.shared or False,
            vnic_type=options.vnic_type,
        )

    def needs_no_gateway(self, user_options: Mapping[str, object]) -> tuple[bool, bool]:
        """Tell, for IPv4 and IPv6, whether all subnets that a network would adopt do without a gateway."""
        options = parse_network_options(user_options)
        if options.bound:
            return True, True
        network = self._adopted(options)
        subnets = self._neutron.subnets(network_id=network.id) if network else ()
        return _gatewayless(4, subnets, options), _gatewayless(6, subnets, options)

    def _adopted(self, options: NetworkOptions) -> Network | None:
        """Find the network that the user named, or that of the subnet the user named."""
        selector = options.network
        if not selector.given:
            named = [subnet for subnet in options.subnets.values() if subnet.given]
            return self._neutron.network(self._named_subnet(named[0], None).network_id) if named else None
        if selector.uuid:
            found = self._neutron.networks(network_id=selector.uuid)
        else:
            found = self._neutron.networks(name=selector.name)
        if len(found) == 1:
            return found[0]
        problem = "several have that name; give -o neutron.net.uuid" if found else "there is none; check the option"
        raise NetworkUnusable(str(selector), problem)

    def _subnet(
        self,
        item: IpamData,
        cidr: IpNetwork,
        network: Network | None,
        there: Sequence[Subnet],
        options: NetworkOptions,
        *,
        alone: bool,
    ) -> SubnetPlan:
        existing = self._existing(cidr, network, there, options.subnets[cidr.version])
        if existing and network and self._intents.stands(existing.description):
            problem = f"a creation that failed left its subnet {cidr} behind, which mooring is about to delete"
            raise NetworkUnusable(network.id, f"{problem}; try again in {GRACE_SECONDS:.0f} seconds")
        asked = None if item.gateway is None or item.gateway.is_unspecified else item.gateway
        if existing and network and asked is not None and asked != existing.gateway:
            fits = f"give --gateway={existing.gateway}" if existing.gateway else "leave out --gateway"
            problem = f"its subnet {cidr} has gateway {existing.gateway or 'none'}, not {asked}; {fits}"
            raise NetworkUnusable(network.id, problem)
        pool_id = self._pool_id(cidr, options.pools[cidr.version])
        # Neutron demands that all subnets of a network and an IP version come from one pool, or none of them does.
        others = [subnet for subnet in there if subnet.cidr.version == cidr.version]
        return SubnetPlan(
            cidr=cidr,
            # Neutron's own choice where its users name no gateway.
            gateway=asked or _first_address(cidr),
            pool_id=pool_id,
            cut_from=others[0].subnetpool_id if others else pool_id if alone else None,
            existing=existing,
        )

    def _existing(
        self, cidr: IpNetwork, network: Network | None, there: Sequence[Subnet], selector: Selector
    ) -> Subnet | None:
        if network is None:
            return None
        if not selector.given:
            return next((subnet for subnet in there if subnet.cidr == cidr), None)
        subnet = self._named_subnet(selector, network.id)
        if subnet.network_id != network.id:
            raise NetworkUnusable(network.id, f"subnet {selector} is on network {subnet.network_id}")
        if subnet.cidr != cidr:
            raise NetworkUnusable(network.id, f"subnet {selector} is {subnet.cidr}; give --subnet={subnet.cidr}")
        return subnet

    def _named_subnet(self, selector: Selector, network_id: str | None) -> Subnet:
        if selector.uuid:
            found = self._neutron.subnets(subnet_id=selector.uuid)
        else:
            found = self._neutron.subnets(name=selector.name, network_id=network_id)
        if len(found) == 1:
            return found[0]
        raise InvalidRequest(f"Neutron has {'several subnets' if found else 'no subnet'} with {selector}")

    def _pool_id(self, cidr: IpNetwork, selector: Selector) -> str | None:
        if selector.given:
            return self._pools.find(selector).id
        record = self._records.pool_for(cidr)
        return record.pool_id if record else None


def _first_address(cidr: IpNetwork) -> IpAddress:
    hosts: Iterator[IpAddress] = iter(cidr.hosts())
    return next(hosts)


def _gatewayless(version: int, subnets: tuple[Subnet, ...], options: NetworkOptions) -> bool:
    selector = options.subnets[version]
    concerned = [
        subnet
        for subnet in subnets
        if subnet.cidr.version == version
        and (not selector.given or selector.uuid == subnet.id or selector.name == subnet.name)
    ]
    return bool(concerned) and all(subnet.gateway is None for subnet in concerned)
