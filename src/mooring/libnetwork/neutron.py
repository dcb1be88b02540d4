"""What the front door asks of Neutron: both halves of the gateway."""

from __future__ import annotations

from typing import Protocol

from mooring.neutron.api import NeutronNetworks, NeutronPorts


class Neutron(NeutronPorts, NeutronNetworks, Protocol):
    """Ports, networks, subnets and pools."""
