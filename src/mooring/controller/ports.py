"""The ports of containers in Neutron: reserved, made, bound, and given back. Every method may be called again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mooring.container.model import ClaimedDevice, Container, Interface, InterfacePhase
from mooring.controller.names import DEVICE_OWNER, PORT_NAME, token, was_made
from mooring.errors import MooringError, PortNotFound, PortUnusable
from mooring.neutron.api import Binding, Neutron, NewPort
from mooring.neutron.binding import verify_binding, verify_plugging
from mooring.neutron.model import EgressLimits, IpAddress, Port


class ContainerPorts:
    """Writes to Neutron what the database has decided. All methods raise what NeutronPorts' do."""

    def __init__(self, neutron: Neutron) -> None:
        self._neutron = neutron

    def reserve(self, container: Container, interface: Interface) -> Interface:
        """Let the interface's port bear the container's id; make the port where a network was asked for."""
        if interface.preserve:
            port = self._take(container, interface)
            # As its owner has left it up to now.
            interface = replace(interface, former=replace(port, device_id="", device_owner=""))
        else:
            port = self._made(container, interface) or self._make(container, interface)
        return replace(interface, phase=InterfacePhase.RESERVED, port_id=port.id, port=port)

    def bind(self, container: Container, interface: Interface) -> Interface:
        """Bind the port on the container's host to the interface's device; ``verify`` judges what came of it."""
        port, host = _known(interface), container.host or ""
        binding = Binding(
            host=host, device_id=container.uuid, device_owner=DEVICE_OWNER, profile=_profile(interface.device)
        )
        bound = self._neutron.bind(port, binding)
        # A device that is handed over must hold them from the start; its node follows them from then on.
        policy = bound.qos_policy_id
        limits = EgressLimits() if policy is None else self._neutron.egress_limits(policy)
        return replace(interface, phase=InterfacePhase.BOUND, port=bound, limits=limits)

    def give_back(self, container: Container, interface: Interface) -> None:
        """Unbind a port that the user gave, as he had left it; delete one that was made. What is gone is a success."""
        if interface.port_id is None:
            return
        if not interface.preserve:
            self._neutron.delete_port(interface.port_id)
            return
        try:
            current = self._neutron.port(interface.port_id)
        except PortNotFound:
            return
        # Somebody may have taken half of the binding away by hand.
        is_half_ours = not current.device_id and bool(current.host) and current.host == container.host
        if current.device_id == container.uuid or is_half_ours:
            self._unbind(current, interface)

    def give_all_back(self, container: Container) -> None:
        """Give back all that bears the container's id, and what it should have borne. One failure stops no other."""
        known = {each.port_id: each for each in container.interfaces if each.port_id is not None}
        failures: list[MooringError] = []
        found = self._neutron.ports(device_id=container.uuid)
        for port in found:
            try:
                self._give_found_back(port, known.pop(port.id, None))
            except MooringError as exc:
                failures.append(exc)
        for interface in known.values():
            if interface.phase is not InterfacePhase.ASKED:
                try:
                    self.give_back(container, interface)
                except MooringError as exc:
                    failures.append(exc)
        if failures:
            raise failures[0]

    def give_orphan_back(self, port: Port) -> None:
        """Give back a port that bears the id of a container that is not known any more."""
        self._give_found_back(port, None)

    def _give_found_back(self, port: Port, interface: Interface | None) -> None:
        if interface is None and port.device_owner != DEVICE_OWNER:
            return
        is_made = was_made(port.description) if interface is None else not interface.preserve
        if is_made:
            self._neutron.delete_port(port.id)
        else:
            self._unbind(port, interface)

    def _unbind(self, port: Port, interface: Interface | None) -> None:
        former = None if interface is None else interface.former
        self._neutron.unbind(port, restore=former.profile if former is not None else {})

    def _take(self, container: Container, interface: Interface) -> Port:
        port = self._neutron.reserve(_known(interface), device_id=container.uuid, device_owner=DEVICE_OWNER)
        if port.vnic_type != interface.vnic_type:
            problem = f"its vnic_type was {interface.vnic_type} and is {port.vnic_type} now; create the container again"
            raise PortUnusable(port.id, problem)
        return port

    def _made(self, container: Container, interface: Interface) -> Port | None:
        """Return the port that was made for the interface already."""
        description = token(interface.id)
        found = self._neutron.ports(device_id=container.uuid)
        return next((port for port in found if port.description == description), None)

    def _make(self, container: Container, interface: Interface) -> Port:
        new = NewPort(
            network_id=interface.network_id,
            name=PORT_NAME,
            addresses=tuple((_subnet_of(interface, address), address) for address in interface.addresses),
            vnic_type=interface.vnic_type,
            device_owner=DEVICE_OWNER,
            description=token(interface.id),
            project_id=container.project_id,
            device_id=container.uuid,
            security_groups=interface.security_groups or None,
        )
        return self._neutron.create_port(new)


def verify(interface: Interface) -> None:
    """Raise BindingRefused unless Neutron has bound the interface's port so that its device can serve it."""
    port = _known(interface)
    if interface.device is None:
        verify_plugging(port)
    elif interface.network is not None:
        verify_binding(port, interface.network, interface.device.physical_network or "")


def _known(interface: Interface) -> Port:
    if interface.port is None:
        raise PortUnusable(interface.port_id or "to be made", f"it is not known yet ({interface.phase})")
    return interface.port


def _subnet_of(interface: Interface, address: IpAddress) -> str:
    return next((subnet.id for subnet in interface.subnets if address in subnet.cidr), "")


def _profile(device: ClaimedDevice | None) -> Mapping[str, object]:
    """Return what a binding tells Neutron of a device, in Nova's words."""
    if device is None:
        return {}
    profile: dict[str, object] = {
        "pci_slot": str(device.address),
        "pci_vendor_info": device.vendor_info,
        "physical_network": device.physical_network,
    }
    # Neutron gives the port of a whole PF the PF's MAC.
    if device.parent is None and device.mac is not None:
        profile["device_mac_address"] = device.mac
    return profile
