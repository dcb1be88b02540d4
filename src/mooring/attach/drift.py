"""Tells where a VF, and a port as Neutron has it, differ from what a lease wants. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace

from mooring.attach.drivers import PortDriver
from mooring.attach.types import Difference, Lease
from mooring.errors import BindingRefused
from mooring.host.kernel import VfSettings
from mooring.neutron.model import ACTIVE, EgressLimits, Port


def differences(wanted: VfSettings, held: VfSettings, *, ignoring: Collection[str] = ()) -> tuple[Difference, ...]:
    """Return each setting that the PF holds differently; None wants nothing."""
    return tuple(
        Difference(what=field.name, found=str(getattr(held, field.name)), wanted=str(getattr(wanted, field.name)))
        for field in fields(VfSettings)
        if field.name not in ignoring
        and getattr(wanted, field.name) is not None
        and getattr(wanted, field.name) != getattr(held, field.name)
    )


def differences_of_port(
    lease: Lease, port: Port, limits: EgressLimits, host: str, driver: PortDriver
) -> Iterator[Difference]:
    """Yield where a port, and what its QoS policy allows, differ from what its ready lease holds the device to.

    ``host`` is this host's name in Neutron, ``driver`` the lease's.
    """
    for what, found, wanted in _binding(lease, port, host):
        if found != wanted:
            yield Difference(what=what, found=str(found), wanted=str(wanted))
    try:
        planned = driver.plan(replace(lease, port=port, limits=limits))
    except BindingRefused as exc:
        yield Difference(what="binding", found=f"none for its device ({exc})", wanted="one as its device needs")
        return
    # Of devices that are no VF an L2 agent sees to it.
    if planned is not None and lease.wanted is not None:
        yield from differences(lease.wanted, planned, ignoring={"mac"})


def _binding(lease: Lease, port: Port, host: str) -> Iterator[tuple[str, object, object]]:
    yield "host", port.host, host
    yield "device_id", port.device_id, lease.device_id
    yield "device_owner", port.device_owner, lease.device_owner
    yield "vnic_type", port.vnic_type, lease.vnic_type
    yield "vif_type", port.vif_type, lease.port.vif_type
    yield "mac_address", port.mac, lease.port.mac
    for key, value in lease.profile.items():
        yield f"binding:profile {key}", port.profile.get(key), value
    if port.admin_state_up:
        yield "status", port.status, ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class PortNature:
    """Those attributes of a port that its device must follow."""

    mac_address: str
    vif_type: str
    vlan: int | None
    admin_state_up: bool
    port_security_enabled: bool
    trusted: bool
    propagate_uplink_status: bool | None
    qos_policy_id: str | None


def nature(port: Port) -> PortNature:
    """Return what a port's device must follow."""
    return PortNature(
        mac_address=port.mac,
        vif_type=port.vif_type,
        vlan=port.vlan,
        admin_state_up=port.admin_state_up,
        port_security_enabled=port.port_security_enabled,
        trusted=bool(port.trusted),
        propagate_uplink_status=port.propagate_uplink_status,
        qos_policy_id=port.qos_policy_id,
    )
