"""What the host's own commands list: VFs and leases."""

from __future__ import annotations

from collections.abc import Iterable

from mooring.attach.journal import DebtEntry
from mooring.attach.pool import VfStatus
from mooring.attach.types import Lease
from mooring.cli.output import Listing


def vf_listing(statuses: Iterable[VfStatus]) -> Listing:
    """List every VF that the host may hand out, with its state and owner."""
    rows = [
        (
            str(status.pooled.address),
            status.pooled.pf.netdev or str(status.pooled.pf.address),
            str(status.pooled.vf.index),
            status.pooled.physical_network,
            "" if status.pooled.vf.numa_node is None else str(status.pooled.vf.numa_node),
            status.pooled.vf.driver or "",
            status.state.value,
            status.lease.port.id if status.lease else "",
            status.reason,
        )
        for status in statuses
    ]
    return Listing(
        headings=("Address", "PF", "VF", "Physical network", "NUMA", "Driver", "State", "Port", "Reason"),
        rows=rows,
        empty="no VF on this host is admitted by [pci] device_spec",
    )


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
