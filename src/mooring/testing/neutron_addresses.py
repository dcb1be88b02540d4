"""Which subnets a Neutron admits, and which addresses it gives to ports: rules that read its tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from mooring.neutron.model import IpAddress, IpNetwork
from mooring.testing.neutron_tables import No, Resource, Tables, find


def new_subnet(tables: Tables, given: Mapping[str, Any]) -> Resource:
    """Return the attributes of a new subnet; raise No when its network cannot have it."""
    find(tables, "networks", given["network_id"])
    cidr = ip_network(given["cidr"])
    pool_id = given.get("subnetpool_id")
    siblings = [item for item in tables["subnets"].values() if item["network_id"] == given["network_id"]]
    alike = [item for item in siblings if item["ip_version"] == cidr.version]
    if any(item["subnetpool_id"] != pool_id for item in alike):
        raise No(400, "Subnets hosted on the same network must be allocated from the same subnet pool.")
    if pool_id is not None:
        _check_allocation(tables, find(tables, "subnetpools", pool_id), cidr)
    elif any(cidr.overlaps(ip_network(item["cidr"])) for item in alike):
        raise No(400, f"Requested subnet with cidr: {cidr} overlaps with another subnet.")
    defaults: Resource = {
        "name": "",
        "ip_version": cidr.version,
        "subnetpool_id": None,
        "gateway_ip": str(cidr[1]),
        "enable_dhcp": True,
        "host_routes": [],
    }
    return defaults | dict(given)


def allocate(tables: Tables, network_id: str, wanted: Sequence[Mapping[str, str]] | None) -> list[dict[str, str]]:
    """Return the addresses of a new port: the wanted ones, or else one of the first subnet of each IP version.

    Raises No when an address is taken, is outside its subnet, or none is free.
    """
    if wanted is None:
        subnets = [item for item in tables["subnets"].values() if item["network_id"] == network_id]
        first = {item["ip_version"]: item for item in reversed(subnets)}
        wanted = [{"subnet_id": subnet["id"]} for subnet in first.values()]
    return [_address(tables, fixed) for fixed in wanted]


def _address(tables: Tables, fixed: Mapping[str, str]) -> dict[str, str]:
    subnet = find(tables, "subnets", fixed["subnet_id"])
    cidr = ip_network(subnet["cidr"])
    used = {
        ip_address(other["ip_address"])
        for port in tables["ports"].values()
        for other in port["fixed_ips"]
        if other["subnet_id"] == subnet["id"]
    }
    if "ip_address" not in fixed:
        return {"subnet_id": subnet["id"], "ip_address": str(_first_free(subnet, used))}
    address = ip_address(fixed["ip_address"])
    if address not in cidr or address in (cidr.network_address, cidr.broadcast_address):
        raise No(400, f"IP address {address} is not a valid IP for the specified subnet.")
    if address in used:
        raise No(409, f"IP address {address} already allocated in subnet {subnet['id']}")
    return {"subnet_id": subnet["id"], "ip_address": str(address)}


def _first_free(subnet: Resource, used: Collection[IpAddress]) -> IpAddress:
    gateway = subnet["gateway_ip"]
    for address in ip_network(subnet["cidr"]).hosts():
        if address not in used and str(address) != gateway:
            return address
    raise No(409, f"No more IP addresses available on network {subnet['network_id']}.")


def _check_allocation(tables: Tables, pool: Resource, cidr: IpNetwork) -> None:
    taken = [ip_network(item["cidr"]) for item in tables["subnets"].values() if item["subnetpool_id"] == pool["id"]]
    prefixes = [ip_network(prefix) for prefix in pool["prefixes"]]
    if any(cidr.overlaps(other) for other in taken) or not any(_within(cidr, prefix) for prefix in prefixes):
        raise No(500, "Failed to allocate subnet: Cannot allocate requested subnet from the available set.")


def _within(cidr: IpNetwork, prefix: IpNetwork) -> bool:
    return cidr.version == prefix.version and cidr[0] in prefix and cidr[-1] in prefix
