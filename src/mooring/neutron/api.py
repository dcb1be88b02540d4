"""What mooring asks of Neutron: the protocols that the real gateway, the real bus and the test fakes keep.

Every method raises NeutronUnreachable when no answer comes within the gateway's bounds, and NeutronRefused with the
HTTP status when Neutron says no, unless a more telling error is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mooring.neutron.model import (
    Agent,
    EgressLimits,
    IpAddress,
    IpNetwork,
    Network,
    Port,
    SecurityGroup,
    Subnet,
    SubnetPool,
)

OWN_KEYS = ("pci_slot", "pci_vendor_info", "physical_network", "device_mac_address")
"""The keys of ``binding:profile`` that mooring writes, named as Nova names them.

The last one is a PF's: Neutron gives a direct-physical port this MAC at binding, and a new one at unbinding.
"""

AGENT_TYPE = "NIC Switch agent"
"""The agent whose row in Neutron's agent table lets SR-IOV ports bind on a host."""

REPORTED_BY = {"reported_by": "mooring"}
"""The mark in an agent's configurations by which mooring knows its own reports from a real agent's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What one binding PUT says. ``profile`` keys are merged over what the port's profile already holds.

    ``vnic_type`` is written only where it is given and differs.
    """

    host: str
    device_id: str
    device_owner: str
    profile: Mapping[str, object]
    vnic_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPort:
    """A port to create, unbound. ``addresses`` pairs a subnet id with an address, or None for Neutron's choice.

    It belongs to ``project_id``, None the account's own; ``security_groups`` None are the project's default one.
    """

    network_id: str
    name: str
    addresses: tuple[tuple[str, IpAddress | None], ...]
    vnic_type: str
    device_owner: str
    mac: str | None = None
    description: str = ""
    tags: frozenset[str] = frozenset()
    project_id: str | None = None
    device_id: str = ""
    security_groups: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortNews:
    """One piece of news: a port was changed or ``deleted``, or a network was changed. One of the two ids is set.

    It says that it is time to look, not what there is to see: news may come twice, late, in another order, and for
    what is none of this host's. ``revision`` is the changed port's, where Neutron tells it.
    """

    port_id: str | None = None
    network_id: str | None = None
    deleted: bool = False
    revision: int | None = None


class NeutronPorts(Protocol):
    """Ports and the networks they are on: all that an attachment needs.

    Each method is one REST call, but: ``ports`` is one for each page if the cloud limits pages; ``reserve``, ``bind``
    and ``unbind`` are two more (GET, PUT) when the port's revision moved on; ``create_port`` with tags is three, as
    Neutron takes no tags with the port and tagging raises its revision.
    """

    def port(self, port_id: str) -> Port:
        """Return the port; raise PortNotFound."""
        ...

    def ports(
        self,
        *,
        network_id: str | None = None,
        address: IpAddress | None = None,
        mac: str | None = None,
        device_id: str | None = None,
        device_owner: str | None = None,
        host: str | None = None,
        name: str | None = None,
        project_id: str | None = None,
    ) -> tuple[Port, ...]:
        """Return the ports to which every given filter applies."""
        ...

    def network(self, network_id: str) -> Network:
        """Return the network; raise NetworkUnusable when there is none."""
        ...

    def reserve(self, port: Port, *, device_id: str, device_owner: str) -> Port:
        """Let a port that is nobody's bear a device's id, in one conditional PUT, and return it as answered.

        Nothing is written to a port that bears that id already. Raises PortBusy, with its user, for one that is
        somebody else's or bound, or that others keep changing, and PortNotFound. ``unbind`` takes it back.
        """
        ...

    def bind(self, port: Port, binding: Binding) -> Port:
        """Bind in one conditional PUT (``If-Match`` the port's revision) and return the port as answered.

        When the revision moved on, a GET decides whether the port is still as it was seen, or was given back since, or
        bears the binding's device_id and no other host (then the binding is tried once more, over the profile as it is
        by then), or not. Raises PortBusy when somebody
        else took the port or keeps changing it, and PortNotFound. The caller judges ``vif_type`` and ``vlan``: a failed
        binding is no HTTP error.
        """
        ...

    def unbind(self, port: Port, *, restore: Mapping[str, object]) -> None:
        """Clear host, device_id and device_owner, and give the profile's own keys (OWN_KEYS) their former values.

        ``port`` is the port as mooring bound it (or meant to bind it: host and device_id); ``restore`` is the profile
        as it was before, so that a pci_slot that the user had put there survives; keys of others are kept. Costs one
        PUT; when the revision has moved on, a GET decides whether the port still has the same host and device_id, or
        one of them and nothing for the other (then it is unbound), or is free or somebody else's (then it is left
        alone). A port that no longer exists is a success. Raises NeutronConflict when it changed again in between:
        nothing is done, try again.
        """
        ...

    def create_port(self, new: NewPort) -> Port:
        """Create a port, all or nothing as far as its tags go.

        Raises NetworkUnusable when there is no such network or subnet, or the address or the MAC is taken, or no
        address is free; NeutronRefused (400) for an address outside the subnet.
        """
        ...

    def delete_port(self, port_id: str) -> None:
        """Delete a port; one that does not exist is a success."""
        ...

    def egress_limits(self, policy_id: str) -> EgressLimits:
        """Return what a QoS policy limits on the way out; a policy that is gone has no limits.

        Of several rules of one kind the strictest counts. Limits on the way in are not a VF's and left out.
        """
        ...


class NeutronNetworks(Protocol):
    """Networks, subnets, pools and their tags: what Docker's network and address drivers need beyond ports.

    Listing is one REST call (a page); creating is one, and one more with tags, without which the thing does not stay;
    deleting is one; adding and removing are one a tag, and one more where the tagged thing is gone.
    """

    def networks(
        self,
        *,
        network_id: str | None = None,
        name: str | None = None,
        project_id: str | None = None,
        shared: bool | None = None,
        tags: Iterable[str] = (),
    ) -> tuple[Network, ...]:
        """Return the networks to which every given filter applies (all tags at once)."""
        ...

    def create_network(self, *, name: str, shared: bool, tags: Iterable[str]) -> Network:
        """Create a network and tag it."""
        ...

    def delete_network(self, network_id: str) -> None:
        """Delete a network; one that does not exist is a success."""
        ...

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
        ...

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
        ...

    def delete_subnet(self, subnet_id: str) -> None:
        """Delete a subnet; one that does not exist is a success."""
        ...

    def subnetpools(
        self, *, pool_id: str | None = None, name: str | None = None, tags: Iterable[str] = ()
    ) -> tuple[SubnetPool, ...]:
        """Return the subnet pools to which every given filter applies."""
        ...

    def create_subnetpool(
        self, *, name: str, prefixes: Iterable[IpNetwork], shared: bool, tags: Iterable[str], description: str = ""
    ) -> SubnetPool:
        """Create a subnet pool and tag it."""
        ...

    def delete_subnetpool(self, pool_id: str) -> None:
        """Delete a subnet pool; one that does not exist is a success."""
        ...

    def add_tags(self, resource: str, resource_id: str, tags: Iterable[str]) -> None:
        """Add tags to a resource; ``resource`` is the plural of the API: networks, subnets, subnetpools, ports."""
        ...

    def remove_tags(self, resource: str, resource_id: str, tags: Iterable[str]) -> None:
        """Remove tags from a resource; absent tags, or an absent resource, are a success."""
        ...

    def delete_described(self, resource: str, description: str) -> None:
        """Delete what bears exactly this description, but no port with a device; ``resource`` as for add_tags.

        Costs one call to look, and one for each thing found. Nothing found is a success.
        """
        ...

    def security_groups(
        self, *, group_id: str | None = None, name: str | None = None, project_id: str | None = None
    ) -> tuple[SecurityGroup, ...]:
        """Return the security groups to which every given filter applies."""
        ...

    def agents(self, *, host: str, agent_type: str) -> tuple[Agent, ...]:
        """Return the agent rows of a host."""
        ...


class Neutron(NeutronPorts, NeutronNetworks, Protocol):
    """All of the REST side."""


class NeutronBus(Protocol):
    """The L2 agent's side of Neutron's message bus."""

    def report_agent(self, host: str, mappings: Mapping[str, tuple[str, ...]], *, started: bool) -> None:
        """Report the 'NIC Switch agent' of a host alive; ``mappings`` is physical_network -> PF interface names."""
        ...

    def report_devices(self, host: str, *, up: Iterable[str] = (), down: Iterable[str] = ()) -> None:
        """Report ports (by UUID) as wired or not; Neutron confirms nothing, so read the port afterwards."""
        ...

    def listen(self, host: str, on_change: Callable[[PortNews], None]) -> None:
        """Tell ``on_change`` of changes from now on until the bus is closed; returns at once, and raises nothing.

        Told are: that a port was bound; a change of a bound port's admin_state_up, port_security_enabled, addresses or
        QoS policy; a port's deletion by anyone; a change of a network's MTU or QoS policy. Not told are: a port's
        creation, unbinding or renaming, a binding that failed, a change of ``trusted``, and the edit of a rule in a QoS
        policy. While the broker is away nothing is told, and what happens then never is.

        ``host`` names the listener. ``on_change`` runs in a thread of the bus's, must be quick, and may call neither
        REST nor bus; what it raises is logged.
        """
        ...
