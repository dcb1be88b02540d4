"""Making a PF hold the wanted settings of a VF: what to write, in which order, and what a refusal means."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from mooring.errors import DeviceGone, KernelRefused, NotClean
from mooring.host.failures import kernel_errors
from mooring.host.kernel import Netdev, VfSettings
from mooring.host.vf_info import VfAttribute
from mooring.pci.device import VirtualFunction

_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EPROTONOSUPPORT})
_FIELDS: Mapping[VfAttribute, tuple[str, ...]] = {
    VfAttribute.VLAN: ("vlan", "qos", "service_tag"),
    VfAttribute.RATE: ("min_tx_rate", "max_tx_rate"),
    VfAttribute.LINK_STATE: ("link_state",),
    VfAttribute.SPOOF_CHECK: ("spoof_check",),
    VfAttribute.TRUST: ("trust",),
    VfAttribute.MAC: ("mac",),
}


class PfSide(Protocol):
    """A PF as the holder of its VFs' settings. Both methods raise OSError as the kernel does."""

    def read_one(self, vf_index: int) -> VfSettings | None:
        """Return what the PF holds for a VF, or None when it has no such VF."""
        ...

    def write(self, vf_index: int, kind: VfAttribute, wanted: VfSettings) -> None:
        """Set one attribute of a VF to what it is in ``wanted``."""
        ...


def write_settings(pf: PfSide, vf: VirtualFunction, wanted: VfSettings) -> frozenset[str]:
    """Make the PF hold ``wanted`` for the VF; see Kernel.write_settings."""
    held = read_held(pf, vf)
    wanted = _known(wanted, held)
    unsupported: set[str] = set()
    refusals: list[KernelRefused] = []
    for kind in _plan(held, wanted):
        try:
            unsupported |= _write(pf, vf, kind, held, wanted)
        except KernelRefused as exc:
            refusals.append(exc)
    if refusals:
        first, *others = refusals
        for other in others:
            first.add_note(str(other))
        raise first
    _verify(vf, read_held(pf, vf), wanted, unsupported)
    return frozenset(unsupported)


def read_held(pf: PfSide, vf: VirtualFunction) -> VfSettings:
    """Return what the PF holds for the VF; raise DeviceGone when it knows no such VF."""
    with kernel_errors(f"reading the settings of VF {vf.index}", vf.parent):
        held = pf.read_one(vf.index)
    if held is None:
        raise DeviceGone("reading its settings", vf.address, f"PF {vf.parent} has no VF {vf.index} any more")
    return held


def verify_adopted(vf: VirtualFunction, netdev: Netdev, held: VfSettings, mac: str) -> None:
    """Raise NotClean unless interface and PF agree on the MAC."""
    if not netdev.mac == held.mac == mac:
        raise NotClean(
            vf.address,
            f"interface {netdev.name} has MAC {netdev.mac} and its PF holds {held.mac}, where both should be {mac}; "
            f"a VF learns its MAC from its PF, which must be up",
        )


def _differing(held: VfSettings, wanted: VfSettings, kind: VfAttribute) -> set[str]:
    return {field for field in _FIELDS[kind] if getattr(held, field) != getattr(wanted, field)}


def _known(wanted: VfSettings, held: VfSettings) -> VfSettings:
    """Leave alone what nobody asked for."""
    return replace(
        wanted,
        spoof_check=held.spoof_check if wanted.spoof_check is None else wanted.spoof_check,
        trust=held.trust if wanted.trust is None else wanted.trust,
    )


def _plan(held: VfSettings, wanted: VfSettings) -> Iterator[VfAttribute]:
    """Order what differs: switches go off before the MAC changes and on after it.

    A trusted VF could change the new address at once, and some drivers refuse to clear the address of a VF whose
    sender address they check.
    """
    order = [VfAttribute.VLAN, VfAttribute.RATE, VfAttribute.LINK_STATE, VfAttribute.MAC]
    for kind, on in ((VfAttribute.SPOOF_CHECK, wanted.spoof_check), (VfAttribute.TRUST, wanted.trust)):
        order.insert(len(order) if on else 0, kind)
    return (kind for kind in order if _differing(held, wanted, kind))


def _write(pf: PfSide, vf: VirtualFunction, kind: VfAttribute, held: VfSettings, wanted: VfSettings) -> set[str]:
    """Write one attribute; return the fields that the driver cannot set."""
    fields = _differing(held, wanted, kind)
    values = ", ".join(f"{field} {getattr(wanted, field)}" for field in _FIELDS[kind])
    try:
        with kernel_errors(f"setting {values} of VF {vf.index}", vf.address):
            pf.write(vf.index, kind, wanted)
    except KernelRefused as exc:
        if exc.errno in _UNSUPPORTED:
            return fields
        # Drivers without a guaranteed rate answer EINVAL, and refuse the limit in the same message with it.
        if kind is VfAttribute.RATE and exc.errno == errno.EINVAL and "min_tx_rate" in fields:
            limited = replace(wanted, min_tx_rate=held.min_tx_rate)
            return {"min_tx_rate"} | _write(pf, vf, kind, held, limited)
        raise
    return set()


def _verify(vf: VirtualFunction, held: VfSettings, wanted: VfSettings, unsupported: set[str]) -> None:
    fields = {field for kind in _FIELDS for field in _differing(held, wanted, kind)} - unsupported
    fields = {field for field in fields if getattr(held, field) is not None}  # taken, but not reported
    if fields:
        told = ", ".join(f"{name} is {getattr(held, name)}, not {getattr(wanted, name)}" for name in sorted(fields))
        raise NotClean(vf.address, f"the PF took its settings but holds others: {told}")
