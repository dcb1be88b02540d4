"""The port driver for vnic_type direct: a VF's own interface in the container."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import structlog

from mooring.attach.cleaning import interface_name
from mooring.attach.devices import Devices
from mooring.attach.pool import PooledVf
from mooring.attach.types import AttachRequest, Lease
from mooring.errors import DeviceBusy, DeviceGone, DeviceUnusable, InvalidPciAddress, NoFreeDevice, PortUnusable
from mooring.host.kernel import LinkState, VfSettings
from mooring.neutron.binding import physical_network_of, verify_binding
from mooring.neutron.model import Port
from mooring.pci.address import PciAddress
from mooring.pci.device import VirtualFunction

log = structlog.get_logger(__name__)


class SriovPortDriver:
    """Serves a port by leasing a VF on its physical network and giving the VF's interface to the container."""

    vnic_types: ClassVar[frozenset[str]] = frozenset({"direct"})

    def __init__(self, devices: Devices) -> None:
        self._kernel = devices.kernel
        self._pool = devices.pool
        self._cleaner = devices.cleaner

    def choose(self, request: AttachRequest) -> Iterator[PooledVf]:
        """Yield the VF that the port's profile names, or else the free ones on the port's physical network."""
        physical_network = physical_network_of(request.network, self._pool.mappings()).physical_network
        wish = _Wish.of(request.port)
        if wish.physical_network not in (None, physical_network):
            raise PortUnusable(
                request.port.id,
                f"its binding:profile asks for {wish.physical_network}, but Neutron puts it on {physical_network}",
            )
        if wish.slot is None:
            yield from self._from_pool(request, str(physical_network), wish)
            return
        member = self._pool.named(wish.slot, str(physical_network))
        if (problem := self._misfit(member, request, wish)) is not None:
            raise problem
        yield member
        raise DeviceBusy(wish.slot, "another container that asked in the same moment", "name another VF")

    def plan(self, lease: Lease) -> VfSettings:
        """Take MAC, VLAN, spoof checking, trust and link state from the bound port."""
        port = lease.port
        return VfSettings(
            mac=port.mac,
            vlan=verify_binding(port, lease.network, lease.physical_network),
            spoof_check=port.port_security_enabled,
            trust=bool(port.trusted),
            link_state=LinkState.AUTO if port.admin_state_up else LinkState.DISABLE,
        )

    def create_host_iface(self, lease: Lease, wanted: VfSettings) -> frozenset[str]:
        """Program the PF's side of the VF, let the VF's driver adopt the MAC, and set the network's MTU."""
        vf = self._leased_vf(lease)
        missing = self._kernel.write_settings(vf, wanted)
        if lost := missing & _essential(wanted):
            raise DeviceUnusable(
                lease.device,
                f"its driver {vf.driver} cannot set the VF's {' and '.join(sorted(lost))}, which the port needs",
            )
        netdev = self._kernel.adopt_mac(vf, wanted.mac, name=interface_name(lease.device))
        if netdev.mtu != lease.network.mtu:
            self._kernel.set_mtu(self._leased_vf(lease), lease.network.mtu)
        return missing

    def delete_host_iface(self, lease: Lease) -> None:
        """Fetch the VF back from wherever it is and restore its baseline."""
        vf = self._kernel.find(lease.device)
        if not isinstance(vf, VirtualFunction):
            log.warning("vf.gone-at-release", reason="the VF has left the host")
            return
        self._cleaner.clean(vf)

    def get_container_iface_name(self, lease: Lease) -> str:
        """Return the VF's name in the host's namespace."""
        return interface_name(lease.device)

    def _from_pool(self, request: AttachRequest, physical_network: str, wish: _Wish) -> Iterator[PooledVf]:
        misfit: DeviceUnusable | None = None
        try:
            for member in self._pool.candidates(physical_network, numa_node=request.numa_node):
                problem = self._misfit(member, request, wish)
                if problem is None:
                    yield member
                misfit = problem or misfit
        except NoFreeDevice:
            if misfit is not None:
                raise misfit from None
            raise

    def _misfit(self, member: PooledVf, request: AttachRequest, wish: _Wish) -> DeviceUnusable | None:
        """Say why a free VF cannot serve this port, or None when it can."""
        if wish.vendor_info not in (None, member.vf.vendor_info):
            return DeviceUnusable(
                member.address,
                f"it is a {member.vf.vendor_info}, but the port asks for pci_vendor_info {wish.vendor_info}",
            )
        if request.port.trusted and not member.trusted:
            return DeviceUnusable(
                member.address, 'the port is trusted, but the device spec does not say "trusted": "true" of this VF'
            )
        uplink = self._kernel.netdev(member.pf)
        if uplink is not None and uplink.mtu < request.network.mtu:
            return DeviceUnusable(
                member.address,
                f"its PF {uplink.name} has MTU {uplink.mtu}, but the network has {request.network.mtu}; raise the PF's",
            )
        return None

    def _leased_vf(self, lease: Lease) -> VirtualFunction:
        vf = self._kernel.find(lease.device)
        if not isinstance(vf, VirtualFunction):
            raise DeviceGone("programming", lease.device, "the VF has left the host")
        return vf


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What a port's binding:profile asks of a device. Any tenant's service may have written it: trust nothing."""

    slot: PciAddress | None
    vendor_info: str | None
    physical_network: str | None

    @classmethod
    def of(cls, port: Port) -> Self:
        """Read the profile; raise PortUnusable when it cannot be meant."""
        slot = _text(port, "pci_slot")
        try:
            address = None if slot is None else PciAddress.parse(slot)
        except InvalidPciAddress as exc:
            raise PortUnusable(port.id, f"binding:profile pci_slot: {exc}") from exc
        vendor_info = _text(port, "pci_vendor_info")
        return cls(
            slot=address,
            vendor_info=None if vendor_info is None else vendor_info.lower(),
            physical_network=_text(port, "physical_network"),
        )


def _essential(wanted: VfSettings) -> set[str]:
    """Name the settings without which a VF would say or hear what its port forbids, or not do what it was given for."""
    essential = {"mac", "vlan"}
    if wanted.spoof_check:
        essential.add("spoof_check")
    if wanted.trust:
        essential.add("trust")
    if wanted.link_state is LinkState.DISABLE:
        essential.add("link_state")
    return essential


def _text(port: Port, key: str) -> str | None:
    value = port.profile.get(key)
    if value is None or isinstance(value, str):
        return value
    raise PortUnusable(port.id, f"binding:profile {key} must be text, not {value!r}")
