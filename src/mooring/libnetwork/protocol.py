"""What dockerd sends and what it wants to hear, for engines 20.10 to 29 (moby daemon/libnetwork/drivers/remote/api).

Reading is lenient: unknown keys are ignored, absent and null ones take their default, because the engines differ in
which they send. Only what a handler cannot work without is required.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mooring.errors import InvalidRequest
from mooring.neutron.model import IpAddress, IpNetwork

GENERIC: Final = "com.docker.network.generic"
MAC_OPTION: Final = "com.docker.network.endpoint.macaddress"
PORTMAP_OPTION: Final = "com.docker.network.portmap"
NAME_OPTION: Final = "com.docker.network.endpoint.name"
REQUEST_TYPE: Final = "RequestAddressType"
GATEWAY_TYPE: Final = "com.docker.network.gateway"
MAC_BYTES: Final = 6


def _address(value: object) -> object:
    """Accept a bare address as well as Docker's ``ip/len``; the empty string is no address."""
    if not isinstance(value, str):
        return value
    return ip_interface(value).ip if value else None


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    return ip_network(value, strict=False) if value else None


Address = Annotated[IpAddress | None, BeforeValidator(_address)]
Cidr = Annotated[IpNetwork | None, BeforeValidator(_network)]
Id = Annotated[str, Field(min_length=1)]


class Message(BaseModel):
    """The base of everything on this wire; Docker writes its keys in camel case with a capital."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: object) -> object:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data

    def log_facts(self) -> dict[str, str]:
        """Return what tells this call from others in a log."""
        return {}


class NoArguments(Message):
    """The body of a call without arguments; dockerd sends none at all."""


class NetworkRequest(Message):
    """A call about a Docker network."""

    network_id: Id = Field(alias="NetworkID")

    def log_facts(self) -> dict[str, str]:
        """Return the network's id, as short as Docker shows it."""
        return {"network": self.network_id[:12]}


class EndpointRequest(NetworkRequest):
    """A call about an endpoint of a Docker network."""

    endpoint_id: Id = Field(alias="EndpointID")

    def log_facts(self) -> dict[str, str]:
        """Return the ids of network and endpoint, as short as Docker shows them."""
        return {"network": self.network_id[:12], "endpoint": self.endpoint_id[:12]}


class IpamData(Message):
    """One address pool of a Docker network. The gateway comes as CIDR; ``0.0.0.0/0`` and ``::/0`` name none."""

    pool: Cidr = Field(default=None, alias="Pool")
    gateway: Address = Field(default=None, alias="Gateway")


class OptionsRequest(Message):
    """A call that carries the options of ``docker network create``."""

    options: Mapping[str, object] = Field(default_factory=dict, alias="Options")

    @property
    def user_options(self) -> Mapping[str, object]:
        """What the user gave with ``-o``."""
        generic = self.options.get(GENERIC)
        return generic if isinstance(generic, dict) else {}


class CreateNetworkRequest(NetworkRequest, OptionsRequest):
    """NetworkDriver.CreateNetwork."""

    ipv4: tuple[IpamData, ...] = Field(default=(), alias="IPv4Data")
    ipv6: tuple[IpamData, ...] = Field(default=(), alias="IPv6Data")


class AllocateNetworkRequest(Message):
    """NetworkDriver.AllocateNetwork, sent by swarm managers."""

    options: Mapping[str, str] = Field(default_factory=dict, alias="Options")


class Interface(Message):
    """An endpoint's interface as Docker knows it so far."""

    address: Address = Field(default=None, alias="Address")
    address_v6: Address = Field(default=None, alias="AddressIPv6")
    mac: str = Field(default="", alias="MacAddress")


class CreateEndpointRequest(EndpointRequest):
    """NetworkDriver.CreateEndpoint."""

    interface: Interface = Field(default_factory=Interface, alias="Interface")
    options: Mapping[str, object] = Field(default_factory=dict, alias="Options")

    @property
    def addresses(self) -> tuple[IpAddress, ...]:
        """The addresses that an IPAM driver has already chosen."""
        return tuple(address for address in (self.interface.address, self.interface.address_v6) if address is not None)

    @property
    def forced_mac(self) -> str | None:
        """The MAC address the user asked for, in lower case; the option holds it as base64 of its bytes."""
        if self.interface.mac:
            return self.interface.mac.lower()
        encoded = self.options.get(MAC_OPTION)
        if not isinstance(encoded, str) or not encoded:
            return None
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error as exc:
            raise InvalidRequest(f"{MAC_OPTION} is not base64: {encoded!r}") from exc
        if len(raw) != MAC_BYTES:
            raise InvalidRequest(f"{MAC_OPTION} holds {len(raw)} bytes instead of {MAC_BYTES}")
        return raw.hex(":")


class ExternalConnectivityRequest(EndpointRequest):
    """NetworkDriver.ProgramExternalConnectivity and its revocation."""

    options: Mapping[str, object] = Field(default_factory=dict, alias="Options")


class RequestPoolRequest(Message):
    """IpamDriver.RequestPool; Options are the user's ``--ipam-opt``."""

    pool: Cidr = Field(default=None, alias="Pool")
    sub_pool: Cidr = Field(default=None, alias="SubPool")
    options: Mapping[str, object] = Field(default_factory=dict, alias="Options")
    v6: bool = Field(default=False, alias="V6")


class PoolRequest(Message):
    """A call about an address pool."""

    pool_id: Id = Field(alias="PoolID")

    def log_facts(self) -> dict[str, str]:
        """Return the pool's id."""
        return {"pool": self.pool_id}


class AddressRequest(PoolRequest):
    """IpamDriver.RequestAddress and ReleaseAddress."""

    address: Address = Field(default=None, alias="Address")
    options: Mapping[str, object] = Field(default_factory=dict, alias="Options")

    @property
    def is_gateway(self) -> bool:
        """Tell whether the address is wanted for the network's gateway."""
        return self.options.get(REQUEST_TYPE) == GATEWAY_TYPE

    @property
    def container(self) -> str:
        """The container's name, which engines before 29 do not tell."""
        return str(self.options.get(NAME_OPTION, ""))


class Reply(Message):
    """An answer; what is None is left out."""


class ActivateReply(Reply):
    """Plugin.Activate."""

    implements: tuple[str, ...] = Field(default=("NetworkDriver", "IpamDriver"), alias="Implements")


class NetworkCapabilitiesReply(Reply):
    """NetworkDriver.GetCapabilities."""

    scope: str = Field(alias="Scope")
    gw_alloc_checker: bool = Field(default=True, alias="GwAllocChecker")


class GwAllocCheckReply(Reply):
    """NetworkDriver.GwAllocCheck (engine >= 28): no gateway is reserved for a family that says skip."""

    skip_ipv4: bool = Field(alias="SkipIPv4")
    skip_ipv6: bool = Field(alias="SkipIPv6")


class OptionsReply(Reply):
    """NetworkDriver.AllocateNetwork."""

    options: Mapping[str, str] = Field(alias="Options")


class InterfaceReply(Reply):
    """What CreateEndpoint adds; a field that came filled must stay out, or Docker rolls the endpoint back."""

    address: str | None = Field(default=None, alias="Address")
    address_v6: str | None = Field(default=None, alias="AddressIPv6")
    mac: str | None = Field(default=None, alias="MacAddress")


class CreateEndpointReply(Reply):
    """NetworkDriver.CreateEndpoint."""

    interface: InterfaceReply = Field(alias="Interface")


class InterfaceName(Reply):
    """Which interface to move, and how its name in the container begins."""

    source: str = Field(alias="SrcName")
    prefix: str = Field(alias="DstPrefix")


class StaticRoute(Reply):
    """A route by way of a next hop (RouteType 0)."""

    destination: str = Field(alias="Destination")
    route_type: int = Field(default=0, alias="RouteType")
    next_hop: str = Field(alias="NextHop")


class JoinReply(Reply):
    """NetworkDriver.Join. Without DisableGatewayService Docker adds a bridge interface where no gateway is named."""

    interface: InterfaceName = Field(alias="InterfaceName")
    gateway: str | None = Field(default=None, alias="Gateway")
    gateway_v6: str | None = Field(default=None, alias="GatewayIPv6")
    routes: tuple[StaticRoute, ...] = Field(default=(), alias="StaticRoutes")
    disable_gateway_service: bool = Field(default=True, alias="DisableGatewayService")


class InfoReply(Reply):
    """NetworkDriver.EndpointOperInfo."""

    value: Mapping[str, str] = Field(alias="Value")


class IpamCapabilitiesReply(Reply):
    """IpamDriver.GetCapabilities. With RequiresMACAddress Docker would invent MACs, and Neutron's could not win."""

    requires_mac: bool = Field(default=False, alias="RequiresMACAddress")
    requires_replay: bool = Field(default=False, alias="RequiresRequestReplay")


class AddressSpacesReply(Reply):
    """IpamDriver.GetDefaultAddressSpaces."""

    local: str = Field(alias="LocalDefaultAddressSpace")
    shared: str = Field(alias="GlobalDefaultAddressSpace")


class PoolReply(Reply):
    """IpamDriver.RequestPool."""

    pool_id: str = Field(alias="PoolID")
    pool: str = Field(alias="Pool")
    data: Mapping[str, str] = Field(default_factory=dict, alias="Data")


class AddressReply(Reply):
    """IpamDriver.RequestAddress."""

    address: str = Field(alias="Address")
    data: Mapping[str, str] = Field(default_factory=dict, alias="Data")


def no_address(version: int) -> IpAddress:
    """Return the unspecified address of an IP version: what stands where no gateway was named."""
    return ip_address("0.0.0.0" if version == 4 else "::")  # noqa: PLR2004, S104 - IP version; not a bind address
