"""Networks, subnets, subnet pools and agents over REST."""

from __future__ import annotations

from collections.abc import Iterable

from mooring.errors import NetworkUnusable, NeutronRefused
from mooring.neutron.model import Agent, IpAddress, IpNetwork, Network, SecurityGroup, Subnet, SubnetPool
from mooring.neutron.parse import parse_agent, parse_network, parse_security_group, parse_subnet, parse_subnetpool
from mooring.neutron.resources import NOT_FOUND, RestResources


class RestNetworks(RestResources):
    """The calls of NeutronNetworks, and the one of NeutronPorts that reads a network."""

    def network(self, network_id: str) -> Network:
        """Return the network; raise NetworkUnusable when there is none."""
        doing = f"reading network {network_id}"
        try:
            body = self._http.send("show_network", doing, "GET", f"networks/{network_id}")
        except NeutronRefused as exc:
            if exc.status != NOT_FOUND:
                raise
            raise NetworkUnusable(network_id, "it does not exist, or mooring's account may not see it") from exc
        return parse_network(doing, body.get("network"))

    def networks(
        self,
        *,
        network_id: str | None = None,
        name: str | None = None,
        project_id: str | None = None,
        shared: bool | None = None,
        tags: Iterable[str] = (),
    ) -> tuple[Network, ...]:
        """Return the networks to which every given filter applies."""
        doing = "listing networks"
        query = {
            "id": network_id,
            "name": name,
            "project_id": project_id,
            "shared": None if shared is None else str(shared),
        }
        return tuple(parse_network(doing, body) for body in self._list("networks", doing, query, tags))

    def create_network(self, *, name: str, shared: bool, tags: Iterable[str]) -> Network:
        """Create a network and tag it."""
        doing = f"creating network {name}"
        return self._create("networks", doing, {"name": name, "shared": shared}, tags, parse_network)

    def delete_network(self, network_id: str) -> None:
        """Delete a network; one that does not exist is a success."""
        self._delete("networks", network_id)

    def subnets(
        self,
        *,
        subnet_id: str | None = None,
        name: str | None = None,
        network_id: str | None = None,
        cidr: IpNetwork | None = None,
        subnetpool_id: str | None = None,
        tags: Iterable[str] = (),
    ) -> tuple[Subnet, ...]:
        """Return the subnets to which every given filter applies."""
        doing = "listing subnets"
        query = {
            "id": subnet_id,
            "name": name,
            "network_id": network_id,
            "cidr": None if cidr is None else str(cidr),
            "subnetpool_id": subnetpool_id,
        }
        return tuple(parse_subnet(doing, body) for body in self._list("subnets", doing, query, tags))

    def create_subnet(
        self,
        *,
        network_id: str,
        name: str,
        cidr: IpNetwork,
        gateway: IpAddress | None,
        subnetpool_id: str | None,
        enable_dhcp: bool,
        tags: Iterable[str],
        description: str = "",
    ) -> Subnet:
        """Create a subnet and tag it; gateway None makes one without a gateway."""
        doing = f"creating subnet {cidr} on network {network_id}"
        body: dict[str, object] = {
            "network_id": network_id,
            "name": name,
            "ip_version": cidr.version,
            "cidr": str(cidr),
            "gateway_ip": None if gateway is None else str(gateway),
            "enable_dhcp": enable_dhcp,
            "description": description,
        }
        if subnetpool_id is not None:
            body["subnetpool_id"] = subnetpool_id
        return self._create("subnets", doing, body, tags, parse_subnet)

    def delete_subnet(self, subnet_id: str) -> None:
        """Delete a subnet; one that does not exist is a success."""
        self._delete("subnets", subnet_id)

    def subnetpools(
        self, *, pool_id: str | None = None, name: str | None = None, tags: Iterable[str] = ()
    ) -> tuple[SubnetPool, ...]:
        """Return the subnet pools to which every given filter applies."""
        doing = "listing subnet pools"
        query = {"id": pool_id, "name": name}
        return tuple(parse_subnetpool(doing, body) for body in self._list("subnetpools", doing, query, tags))

    def create_subnetpool(
        self, *, name: str, prefixes: Iterable[IpNetwork], shared: bool, tags: Iterable[str], description: str = ""
    ) -> SubnetPool:
        """Create a subnet pool and tag it."""
        doing = f"creating subnet pool {name}"
        wanted = [str(prefix) for prefix in prefixes]
        body: dict[str, object] = {"name": name, "description": description, "prefixes": wanted, "shared": shared}
        return self._create("subnetpools", doing, body, tags, parse_subnetpool)

    def delete_subnetpool(self, pool_id: str) -> None:
        """Delete a subnet pool; one that does not exist is a success."""
        self._delete("subnetpools", pool_id)

    def security_groups(
        self, *, group_id: str | None = None, name: str | None = None, project_id: str | None = None
    ) -> tuple[SecurityGroup, ...]:
        """Return the security groups to which every given filter applies."""
        doing = "listing security groups"
        query = {"id": group_id, "name": name, "project_id": project_id}
        found = self._list("security-groups", doing, query)
        return tuple(parse_security_group(doing, body) for body in found)

    def agents(self, *, host: str, agent_type: str) -> tuple[Agent, ...]:
        """Return the agent rows of a host."""
        doing = f"listing the agents of host {host}"
        query = {"host": host, "agent_type": agent_type}
        return tuple(parse_agent(doing, body) for body in self._list("agents", doing, query))
