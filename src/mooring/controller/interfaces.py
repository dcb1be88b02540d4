"""What a user asks for under ``nets``, looked up in Neutron and judged before anything is written."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from mooring.container.model import Interface
from mooring.controller.api import Caller, NetworkWish
from mooring.db.api import Hosts
from mooring.errors import (
    InvalidRequest,
    NameAmbiguous,
    NetworkNotFound,
    NetworkUnusable,
    NoNetwork,
    PolicyForbids,
    PortBusy,
    PortNotFound,
    PortUnusable,
    UnsupportedVnicType,
)
from mooring.neutron.api import Neutron
from mooring.neutron.binding import physical_network_of
from mooring.neutron.model import BINDING_FAILED, UNBOUND, IpAddress, Network, Port, Subnet

VNIC_TYPES: Final = ("normal", "direct", "macvtap", "direct-physical")
"""The kinds of port that nodes serve."""

_EXTERNAL: Final = "network:attach_external_network"


def is_uuid(text: str) -> bool:
    """Tell whether a text is an id of Neutron's rather than a name."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def check_apart(interfaces: Iterable[Interface]) -> None:
    """Raise InvalidRequest when two interfaces of one container are on the same network: Docker cannot serve that."""
    seen: dict[str, Interface] = {}
    for interface in interfaces:
        former = seen.setdefault(interface.network_id, interface)
        if former is interface:
            continue
        if interface.port_id is not None and interface.port_id == former.port_id:
            raise InvalidRequest(f"port {interface.port_id} is asked for twice")
        raise InvalidRequest(
            f"two interfaces on network {interface.network_id} are asked for, and a container can have one on each "
            "network; use ports of different networks"
        )


class InterfaceReader:
    """Makes interfaces of wishes; reads Neutron only."""

    def __init__(self, *, neutron: Neutron, hosts: Hosts, default_vnic_type: str) -> None:
        self._neutron = neutron
        self._hosts = hosts
        self._default_vnic_type = default_vnic_type

    def read(
        self, caller: Caller, nets: Sequence[NetworkWish], *, security_groups: Sequence[str] = ()
    ) -> tuple[Interface, ...]:
        """Return an interface for each wish, in their order; no wish stands for the project's own network.

        Raises what Lifecycle.create does for nets.
        """
        if not nets:
            return (self._for_network(self._own_network(caller), (), security_groups),)
        return tuple(self._for_wish(caller, wish, security_groups) for wish in nets)

    def security_groups(self, caller: Caller, keys: Iterable[str]) -> tuple[str, ...]:
        """Return the ids of the caller's security groups by names or ids, each once; raise InvalidRequest."""
        return tuple(dict.fromkeys(self._security_group(caller, key) for key in keys))

    def _security_group(self, caller: Caller, key: str) -> str:
        found = self._neutron.security_groups(
            group_id=key if is_uuid(key) else None,
            name=None if is_uuid(key) else key,
            project_id=caller.project_id,
        )
        if not found:
            raise InvalidRequest(f"the project has no security group {key}; see 'openstack security group list'")
        if len(found) > 1:
            raise NameAmbiguous("security group", key, len(found))
        return found[0].id

    def _for_wish(self, caller: Caller, wish: NetworkWish, security_groups: Sequence[str]) -> Interface:
        if (wish.port is None) == (wish.network is None):
            raise InvalidRequest("an item of nets names a port or a network: one of the two, and not both")
        if wish.port is not None:
            return self._for_port(self._port(caller, wish.port), wish.addresses)
        network = self._network(caller, str(wish.network))
        return self._for_network(network, wish.addresses, security_groups)

    # Ports that are given

    def _port(self, caller: Caller, key: str) -> Port:
        """Return the caller's port of an id or a name; another project's is one that does not exist."""
        remedy = "there is none in the project; see 'openstack port list'"
        if is_uuid(key):
            port = self._neutron.port(key)
            if port.project_id != caller.project_id:
                raise PortNotFound(f"id {key}", remedy)
            return port
        found = self._neutron.ports(name=key, project_id=caller.project_id)
        if not found:
            raise PortNotFound(f"name {key}", remedy)
        if len(found) > 1:
            raise NameAmbiguous("port", key, len(found))
        return found[0]

    def _for_port(self, port: Port, addresses: Sequence[IpAddress]) -> Interface:
        if port.vnic_type not in VNIC_TYPES:
            raise UnsupportedVnicType(port.id, port.vnic_type, f"use a port of vnic_type {', '.join(VNIC_TYPES)}")
        if port.device_id or (port.host and port.vif_type not in (UNBOUND, BINDING_FAILED)):
            user = " ".join(filter(None, (port.device_owner, port.device_id, port.host and f"on host {port.host}")))
            raise PortBusy(port.id, user)
        for address in addresses:
            if address not in {fixed.address for fixed in port.fixed_ips}:
                raise PortUnusable(port.id, f"it does not have the address {address}; name a network to get that one")
        network = self._neutron.network(port.network_id)
        return Interface(
            id=str(uuid.uuid4()),
            network_id=network.id,
            vnic_type=port.vnic_type,
            port_id=port.id,
            physical_network=self._physical_network(network, port.vnic_type),
            trusted=bool(port.trusted or port.profile.get("trusted")),
            network=network,
            subnets=self._neutron.subnets(network_id=network.id),
            port=port,
            former=port,
        )

    def _physical_network(self, network: Network, vnic_type: str) -> str | None:
        """Return where a port's device must be; raise NetworkUnusable where no device can be."""
        if vnic_type == "normal":
            return None
        served = {segment.physical_network for segment in network.segments if segment.physical_network is not None}
        if len(served) > 1:
            # Neutron takes the first segment that a host serves.
            served = served & {pool.physical_network for pool in self._hosts.pools()} or served
        return physical_network_of(network, served, vnic_type=vnic_type).physical_network

    # Ports that are to be made

    def _own_network(self, caller: Caller) -> Network:
        """Return the project's oldest network, or else the oldest that is shared."""
        for filters in ({"project_id": caller.project_id, "shared": False}, {"shared": True}):
            found = [network for network in self._neutron.networks(**filters) if not network.is_external]
            if found:
                return min(found, key=lambda network: (network.created_at, network.id))
        raise NoNetwork(caller.project_id)

    def _network(self, caller: Caller, key: str) -> Network:
        """Return a network that the caller may use by its id or name."""
        found = self._neutron.networks(network_id=key) if is_uuid(key) else self._neutron.networks(name=key)
        own = [network for network in found if network.project_id == caller.project_id]
        usable = own or [network for network in found if network.shared or network.is_external]
        if not usable:
            raise NetworkNotFound(key)
        if len(usable) > 1:
            raise NameAmbiguous("network", key, len(usable))
        (network,) = usable
        if network.is_external and not (own or network.shared or caller.is_admin):
            raise PolicyForbids(_EXTERNAL)
        return network

    def _for_network(
        self, network: Network, addresses: Sequence[IpAddress], security_groups: Sequence[str]
    ) -> Interface:
        subnets = self._neutron.subnets(network_id=network.id)
        for address in addresses:
            self._check_address(network, subnets, address)
        return Interface(
            id=str(uuid.uuid4()),
            network_id=network.id,
            vnic_type=self._default_vnic_type,
            preserve=False,
            addresses=tuple(addresses),
            security_groups=tuple(security_groups),
            physical_network=self._physical_network(network, self._default_vnic_type),
            network=network,
            subnets=subnets,
        )

    def _check_address(self, network: Network, subnets: Sequence[Subnet], address: IpAddress) -> None:
        if not any(address in subnet.cidr for subnet in subnets):
            known = ", ".join(str(subnet.cidr) for subnet in subnets) or "none"
            raise NetworkUnusable(network.id, f"the address {address} is in none of its subnets ({known})")
        if self._neutron.ports(network_id=network.id, address=address):
            raise NetworkUnusable(network.id, f"the address {address} is another port's")
