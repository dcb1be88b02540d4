"""What the port drivers that lease a VF have in common: choosing one, planning it, programming it, looking at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import structlog

from mooring.attach.devices import Devices
from mooring.attach.drift import differences
from mooring.attach.drivers.wish import Wish
from mooring.attach.pool import PooledVf
from mooring.attach.readings import CardReadings
from mooring.attach.types import AttachRequest, Difference, Lease, Placement
from mooring.errors import DeviceBusy, DeviceGone, DeviceUnusable, NoFreeDevice
from mooring.host.kernel import VFIO, LinkState, VfSettings
from mooring.neutron.binding import physical_network_of, verify_binding
from mooring.neutron.model import DIRECT, Port
from mooring.neutron.qos import to_mbps
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction, VirtualFunction

log = structlog.get_logger(__name__)


class LeasedVfs:
    """Leases VFs for ports, by what the port's network and profile ask for."""

    def __init__(self, devices: Devices) -> None:
        self._kernel = devices.kernel
        self._cleaner = devices.cleaner
        self._pool = devices.pool

    def choose(self, request: AttachRequest) -> Iterator[Placement]:
        """Yield the VF that the port's profile names, or else the free ones on the port's physical network."""
        physical_network = str(physical_network_of(request.network, self._pool.mappings()).physical_network)
        wish = Wish.of(request.port, physical_network)
        if wish.slot is None:
            for member in self._from_pool(request, physical_network, wish):
                yield _placement(member, request)
            return
        member = self._pool.named(wish.slot, physical_network)
        if (problem := self._misfit(member, request, wish)) is not None:
            raise problem
        yield _placement(member, request)
        raise DeviceBusy(wish.slot, "another container that asked in the same moment", "name another VF")

    def settings(self, lease: Lease) -> VfSettings:
        """Take MAC, VLAN, spoof checking, trust, rates and link state from the bound port.

        A port that is trusted only after it was given its VF has it trusted only where the device spec allows that.
        Raises BindingRefused; see verify_binding.
        """
        port = lease.port
        trust = bool(port.trusted) and self._may_be_trusted(lease)
        if trust != bool(port.trusted):
            log.warning("vf.not-trusted", reason='the device spec does not say "trusted": "true" of this VF')
        return VfSettings(
            mac=port.mac,
            vlan=verify_binding(port, lease.network, str(lease.physical_network)),
            spoof_check=port.port_security_enabled,
            trust=trust,
            max_tx_rate=to_mbps(lease.limits.max_kbps),
            min_tx_rate=to_mbps(lease.limits.min_kbps),
            link_state=_link_state(port),
        )

    def now(self, lease: Lease) -> VirtualFunction:
        """Return the leased VF as it is; raise DeviceGone when it has left the host."""
        vf = self.find(lease)
        if vf is None:
            raise DeviceGone("programming", lease.place, "the VF has left the host")
        return vf

    def find(self, lease: Lease) -> VirtualFunction | None:
        """Return the leased VF as it is, or None when it has left the host."""
        vf = None if lease.device is None else self._kernel.find(lease.device)
        return vf if isinstance(vf, VirtualFunction) else None

    def program(self, lease: Lease, vf: VirtualFunction) -> frozenset[str]:
        """Make the PF hold what the lease wants; return what the driver cannot honour.

        Raises DeviceUnusable when the port cannot do without that.
        """
        wanted = wanted_of(lease)
        missing = self._kernel.write_settings(vf, wanted)
        if lost := missing & _essential(wanted):
            raise DeviceUnusable(
                lease.place,
                f"its driver {vf.driver} cannot set the VF's {' and '.join(sorted(lost))}, which the port needs",
            )
        return missing

    def adjust(self, lease: Lease) -> frozenset[str]:
        """Make the PF hold what the lease wants while a container has the VF: what cannot be had is only told.

        A trusted VF may choose its own MAC, which the PF then shows; to write the port's over it would silence it.
        """
        vf, wanted = self.now(lease), wanted_of(lease)
        pf = self._kernel.find(vf.parent)
        if wanted.trust and isinstance(pf, PhysicalFunction):
            wanted = replace(wanted, mac=self._kernel.read_settings(pf)[vf.index].mac)
        return self._kernel.write_settings(vf, wanted)

    def give_back(self, lease: Lease) -> None:
        """Fetch the VF back from wherever it is and restore its baseline; one that has left the host is a success."""
        vf = self.find(lease)
        if vf is None:
            log.warning("vf.gone-at-release", reason="the VF has left the host")
            return
        kept = (member.vf_driver for member in self._pool.members() if member.address == vf.address)
        self._cleaner.clean(vf, driver=next(kept, None))

    def differences(self, lease: Lease, vf: VirtualFunction, cards: CardReadings) -> tuple[Difference, ...]:
        """Tell where the PF holds something else than the lease wants."""
        pf = self._kernel.find(vf.parent)
        held = cards.settings(pf).get(vf.index) if isinstance(pf, PhysicalFunction) else None
        if held is None:
            return (Difference(what=f"VF {vf.index}", found=f"not shown by PF {vf.parent}", wanted="shown"),)
        wanted = wanted_of(lease)
        own_mac = {"mac"} if wanted.trust else set()
        return differences(wanted, held, ignoring=lease.missing | own_mac)

    def link_up(self, vf: VirtualFunction, cards: CardReadings) -> bool:
        """Tell whether frames can pass the VF's card."""
        pf = self._kernel.find(vf.parent)
        uplink = cards.uplink(pf) if isinstance(pf, PhysicalFunction) else None
        return uplink is not None and uplink.up and uplink.carrier

    def _may_be_trusted(self, lease: Lease) -> bool:
        return any(member.trusted for member in self._pool.members() if member.address == lease.device)

    def _from_pool(self, request: AttachRequest, physical_network: str, wish: Wish) -> Iterator[PooledVf]:
        """Yield the free VFs that fit, those first that are kept bound to the very driver that is wanted.

        A VF that is kept for programs goes to a port that did not ask for one only where there are no others at all.
        """
        misfit: DeviceUnusable | None = None
        others: dict[PciAddress, PooledVf] = {}
        kept = {member.vf_driver for member in self._pool.members() if member.physical_network == physical_network}
        try:
            for member in self._pool.candidates(physical_network, numa_node=request.numa_node):
                problem = self._misfit(member, request, wish)
                if problem is None and member.vf_driver == request.vf_driver:
                    yield member
                elif problem is None and (request.vf_driver is not None or kept == {VFIO}):
                    others[member.address] = member
                else:
                    misfit = problem or _kept_for_programs(member)
        except NoFreeDevice:
            yield from others.values()
            if misfit is not None:
                raise misfit from None
            raise

    def _misfit(self, member: PooledVf, request: AttachRequest, wish: Wish) -> DeviceUnusable | None:
        """Say why a free VF cannot serve this port, or None when it can."""
        if (problem := wish.misfit(member.vf)) is not None:
            return problem
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
        if member.vf_driver == VFIO and request.kind != DIRECT:
            return DeviceUnusable(
                member.address,
                f"the device spec keeps it bound to {VFIO}, which serves no port of vnic_type {request.kind}",
            )
        return None


def _kept_for_programs(member: PooledVf) -> DeviceUnusable:
    return DeviceUnusable(
        member.address,
        f"the device spec keeps it bound to {VFIO}, and no other VF is free; a port gets it that asks for such "
        "a VF, or names it as pci_slot in its binding:profile",
    )


def wanted_of(lease: Lease) -> VfSettings:
    """Return what a bound lease wants of its VF."""
    if lease.wanted is None:
        raise DeviceGone("programming", lease.place, f"lease {lease.id} is not bound yet")
    return lease.wanted


def _link_state(port: Port) -> LinkState:
    """As neutron-sriov-nic-agent decides it (agent/sriov_nic_agent.py, treat_device)."""
    if not port.admin_state_up:
        return LinkState.DISABLE
    return LinkState.ENABLE if port.propagate_uplink_status is False else LinkState.AUTO


def _placement(member: PooledVf, request: AttachRequest) -> Placement:
    return Placement(
        device=member.address,
        parent=member.pf.address,
        physical_network=member.physical_network,
        profile={
            "pci_slot": str(member.address),
            "pci_vendor_info": member.vf.vendor_info,
            "physical_network": member.physical_network,
        },
        vf_driver=request.vf_driver or member.vf_driver,
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
