"""The one place where the front door is put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mooring.attach.types import Attachments
from mooring.config.settings import LibnetworkSettings
from mooring.libnetwork import protocol
from mooring.libnetwork.bound_ports import BoundPorts
from mooring.libnetwork.directory import Directory
from mooring.libnetwork.intents import Intents
from mooring.libnetwork.ipam_driver import IpamDriver
from mooring.libnetwork.network_driver import NetworkDriver
from mooring.libnetwork.networks import Networks
from mooring.libnetwork.pools import Pools
from mooring.libnetwork.ports import Ports
from mooring.libnetwork.records import Records
from mooring.libnetwork.reservations import Reservations
from mooring.libnetwork.schema import SCHEMA, SCHEMA_2
from mooring.libnetwork.server import PluginApp, Route
from mooring.neutron.api import Neutron
from mooring.statefile import StateFile

STATE_FILE: Final = "libnetwork.sqlite"

# How long an address stays reserved that no endpoint came to claim: Docker never releases the IPv4 address when asking
# for the IPv6 address fails.
_RESERVATION_TTL_S: Final = 300.0


class Plugin:
    """Docker's network and IPAM driver over the attachments of this host.

    ``app`` answers the engine; ``pay_debts`` is for the daemon's timer; ``bound_ports`` are for who knows a controller.
    """

    def __init__(
        self,
        *,
        neutron: Neutron,
        attachments: Attachments,
        host: str,
        settings: LibnetworkSettings,
        state_dir: Path,
        clock: Callable[[], float] = time.time,
        more_routes: Mapping[str, Route] = MappingProxyType({}),
    ) -> None:
        """Open the memory in ``state_dir``; asks nothing of Neutron.

        ``host`` is what ports are bound to, ``clock`` tells seconds since the epoch. ``more_routes`` are calls that are
        answered on the same socket but are not Docker's.
        """
        self._file = StateFile(state_dir / STATE_FILE, SCHEMA, SCHEMA_2)
        records, reservations = Records(self._file), Reservations(self._file)
        self._intents = Intents(self._file, neutron, clock)
        directory = Directory(neutron, records)
        self._ports = Ports(neutron, attachments, reservations, self._intents, host, clock)
        self._pools = Pools(neutron, records, self._intents, settings)
        self._networks = Networks(neutron, records, self._intents, directory, self._pools, settings)
        self.bound_ports = BoundPorts(self._file)
        network = NetworkDriver(
            attachments, self._networks, directory, self._ports, reservations, self.bound_ports, settings
        )
        ipam = IpamDriver(records, reservations, directory, self._pools, self._ports, settings)
        self.app = PluginApp(_routes(network, ipam), more_routes)

    def pay_debts(self) -> None:
        """Expire what nobody claimed, and take away in Neutron what could not be taken away when it was due."""
        self._ports.expire(_RESERVATION_TTL_S)
        self._ports.pay_debts()
        self._intents.pay_debts()
        self._networks.pay_debts()
        self._pools.pay_debts()

    def close(self) -> None:
        """Close the memory."""
        self._file.close()


def _routes(network: NetworkDriver, ipam: IpamDriver) -> dict[str, Route]:
    return {
        "Plugin.Activate": Route(lambda _: protocol.ActivateReply(), protocol.NoArguments),
        "NetworkDriver.GetCapabilities": Route(network.get_capabilities, protocol.NoArguments),
        "NetworkDriver.GwAllocCheck": Route(network.gw_alloc_check, protocol.OptionsRequest),
        "NetworkDriver.AllocateNetwork": Route(network.allocate_network, protocol.AllocateNetworkRequest),
        "NetworkDriver.FreeNetwork": Route(network.nothing_to_do, protocol.Message),
        "NetworkDriver.CreateNetwork": Route(network.create_network, protocol.CreateNetworkRequest),
        "NetworkDriver.DeleteNetwork": Route(network.delete_network, protocol.NetworkRequest),
        "NetworkDriver.CreateEndpoint": Route(network.create_endpoint, protocol.CreateEndpointRequest),
        "NetworkDriver.DeleteEndpoint": Route(network.delete_endpoint, protocol.EndpointRequest),
        "NetworkDriver.EndpointOperInfo": Route(network.endpoint_oper_info, protocol.EndpointRequest),
        "NetworkDriver.Join": Route(network.join, protocol.EndpointRequest),
        "NetworkDriver.Leave": Route(network.nothing_to_do, protocol.EndpointRequest),
        "NetworkDriver.ProgramExternalConnectivity": Route(
            network.program_external_connectivity, protocol.ExternalConnectivityRequest
        ),
        "NetworkDriver.RevokeExternalConnectivity": Route(network.nothing_to_do, protocol.EndpointRequest),
        "NetworkDriver.DiscoverNew": Route(network.nothing_to_do, protocol.Message),
        "NetworkDriver.DiscoverDelete": Route(network.nothing_to_do, protocol.Message),
        "IpamDriver.GetCapabilities": Route(ipam.get_capabilities, protocol.NoArguments),
        "IpamDriver.GetDefaultAddressSpaces": Route(ipam.get_default_address_spaces, protocol.NoArguments),
        "IpamDriver.RequestPool": Route(ipam.request_pool, protocol.RequestPoolRequest),
        "IpamDriver.ReleasePool": Route(ipam.release_pool, protocol.PoolRequest),
        "IpamDriver.RequestAddress": Route(ipam.request_address, protocol.AddressRequest),
        "IpamDriver.ReleaseAddress": Route(ipam.release_address, protocol.AddressRequest),
    }
