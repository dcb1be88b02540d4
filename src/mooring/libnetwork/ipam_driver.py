"""Docker's IPAM driver: addresses are those of Neutron ports."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from mooring.config.settings import LibnetworkSettings
from mooring.errors import InvalidRequest, NetworkUnusable, PortNotFound, PortUnusable
from mooring.libnetwork import protocol
from mooring.libnetwork.directory import Directory, Place
from mooring.libnetwork.pools import Pools
from mooring.libnetwork.ports import Ports
from mooring.libnetwork.records import Records
from mooring.libnetwork.reservations import Reservations
from mooring.neutron.model import IpAddress, IpNetwork, Port

IPV4, IPV6 = 4, 6
REMEDY = (
    "name the address of an existing port with --ip or --ip6 ('openstack port create --vnic-type direct' makes one),"
    " or let mooring make ports: 'docker network create -o neutron.vnic_type=direct'"
)


class IpamDriver:
    """Each public method answers one call of the engine; all may come twice, late or never."""

    def __init__(
        self,
        records: Records,
        reservations: Reservations,
        directory: Directory,
        pools: Pools,
        ports: Ports,
        settings: LibnetworkSettings,
    ) -> None:
        self._records = records
        self._reservations = reservations
        self._directory = directory
        self._pools = pools
        self._ports = ports
        self._settings = settings

    def get_capabilities(self, _: protocol.NoArguments) -> protocol.IpamCapabilitiesReply:
        """Say that MAC addresses are Neutron's, and that nothing need be replayed."""
        return protocol.IpamCapabilitiesReply()

    def get_default_address_spaces(self, _: protocol.NoArguments) -> protocol.AddressSpacesReply:
        """Name the address spaces; equal names keep the engine from trying pools until one does not overlap."""
        settings = self._settings
        return protocol.AddressSpacesReply(local=settings.local_address_space, shared=settings.global_address_space)

    def request_pool(self, request: protocol.RequestPoolRequest) -> protocol.PoolReply:
        """Find or make a subnet pool; ``--ip-range`` is the pool where it is given."""
        record = self._pools.request(request)
        return protocol.PoolReply(pool_id=record.pool_id, pool=str(record.cidr))

    def release_pool(self, request: protocol.PoolRequest) -> protocol.Reply:
        """Let a pool go, and what was reserved in it."""
        for address in self._reservations.addresses_of_pool(request.pool_id):
            self._release(request.pool_id, ip_address(address))
        self._pools.release(request.pool_id)
        return protocol.Reply()

    def request_address(self, request: protocol.AddressRequest) -> protocol.AddressReply:
        """Find the port that has the address, or make one; other requests than a container's are echoed.

        Raises PortNotFound, PortBusy, PortUnusable, NetworkUnusable.
        """
        if request.is_gateway:
            return self._gateway(request)
        pool = self._records.pool(request.pool_id)
        places = self._directory.places(request.pool_id)
        if pool is not None and request.address is not None and (pool.pending or not places):
            # A network is being created: this is one of its --aux-address, which no port need have.
            return _reply(request.address, pool.cidr)
        if not places:
            raise InvalidRequest(f"address pool {request.pool_id} belongs to no Docker network that mooring knows")
        for place in places:
            # CreateEndpoint comes next, under the engine's lock on the network: it finds the network already read.
            self._directory.network(place.subnet.network_id)
        if request.address is not None:
            return self._named(request, request.address, places)
        return self._unnamed(request, places)

    def release_address(self, request: protocol.AddressRequest) -> protocol.Reply:
        """Take an address back. One that an endpoint still claims stays: it is that endpoint's to give up."""
        if request.address is not None:
            self._release(request.pool_id, request.address)
        return protocol.Reply()

    def _release(self, pool_id: str, address: IpAddress) -> None:
        if (over := self._reservations.drop_address(pool_id, address)) is not None:
            self._ports.release(over)

    def _gateway(self, request: protocol.AddressRequest) -> protocol.AddressReply:
        """Echo the gateway; CreateNetwork compares it with Neutron's. Engines before 28 ask even if there is none."""
        if (pool := self._records.pool(request.pool_id)) is None:
            raise InvalidRequest(f"address pool {request.pool_id} was not requested here")
        if request.address is not None:
            return _reply(request.address, pool.cidr)
        return protocol.AddressReply(address=f"{protocol.no_address(pool.cidr.version)}/0")

    def _named(
        self, request: protocol.AddressRequest, address: IpAddress, places: Sequence[Place]
    ) -> protocol.AddressReply:
        fitting = [place for place in places if address in place.subnet.cidr]
        found = [(place, port) for place in fitting if (port := self._with_address(request, place, address))]
        if len(found) > 1:
            ports = " and ".join(port.id for _, port in found)
            raise NetworkUnusable(
                " and ".join(place.subnet.network_id for place, _ in found),
                f"both have a port with address {address} ({ports}) and share an address pool; give each Docker network"
                " a subnet pool of its own",
            )
        for place, port in found:
            self._ports.check_free(port)
            self._ports.reserve(port, container=request.container)
            return self._hand_out(request, place, port, address)
        for place in fitting:
            if place.vnic_type:
                return self._make(request, place, place.vnic_type, address)
        subnets = ", ".join(str(place.subnet.cidr) for place in places)
        raise PortNotFound(f"address {address} on subnet {subnets}", REMEDY)

    def _with_address(self, request: protocol.AddressRequest, place: Place, address: IpAddress) -> Port | None:
        half = self._half_made(request, place)
        if half is not None and any(fixed.address == address for fixed in half.fixed_ips):
            return half
        return self._ports.with_address(place.subnet.network_id, address)

    def _unnamed(self, request: protocol.AddressRequest, places: Sequence[Place]) -> protocol.AddressReply:
        """Serve a container for which the user left the address open: the port is known already, or is made."""
        for place in places:
            if (half := self._half_made(request, place)) is not None:
                if (address := _address_on(half, place)) is None:
                    raise PortUnusable(half.id, f"it has no address on subnet {place.subnet.cidr}; add one to the port")
                return self._hand_out(request, place, half, address)
        for place in places:
            if place.vnic_type:
                return self._make(request, place, place.vnic_type, None)
        subnets = ", ".join(str(place.subnet.cidr) for place in places)
        raise PortNotFound(f"an address on subnet {subnets} was named for this container", REMEDY)

    def _half_made(self, request: protocol.AddressRequest, place: Place) -> Port | None:
        """Return the port whose IPv4 address this container was just given, if an IPv6 address is asked for now."""
        if place.subnet.cidr.version != IPV6:
            return None
        if place.record:
            reservation = self._reservations.half_made(request.pool_id, request.container)
        else:
            reservation = self._reservations.half_made_on(place.subnet.network_id, request.container)
        return self._ports.reserved(reservation) if reservation else None

    def _make(
        self, request: protocol.AddressRequest, place: Place, vnic_type: str, address: IpAddress | None
    ) -> protocol.AddressReply:
        half = self._half_made(request, place)
        if half is not None:
            raise PortUnusable(
                half.id, f"it was made for this container's IPv4 address and lacks {address}; leave out --ip6"
            )
        port = self._ports.make(
            network_id=place.subnet.network_id,
            vnic_type=vnic_type,
            addresses=[(place.subnet.id, address), *self._second_family(place)],
            container=request.container,
        )
        given = address or _address_on(port, place)
        if given is None:
            raise NetworkUnusable(place.subnet.network_id, f"Neutron gave port {port.id} no address on its subnet")
        return self._hand_out(request, place, port, given)

    def _second_family(self, place: Place) -> list[tuple[str, None]]:
        """Have the port of a dual-stack container made with its IPv6 address, which Docker asks for next."""
        if place.record is None or place.subnet.cidr.version != IPV4:
            return []
        subnets = self._directory.subnets_of(place.record)
        return [(subnet.id, None) for subnet in subnets if subnet.cidr.version == IPV6][:1]

    def _hand_out(
        self, request: protocol.AddressRequest, place: Place, port: Port, address: IpAddress
    ) -> protocol.AddressReply:
        self._reservations.add_address(port.id, request.pool_id, address)
        return _reply(address, place.subnet.cidr)


def _address_on(port: Port, place: Place) -> IpAddress | None:
    return next((fixed.address for fixed in port.fixed_ips if fixed.subnet_id == place.subnet.id), None)


def _reply(address: IpAddress, cidr: IpNetwork) -> protocol.AddressReply:
    return protocol.AddressReply(address=f"{address}/{cidr.prefixlen}")
