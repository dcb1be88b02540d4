"""Which devices a container needs: for its ports, and by the aliases that it asks for."""

from __future__ import annotations

from collections.abc import Mapping

from mooring.container.model import AliasClaim, Container, Interface
from mooring.errors import InvalidAlias
from mooring.pci.alias import Alias
from mooring.pci.requests import DeviceKind, DeviceRequest, NumaPolicy


def device_requests(container: Container, aliases: Mapping[str, Alias]) -> tuple[DeviceRequest, ...]:
    """Return a request for each device that a container is to have and has not; raise InvalidAlias.

    That an alias is not known happens when the configuration was changed after a container had been accepted.
    """
    ports = (interface for interface in container.interfaces if interface.takes_device and interface.device is None)
    claims = (claim for claim in container.aliases if claim.device is None)
    return (*map(_for_port, ports), *(_for_program(claim, aliases) for claim in claims))


def _for_port(interface: Interface) -> DeviceRequest:
    return DeviceRequest(
        id=interface.id,
        kind=DeviceKind.PF if interface.vnic_type == "direct-physical" else DeviceKind.VF,
        physical_network=interface.physical_network,
        trusted=interface.trusted,
        numa_policy=_numa_policy_of(interface),
    )


def _numa_policy_of(interface: Interface) -> NumaPolicy:
    """Return how much the port's owner minds the NUMA node; a word of Neutron's that is not known is passed over."""
    word = None if interface.port is None else interface.port.numa_policy
    return next((policy for policy in NumaPolicy if policy.value == word), NumaPolicy.LEGACY)


def _for_program(claim: AliasClaim, aliases: Mapping[str, Alias]) -> DeviceRequest:
    alias = aliases.get(claim.alias)
    if alias is None:
        raise InvalidAlias(claim.alias, "the administrator has removed it ([pci] alias); make the container anew")
    return DeviceRequest(
        id=claim.id, kind=alias.kind, for_program=True, products=alias.products, numa_policy=alias.numa_policy
    )
