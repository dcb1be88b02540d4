"""What the host's own commands list: devices and leases."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from mooring.attach.journal import DebtEntry
from mooring.attach.pool import VfState, VfStatus
from mooring.attach.types import Lease
from mooring.cli.output import Listing
from mooring.host.kernel import Kernel
from mooring.pci.device import PciDevice

_Row = tuple[str, ...]


def device_listing(statuses: Iterable[VfStatus], kernel: Kernel) -> Listing:
    """List every VF that the host may hand out with its state and owner, below the PF it belongs to."""
    rows: list[_Row] = []
    for _, group in groupby(statuses, key=lambda status: status.pooled.pf.address):
        family = list(group)
        rows.append(_pf_row(family, kernel))
        rows.extend(_vf_row(status) for status in family)
    return Listing(
        headings=("Address", "Type", "PF", "VF", "Physical network", "NUMA", "Driver", "State", "Port", "Reason"),
        rows=rows,
        empty="no VF on this host is admitted by [pci] device_spec",
    )


def _pf_row(family: list[VfStatus], kernel: Kernel) -> _Row:
    member = family[0].pooled
    netdev = kernel.netdev(member.pf)
    free = sum(status.state is VfState.FREE for status in family)
    return (
        str(member.pf.address),
        "PF",
        member.pf.netdev or "",
        f"{len(member.pf.vfs)} of {member.pf.total_vfs}",
        member.physical_network,
        _numa(member.pf),
        member.pf.driver or "",
        "up" if netdev is not None and netdev.up else "down",
        "",
        f"{free} of {len(family)} VFs free",
    )


def _vf_row(status: VfStatus) -> _Row:
    member = status.pooled
    return (
        str(member.address),
        "VF",
        member.pf.netdev or "",
        str(member.vf.index),
        member.physical_network,
        _numa(member.vf),
        member.vf.driver or "",
        status.state.value,
        status.lease.port.id if status.lease else "",
        status.reason,
    )


def _numa(device: PciDevice) -> str:
    return "" if device.numa_node is None else str(device.numa_node)


def lease_listing(leases: Iterable[Lease], debts: Iterable[DebtEntry]) -> Listing:
    """List every lease, and below them what Neutron is still owed for those that have ended."""
    rows = [
        (
            lease.attachment[:12],
            lease.port.id,
            str(lease.device),
            lease.physical_network,
            lease.port.mac,
            "" if lease.wanted is None else str(lease.wanted.vlan),
            lease.step.value,
            lease.port.status,
        )
        for lease in leases
    ]
    rows += [
        (
            entry.debt.port.device_id[:12],
            entry.debt.port.id,
            "",
            "",
            entry.debt.port.mac,
            "",
            f"owed: {entry.debt.kind.value}",
            entry.last_error,
        )
        for entry in debts
    ]
    return Listing(
        headings=("Attachment", "Port", "VF", "Physical network", "MAC", "VLAN", "Step", "Status"),
        rows=rows,
        empty="no leases",
    )
