"""What the commands list: devices, leases, and what garbage collection does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mooring.attach.devices import Devices
from mooring.attach.drivers.registry import PortDrivers
from mooring.attach.gc import Deed
from mooring.attach.journal import DebtEntry, container_words
from mooring.attach.plain import PlainStatus
from mooring.attach.pool import VfState, VfStatus
from mooring.attach.readings import CardReadings
from mooring.attach.sights import look_at
from mooring.attach.types import Lease, Sight, Whereabouts, short_id
from mooring.cli.output import Listing
from mooring.errors import EdgeFailure
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction

_HEADINGS = ("Address", "Type", "PF", "VF", "Physical network", "NUMA", "Driver", "State", "Port", "Reason")
_LOST, _LENT, _NOT_ADMITTED = "lost", "lent", "not-admitted"

_Row = tuple[str, ...]


def device_listing(devices: Devices, drivers: PortDrivers) -> Listing:
    """List every VF that the host may hand out with its state and owner, below the PF it belongs to.

    Then come devices that are for programs only. At the end stand the leases whose devices have left the host, or
    that the device spec does not admit any more.
    """
    statuses = devices.pool.statuses()
    looks = look_at(devices.journal.leases(), drivers, CardReadings(devices.kernel))
    sights = {lease.id: (lease, seen) for lease, seen in looks}
    rows = list(_card_rows(devices, statuses, {key: _told(lease, seen) for key, (lease, seen) in sights.items()}))
    rows += map(_plain_row, devices.plain.statuses())
    listed = {row[0] for row in rows}
    for lease, seen in sights.values():
        if lease.device is not None and str(lease.device) not in listed:
            rows.append(_stray_row(lease, _told(lease, seen), is_there=devices.kernel.find(lease.device) is not None))
    return Listing(headings=_HEADINGS, rows=rows, empty="no device of this host is admitted by [pci] device_spec")


def _card_rows(devices: Devices, statuses: Iterable[VfStatus], told: dict[str, str]) -> Iterator[_Row]:
    """Yield the rows of each card; ``told`` is what is to be said of leases, by their ids."""
    networks = {card.address: (card.pf, card.physical_network) for card in devices.pool.cards()}
    families: dict[PciAddress, list[VfStatus]] = {address: [] for address in networks}
    for status in statuses:
        pf = status.pooled.pf
        families.setdefault(pf.address, []).append(status)
        networks.setdefault(pf.address, (pf, status.pooled.physical_network))
    for address, family in sorted(families.items()):
        pf, physical_network = networks[address]
        yield _pf_row(devices, pf, physical_network, family, told)
        yield from (_vf_row(status, told) for status in family)


def _pf_row(
    devices: Devices, pf: PhysicalFunction, physical_network: str, family: list[VfStatus], told: dict[str, str]
) -> _Row:
    netdev = devices.kernel.netdev(pf)
    lease = devices.journal.holder(pf.address)
    free = sum(status.state is VfState.FREE for status in family)
    count = f"{free} of {len(family)} VFs free"
    return (
        str(pf.address),
        "PF",
        pf.netdev or "",
        f"{len(pf.vfs)} of {pf.total_vfs}",
        physical_network,
        _numa(pf),
        pf.driver or "",
        _LENT if lease else "up" if netdev is not None and netdev.up else "down",
        lease.port.id if lease else "",
        told.get(lease.id, "") or count if lease else count,
    )


def _vf_row(status: VfStatus, told: dict[str, str]) -> _Row:
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
        told.get(status.lease.id, "") if status.lease else status.reason,
    )


def _plain_row(status: PlainStatus) -> _Row:
    device = status.device
    state = VfState.FREE if status.obstacle is None else VfState.TAKEN
    reason = status.obstacle or ""
    if status.container is not None:
        state, reason = VfState.ASSIGNED, container_words(status.container)
    kind = "PCI" if device.parent is None else "VF"
    return str(device.address), kind, "", "", "", _numa(device), device.driver or "", state.value, "", reason


def _stray_row(lease: Lease, told: str, *, is_there: bool) -> _Row:
    return (
        str(lease.device),
        "VF" if lease.holds_vf else "PF",
        "",
        "",
        lease.physical_network or "",
        "",
        "",
        _NOT_ADMITTED if is_there else _LOST,
        lease.port.id,
        told if is_there else f"attachment {short_id(lease.attachment)} had it when it left the host",
    )


def _told(lease: Lease, seen: Sight | EdgeFailure | None) -> str:
    """Say what is not as it should be with a lease's device; nothing when all is."""
    match seen:
        case None:
            return f"at step {lease.step.value}"
        case Sight():
            away = seen.whereabouts is Whereabouts.AWAY
            where = [] if away else [seen.detail or seen.whereabouts.value]
            return "; ".join([*where, *map(str, seen.differences)])
        case _:
            return str(seen)


def _numa(device: PciDevice) -> str:
    return "" if device.numa_node is None else str(device.numa_node)


def lease_listing(leases: Iterable[Lease], debts: Iterable[DebtEntry]) -> Listing:
    """List every lease, and below them what Neutron is still owed for those that have ended."""
    rows = [
        (
            short_id(lease.attachment),
            lease.port.id,
            lease.vnic_type,
            "" if lease.device is None else str(lease.device),
            lease.physical_network or "",
            lease.port.mac,
            "" if lease.wanted is None else str(lease.wanted.vlan),
            lease.step.value,
            lease.port.status,
        )
        for lease in leases
    ]
    rows += [
        (
            short_id(entry.debt.port.device_id),
            entry.debt.port.id,
            entry.debt.port.vnic_type,
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
        headings=("Attachment", "Port", "Type", "Device", "Physical network", "MAC", "VLAN", "Step", "Status"),
        rows=rows,
        empty="no leases",
    )


def deed_listing(deeds: Iterable[Deed], *, dry_run: bool) -> Listing:
    """List what was done, or is to be done, and what could not be."""
    return Listing(
        headings=("Action", "Subject", "Reason", "Outcome"),
        rows=[(deed.kind.value, deed.subject, deed.reason, _outcome(deed, dry_run=dry_run)) for deed in deeds],
        empty="nothing is left over",
    )


def _outcome(deed: Deed, *, dry_run: bool) -> str:
    if deed.failure:
        return f"failed: {deed.failure}"
    return "to be done" if dry_run else "done"
