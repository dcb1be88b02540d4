"""Which port an endpoint means: by the address that IPAM gave, by the port's id, by its MAC, or a new one."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.errors import PortNotFound, PortUnusable
from mooring.libnetwork.directory import Directory
from mooring.libnetwork.ipam_driver import REMEDY
from mooring.libnetwork.options import PORT_KEY, VNIC_TYPE_KEY, EndpointOptions
from mooring.libnetwork.ports import Ports
from mooring.libnetwork.protocol import CreateEndpointRequest
from mooring.libnetwork.records import NetworkRecord
from mooring.libnetwork.reservations import Reservations
from mooring.neutron.model import IpAddress, Port


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A port for an endpoint; ``created`` tells that mooring made it for that endpoint."""

    port: Port
    created: bool


class EndpointPorts:
    """Chooses an endpoint's port. With our own IPAM that is settled by the address already, and costs no call."""

    def __init__(self, ports: Ports, reservations: Reservations, directory: Directory) -> None:
        self._ports = ports
        self._reservations = reservations
        self._directory = directory

    def choose(self, request: CreateEndpointRequest, record: NetworkRecord, options: EndpointOptions) -> Choice:
        """Return the port; raise PortNotFound, PortBusy, PortUnusable or NetworkUnusable."""
        vnic_type = options.vnic_type or record.vnic_type
        if request.addresses:
            choice = self._by_addresses(request, record, vnic_type)
            self._check_named(options.port, choice.port, request.addresses)
        else:
            choice = self._without_address(request, options.port, record, vnic_type)
        if options.vnic_type and not choice.created and options.vnic_type != choice.port.vnic_type:
            problem = f"its vnic_type is {choice.port.vnic_type}, and {VNIC_TYPE_KEY}={options.vnic_type} was asked for"
            raise PortUnusable(choice.port.id, problem)
        return choice

    def _by_addresses(self, request: CreateEndpointRequest, record: NetworkRecord, vnic_type: str | None) -> Choice:
        addresses = request.addresses
        choices = [self._by_address(address, request, record, vnic_type) for address in addresses]
        for address, choice in zip(addresses, choices, strict=True):
            if choice.port.id != choices[0].port.id:
                problem = f"it has address {addresses[0]}, but {address} is that of port {choice.port.id}"
                raise PortUnusable(choices[0].port.id, f"{problem}; name --ip and --ip6 of one port")
        return choices[0]

    def _by_address(
        self, address: IpAddress, request: CreateEndpointRequest, record: NetworkRecord, vnic_type: str | None
    ) -> Choice:
        if (reservation := self._reservations.at(record.network_id, address)) is not None:
            if reservation.created and vnic_type is None:
                # Made for another Docker network on the same address pool: IPAM is not told which one asks.
                raise PortNotFound(f"address {address} on network {record.network_id}", REMEDY)
            return Choice(port=self._ports.reserved(reservation), created=reservation.created)
        # Chosen by an IPAM driver that is not ours, or by us before our memory was lost.
        if (port := self._ports.with_address(record.network_id, address)) is not None:
            self._ports.check_free(port)
            return Choice(port=port, created=False)
        subnets = [subnet for subnet in self._directory.subnets_of(record) if address in subnet.cidr]
        if vnic_type is None or not subnets:
            raise PortNotFound(f"address {address} on network {record.network_id}", REMEDY)
        port = self._ports.make(
            network_id=record.network_id,
            vnic_type=vnic_type,
            addresses=[(subnets[0].id, address)],
            mac=request.forced_mac,
            endpoint=request.endpoint_id,
        )
        return Choice(port=port, created=True)

    def _check_named(self, named: str | None, chosen: Port, addresses: tuple[IpAddress, ...]) -> None:
        if named is None or named == chosen.id:
            return
        own = {4: "--ip", 6: "--ip6"}
        wanted = self._ports.with_id(named)
        flags = " ".join(f"{own[fixed.address.version]} {fixed.address}" for fixed in wanted.fixed_ips)
        given = " and ".join(str(address) for address in addresses)
        problem = f"the container was given {given} of port {chosen.id}; add {flags or 'an address to the port'}"
        raise PortUnusable(named, problem)

    def _without_address(
        self, request: CreateEndpointRequest, named: str | None, record: NetworkRecord, vnic_type: str | None
    ) -> Choice:
        """Choose for a network created with ``--ipam-driver null``."""
        mac = request.forced_mac
        port = self._ports.with_id(named) if named else None
        if port is None and mac:
            port = self._ports.with_mac(record.network_id, mac)
        if port is not None:
            if port.network_id != record.network_id:
                problem = f"it is on network {port.network_id}, and this Docker network stands for {record.network_id}"
                raise PortUnusable(port.id, problem)
            self._ports.check_free(port)
            return Choice(port=port, created=False)
        if vnic_type is None:
            selector = f"MAC address {mac}" if mac else "an id was named for this container"
            raise PortNotFound(
                selector,
                f"name one with the endpoint option {PORT_KEY}=<id> ('docker run --network name=...,driver-opt=...'),"
                f" or let mooring make ports: 'docker network create -o {VNIC_TYPE_KEY}=direct'",
            )
        made = self._ports.make(
            network_id=record.network_id, vnic_type=vnic_type, mac=mac, endpoint=request.endpoint_id
        )
        return Choice(port=made, created=True)
