"""Docker's network driver: a thin front of the attachments."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import structlog

from mooring.attach.types import Attachments, AttachRequest, Lease
from mooring.config.settings import LibnetworkSettings
from mooring.errors import InvalidRequest, PortUnusable
from mooring.libnetwork import protocol
from mooring.libnetwork.bound_ports import BoundPorts
from mooring.libnetwork.directory import Directory
from mooring.libnetwork.endpoint_ports import Choice, EndpointPorts
from mooring.libnetwork.names import DEVICE_OWNER
from mooring.libnetwork.networks import Networks
from mooring.libnetwork.options import PORT_KEY, EndpointOptions, parse_endpoint_options
from mooring.libnetwork.ports import Ports
from mooring.libnetwork.records import NetworkRecord
from mooring.libnetwork.reservations import Reservations
from mooring.libnetwork.routing import join_reply
from mooring.neutron.model import Port, Subnet

log = structlog.get_logger(__name__)


class NetworkDriver:
    """Each public method answers one call of the engine; all may come twice, late or never.

    CreateEndpoint runs under the engine's lock on the network and so chooses and reserves; the slow work is in Join. Of
    Neutron it asks what our own IPAM driver has not settled: where addresses are another's, or nobody's, it reads or
    makes the port. If it fails, it deletes a port that was made for it. An attachment is named by its endpoint's id.
    Nothing here asks the engine, which holds locks of its own.
    """

    def __init__(
        self,
        attachments: Attachments,
        networks: Networks,
        directory: Directory,
        ports: Ports,
        reservations: Reservations,
        bound_ports: BoundPorts,
        settings: LibnetworkSettings,
    ) -> None:
        self._attachments = attachments
        self._networks = networks
        self._directory = directory
        self._ports = ports
        self._reservations = reservations
        self._bound_ports = bound_ports
        self._settings = settings
        self._choices = EndpointPorts(ports, reservations, directory)
        self._claiming = threading.Lock()

    def get_capabilities(self, _: protocol.NoArguments) -> protocol.NetworkCapabilitiesReply:
        """Say whose the networks are: this host's, or the swarm's."""
        return protocol.NetworkCapabilitiesReply(scope=self._settings.capability_scope)

    def gw_alloc_check(self, request: protocol.OptionsRequest) -> protocol.GwAllocCheckReply:
        """Spare the engine a gateway where the Neutron network has none."""
        without_v4, without_v6 = self._networks.planner.needs_no_gateway(request.user_options)
        return protocol.GwAllocCheckReply(skip_ipv4=without_v4, skip_ipv6=without_v6)

    def create_network(self, request: protocol.CreateNetworkRequest) -> protocol.Reply:
        """Adopt or make the Neutron network and its subnets."""
        self._networks.create(request)
        return protocol.Reply()

    def delete_network(self, request: protocol.NetworkRequest) -> protocol.Reply:
        """Give the Neutron network back, or delete it."""
        self._networks.delete(request.network_id)
        return protocol.Reply()

    def allocate_network(self, request: protocol.AllocateNetworkRequest) -> protocol.OptionsReply:
        """Have nothing to add to a swarm's network."""
        return protocol.OptionsReply(options=request.options)

    def nothing_to_do(self, _: protocol.Message) -> protocol.Reply:
        """Answer FreeNetwork, Leave (its work is DeleteEndpoint's), and a swarm's news of its nodes."""
        return protocol.Reply()

    def create_endpoint(self, request: protocol.CreateEndpointRequest) -> protocol.CreateEndpointReply:
        """Choose the port and lease a device for it; whatever it raises, nothing is left: no DeleteEndpoint follows."""
        options = parse_endpoint_options(request.options)
        lease = self._attachments.find(request.endpoint_id)
        record = self._directory.resolve(request.network_id)
        if lease is not None:
            return self._endpoint_reply(request, record, lease.port)
        if record.bound:
            return self._bound_endpoint(request, record, options)
        try:
            choice = self._choices.choose(request, record, options)
            lease = self._lease(request, choice, options.vnic_type or record.vnic_type, options.vf_driver)
            _check_mac(request.forced_mac, lease)
            return self._endpoint_reply(request, record, lease.port)
        except BaseException:
            self._end(request.endpoint_id)
            raise

    def join(self, request: protocol.EndpointRequest) -> protocol.JoinReply:
        """Bind the port and prepare its device; name the interface for the engine to move.

        A device without an interface (vfio) is configured by the program that drives it: routes have no place then.
        """
        lease = self._attachments.find(request.endpoint_id)
        record = self._directory.resolve(request.network_id)
        subnets = self._subnets(lease.port, record) if lease else ()
        with self._bound_ports.noting(lease.port.id) if lease and lease.is_bound else nullcontext():
            attachment = self._attachments.attach(request.endpoint_id)
        if not attachment.interface:
            subnets = ()
        return join_reply(interface=attachment.interface, prefix=self._settings.interface_prefix, subnets=subnets)

    def delete_endpoint(self, request: protocol.EndpointRequest) -> protocol.Reply:
        """End the attachment."""
        self._end(request.endpoint_id)
        return protocol.Reply()

    def endpoint_oper_info(self, request: protocol.EndpointRequest) -> protocol.InfoReply:
        """Tell what is known here of an endpoint."""
        lease = self._attachments.find(request.endpoint_id)
        if lease is None:
            return protocol.InfoReply(value={})
        return protocol.InfoReply(value={"port": lease.port.id, "device": lease.place, "status": lease.port.status})

    def program_external_connectivity(self, request: protocol.ExternalConnectivityRequest) -> protocol.Reply:
        """Say that a published port needs no publishing here: the container's address is reachable as it is."""
        if request.options.get(protocol.PORTMAP_OPTION):
            log.warning(
                "ports.not-published",
                reason="a container on an SR-IOV port is reached at its own address, past this host's network stack",
            )
        return protocol.Reply()

    def _lease(
        self, request: protocol.CreateEndpointRequest, choice: Choice, vnic_type: str | None, vf_driver: str | None
    ) -> Lease:
        network = self._directory.network(choice.port.network_id)
        with self._claiming:
            self._ports.check_unclaimed(choice.port.id)
            self._reservations.claim(choice.port.id, request.endpoint_id)
            return self._attachments.lease(
                AttachRequest(
                    attachment=request.endpoint_id,
                    port=choice.port,
                    network=network,
                    device_owner=DEVICE_OWNER,
                    created=choice.created,
                    vnic_type=vnic_type if choice.created else None,
                    vf_driver=vf_driver,
                )
            )

    def _bound_endpoint(
        self, request: protocol.CreateEndpointRequest, record: NetworkRecord, options: EndpointOptions
    ) -> protocol.CreateEndpointReply:
        """Lease the device that a controller has bound the named port to; without a word to Neutron."""
        if options.port is None:
            raise InvalidRequest(f"this network takes ports of the container service; name one with {PORT_KEY}=<id>")
        with self._bound_ports.noting(options.port):
            bound = self._bound_ports.find(options.port)
            if bound.network.id != record.network_id:
                problem = f"it is on network {bound.network.id}, and this Docker network stands for {record.network_id}"
                raise PortUnusable(bound.port.id, problem)
            self._attachments.make_way(bound.port.id)
            try:
                lease = self._attachments.lease(
                    AttachRequest(
                        attachment=request.endpoint_id,
                        port=bound.port,
                        network=bound.network,
                        device_owner=bound.port.device_owner,
                        is_bound=True,
                        limits=bound.limits,
                    )
                )
                _check_mac(request.forced_mac, lease)
                return self._endpoint_reply(request, record, lease.port)
            except BaseException:
                self._attachments.detach(request.endpoint_id)
                raise

    def _subnets(self, port: Port, record: NetworkRecord) -> tuple[Subnet, ...]:
        if record.bound:
            return self._bound_ports.find(port.id).own_subnets
        return self._directory.subnets_of_port(port, record)

    def _end(self, endpoint_id: str) -> None:
        had_lease = self._attachments.find(endpoint_id) is not None
        self._attachments.detach(endpoint_id)
        reservation = self._reservations.claimed_by(endpoint_id)
        if reservation is not None and had_lease:
            self._ports.forget(reservation)
        elif reservation is not None:
            self._ports.release(reservation)

    def _endpoint_reply(
        self, request: protocol.CreateEndpointRequest, record: NetworkRecord, port: Port
    ) -> protocol.CreateEndpointReply:
        """Answer what came empty, and only that; of several addresses of one kind, the port's first."""
        given: dict[int, str] = {}
        if not request.addresses:
            lengths = {subnet.id: subnet.cidr.prefixlen for subnet in self._subnets(port, record)}
            for fixed in reversed(port.fixed_ips):
                given[fixed.address.version] = f"{fixed.address}/{lengths[fixed.subnet_id]}"
        mac = None if request.interface.mac else port.mac
        return protocol.CreateEndpointReply(
            interface=protocol.InterfaceReply(address=given.get(4), address_v6=given.get(6), mac=mac)
        )


def _check_mac(forced: str | None, lease: Lease) -> None:
    """Refuse a MAC address that the container will not have; only the lease knows that of a port on a whole card."""
    if forced in (None, lease.port.mac):
        return
    problem = f"its MAC address is {lease.port.mac}, and --mac-address asks for {forced}; leave out --mac-address"
    if lease.port.mac == lease.former.mac:
        raise PortUnusable(lease.port.id, f"{problem}, or name a port that has it")
    raise PortUnusable(lease.port.id, f"{problem}: a port of vnic_type {lease.vnic_type} takes over that of its card")
