"""What is left over of attachments that nobody carries on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from mooring.attach.journal import DebtEntry
from mooring.attach.types import Lease
from mooring.neutron.model import Port


def cut_off(leases: Iterable[Lease], boot_id: str) -> Iterator[tuple[Lease, bool]]:
    """Yield the leases that a daemon of the past left half done, or in an earlier boot; True stands by the latter."""
    for lease in leases:
        rebooted = lease.boot_id != boot_id
        if rebooted or not lease.step.is_at_rest:
            yield lease, rebooted


def orphans(
    ports: Iterable[Port], host: str, owners: Collection[str], leases: Iterable[Lease], debts: Iterable[DebtEntry]
) -> tuple[Port, ...]:
    """Return those of the ports that are bound to this host, that no lease holds and that no debt speaks of.

    ``owners`` are the values of device_owner that this host's front doors write: other ports are none of ours. The host
    is compared although Neutron was asked for its ports: a cloud that overlooks the filter answers with everybody's.
    """
    known = {lease.port.id for lease in leases} | {entry.debt.port.id for entry in debts}
    return tuple(port for port in ports if port.host == host and port.device_owner in owners and port.id not in known)
