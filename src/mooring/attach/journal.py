"""The node's memory: who holds which device, what clean means, what did not come clean, and what Neutron is owed.

When a call returns, the row has reached the disk. The unique keys arbitrate races, so that a VF, a port and an
attachment can each be in one lease only, and a device in one lease or with one container.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from mooring.attach.types import Baseline, Lease, LeaseStep, short_id
from mooring.errors import DeviceBusy, PortBusy
from mooring.host.kernel import DeviceUser, UserKind
from mooring.neutron.model import Port
from mooring.pci.address import PciAddress
from mooring.statefile import StateFile

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS lease (
    id TEXT PRIMARY KEY,
    attachment TEXT NOT NULL UNIQUE,
    device TEXT NOT NULL UNIQUE,
    port TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS baseline (
    device TEXT PRIMARY KEY,
    boot_id TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS quarantine (
    device TEXT PRIMARY KEY,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS debt (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT ''
);
"""

# A lease may have no device: a veth pair has none.
_SCHEMA_2: Final = """
CREATE TABLE lease_2 (
    id TEXT PRIMARY KEY,
    attachment TEXT NOT NULL UNIQUE,
    device TEXT UNIQUE,
    port TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
);
INSERT INTO lease_2 SELECT id, attachment, device, port, body FROM lease;
DROP TABLE lease;
ALTER TABLE lease_2 RENAME TO lease;
"""

# An older mooring would unbind ports that others have bound: it must not read this file any more.
_SCHEMA_3: Final = """
UPDATE lease SET body = json_set(body, '$.is_bound', json('false'));
"""

_SCHEMA_4: Final = """
CREATE TABLE assignment (
    device TEXT PRIMARY KEY,
    parent TEXT,
    container TEXT NOT NULL
);
"""

# What used a VF when it was quarantined: whatever else does so later is not what its container has left.
_SCHEMA_5: Final = """
ALTER TABLE quarantine ADD COLUMN remains TEXT;
"""

# Words that were kept of what used a VF say nothing any more: they are of no boot.
_SCHEMA_6: Final = """
ALTER TABLE quarantine ADD COLUMN boot_id TEXT;
"""

# What was noted before is known by its kind alone.
_SCHEMA_7: Final = """
ALTER TABLE quarantine ADD COLUMN marks TEXT NOT NULL DEFAULT '[]';
"""

_LEASE: Final = TypeAdapter(Lease)
_BASELINE: Final = TypeAdapter(Baseline)


class DebtKind(StrEnum):
    """What Neutron is owed for a port whose attachment has ended.

    REPORT_DOWN is all for a port that somebody else has bound, and will unbind: its device is down.
    """

    UNBIND = "unbind"
    DELETE = "delete"
    REPORT_DOWN = "report-down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """Neutron work that outlived its attachment. ``port`` is as mooring bound it; ``former`` as it was before.

    ``doubtful`` says that Neutron never confirmed the binding: it may still be about to carry it out.
    """

    kind: DebtKind
    port: Port
    former: Port
    doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtEntry:
    """A debt as it stands in the journal."""

    id: int
    debt: Debt
    attempts: int
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What still uses a VF in quarantine, of those that it was taken back from, in a boot; ``marks`` as a user's."""

    kind: UserKind
    boot_id: str
    marks: frozenset[str] = frozenset()

    def include(self, user: DeviceUser) -> bool:
        """Tell whether a user is one of them: by the kind, and where they have marks, by these. Some may be gone."""
        return user.kind is self.kind and (user.marks <= self.marks or not self.marks)


_DEBT: Final = TypeAdapter(Debt)
_MARKS: Final = TypeAdapter(frozenset[str])


def _dump(adapter: TypeAdapter[Any], value: object) -> str:
    return adapter.dump_json(value).decode()


def holder_words(lease: Lease) -> tuple[str, str]:
    """Return who holds a device, and what a Docker user can do about it: an attachment's id is an endpoint's."""
    return (
        f"attachment {short_id(lease.attachment)}",
        "remove its container first ('docker network inspect' shows whose endpoint it is)",
    )


def container_words(container: str) -> str:
    """Return who holds a device that has no port."""
    return f"container {container}"


class Journal:
    """Leases, assignments, baselines, quarantine and debts of one host. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, _SCHEMA, _SCHEMA_2, _SCHEMA_3, _SCHEMA_4, _SCHEMA_5, _SCHEMA_6, _SCHEMA_7)

    def close(self) -> None:
        """Close the file; the journal cannot be used afterwards."""
        self._file.close()

    # Leases

    def add(self, lease: Lease, *, settles: DebtEntry | None = None) -> None:
        """Write a new lease; raise DeviceBusy or PortBusy when somebody else holds its device or its port.

        A PF is not to be had while one of its VFs is leased, nor a VF while its PF is; nor is what is quarantined.
        ``settles`` is a debt that the new lease makes void, struck out in the same transaction.
        """
        with self._file.transaction() as db:
            if lease.device is not None:
                self._require_available(lease.device, lease.parent)
            self.require_unleased(lease.port.id)
            db.execute(
                "INSERT INTO lease VALUES (?, ?, ?, ?, ?)",
                (
                    lease.id,
                    lease.attachment,
                    None if lease.device is None else str(lease.device),
                    lease.port.id,
                    _dump(_LEASE, lease),
                ),
            )
            if settles is not None:
                db.execute("DELETE FROM debt WHERE id = ?", (settles.id,))

    def save(self, lease: Lease) -> Lease:
        """Write the present state of a lease and return it; a lease that has ended meanwhile stays ended."""
        with self._file.transaction() as db:
            db.execute("UPDATE lease SET body = ? WHERE id = ?", (_dump(_LEASE, lease), lease.id))
        return lease

    def note_port(self, lease: Lease, port: Port) -> None:
        """Keep what Neutron last said of a ready lease's port; a lease that has moved on is left alone."""
        with self._file.transaction():
            current = self.current(lease)
            if current is not None and current.step is LeaseStep.READY:
                self.save(replace(current, port=port))

    def end(
        self, lease: Lease, *, owed: Debt | None, quarantine: str | None, remains: Remains | None = None
    ) -> int | None:
        """Forget a lease; in the same transaction note what Neutron is owed and why its VF may not be handed out.

        ``remains`` is as for ``quarantine``. Returns the id of the new debt.
        """
        with self._file.transaction() as db:
            db.execute("DELETE FROM lease WHERE id = ?", (lease.id,))
            if quarantine is not None and lease.device is not None:
                self.quarantine(lease.device, quarantine, remains=remains)
            if owed is None:
                return None
            return db.execute("INSERT INTO debt (body) VALUES (?)", (_dump(_DEBT, owed),)).lastrowid

    def leases(self) -> tuple[Lease, ...]:
        """Return all leases, ordered by device, those without one at the end."""
        rows = self._file.rows("SELECT body FROM lease ORDER BY device IS NULL, device, attachment")
        return tuple(_LEASE.validate_json(body) for (body,) in rows)

    def find(self, attachment: str) -> Lease | None:
        """Return the lease of an attachment."""
        return self._lease_where("attachment", attachment)

    def current(self, lease: Lease) -> Lease | None:
        """Return a lease as it stands, None when it has ended: its attachment may have another by now."""
        current = self.find(lease.attachment)
        return current if current is not None and current.id == lease.id else None

    def holder(self, device: PciAddress) -> Lease | None:
        """Return the lease that holds a device."""
        return self._lease_where("device", str(device))

    def leased_from(self, parent: PciAddress) -> tuple[Lease, ...]:
        """Return the leases of a card: of its VFs, or of the PF itself."""
        return tuple(lease for lease in self.leases() if lease.parent == parent)

    def lent(self) -> dict[PciAddress, str]:
        """Return the PFs that are lent as a whole, with the names that their interfaces had before."""
        leases = self.leases()
        return {lease.device: lease.uplink.name for lease in leases if lease.device and lease.uplink is not None}

    def has_port(self, port_id: str) -> bool:
        """Tell whether a lease holds the port. Quick, for it is asked of every port in the cloud that changes."""
        return bool(self._file.rows("SELECT 1 FROM lease WHERE port = ?", port_id))

    def lease_of_port(self, port_id: str) -> Lease | None:
        """Return the lease that holds a port."""
        return self._lease_where("port", port_id)

    def require_unleased(self, port_id: str) -> None:
        """Raise PortBusy when a lease holds the port."""
        if (holder := self.lease_of_port(port_id)) is not None:
            raise PortBusy(port_id, f"attachment {short_id(holder.attachment)} on this host")

    # Assignments

    def assign(self, device: PciAddress, parent: PciAddress | None, container: str) -> None:
        """Give a container a device for a program, without a port; raise DeviceBusy as ``add`` does.

        ``parent`` is the PF of a VF. What the container has already stays its own.
        """
        with self._file.transaction() as db:
            if self.assigned().get(device) != container:
                self._require_available(device, parent)
                row = str(device), None if parent is None else str(parent), container
                db.execute("INSERT INTO assignment VALUES (?, ?, ?)", row)

    def unassign(self, device: PciAddress, container: str) -> None:
        """Let a device be handed out again that a container had without a port; another's stays its own."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM assignment WHERE device = ? AND container = ?", (str(device), container))

    def assigned(self, parent: PciAddress | None = None) -> dict[PciAddress, str]:
        """Return the devices that containers have without a port, with their containers: all, or the VFs of a PF."""
        rows = self._file.rows("SELECT device, container, parent FROM assignment ORDER BY device")
        return {
            PciAddress.parse(device): container for device, container, of in rows if parent is None or str(parent) == of
        }

    # Baselines

    def baseline(self, device: PciAddress, boot_id: str) -> Baseline | None:
        """Return a VF's clean settings as recorded in this boot; VFs do not outlive a boot."""
        rows = self._file.rows("SELECT body FROM baseline WHERE device = ? AND boot_id = ?", str(device), boot_id)
        return _BASELINE.validate_json(rows[0][0]) if rows else None

    def record_baseline(self, device: PciAddress, boot_id: str, baseline: Baseline) -> None:
        """Record what clean means for a VF in this boot."""
        with self._file.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO baseline VALUES (?, ?, ?)",
                (str(device), boot_id, _dump(_BASELINE, baseline)),
            )

    def forget_baseline(self, device: PciAddress) -> None:
        """Forget what clean means for a VF that is no more: the next one at its address is another."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM baseline WHERE device = ?", (str(device),))

    # Quarantine

    def quarantine(self, device: PciAddress, reason: str, *, remains: Remains | None = None) -> None:
        """Keep a device from being handed out until it has been cleaned."""
        kind, boot_id = (None, None) if remains is None else (remains.kind.value, remains.boot_id)
        row = str(device), reason, kind, boot_id, _dump(_MARKS, frozenset() if remains is None else remains.marks)
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?)", row)

    def acquit(self, device: PciAddress) -> None:
        """Let a device be handed out again."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM quarantine WHERE device = ?", (str(device),))

    def quarantined(self) -> dict[PciAddress, str]:
        """Return the quarantined devices with the reason for each."""
        return {
            PciAddress.parse(device): why for device, why in self._file.rows("SELECT device, reason FROM quarantine")
        }

    def remains(self, device: PciAddress, boot_id: str) -> Remains | None:
        """Return what used a device when it was quarantined in this boot; nothing of another is left."""
        query = "SELECT remains, marks FROM quarantine WHERE device = ? AND boot_id = ?"
        for kind, marks in self._file.rows(query, str(device), boot_id):
            return Remains(kind=UserKind(kind), boot_id=boot_id, marks=_MARKS.validate_json(marks))
        return None

    # Debts

    def debts(self) -> tuple[DebtEntry, ...]:
        """Return what Neutron is owed, oldest first."""
        rows = self._file.rows("SELECT id, body, attempts, last_error FROM debt ORDER BY id")
        return tuple(
            DebtEntry(id=int(number), debt=_DEBT.validate_json(body), attempts=int(attempts), last_error=error)
            for number, body, attempts, error in rows
        )

    def paid(self, debt_id: int) -> None:
        """Strike out a debt."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM debt WHERE id = ?", (debt_id,))

    def not_paid(self, debt_id: int, error: str) -> None:
        """Note why a debt could not be paid yet."""
        with self._file.transaction() as db:
            db.execute("UPDATE debt SET attempts = attempts + 1, last_error = ? WHERE id = ?", (error, debt_id))

    def _require_available(self, device: PciAddress, parent: PciAddress | None) -> None:
        if (reason := self.quarantined().get(device)) is not None:
            raise DeviceBusy(device, f"quarantine ({reason})", "mooring tries again to clean it; name another device")
        holder = self.holder(device)
        if holder is None and parent is not None and parent != device:
            holder = self.holder(parent)
        elif holder is None:
            holder = next(iter(self.leased_from(device)), None)
        if holder is not None:
            raise DeviceBusy(device, *holder_words(holder))
        if container := self.assigned().get(device) or next(iter(self.assigned(parent=device).values()), None):
            raise DeviceBusy(device, container_words(container), "delete that container first, or name another device")

    def _lease_where(self, column: str, value: str) -> Lease | None:
        rows = self._file.rows(f"SELECT body FROM lease WHERE {column} = ?", value)  # noqa: S608 - our own column names
        return _LEASE.validate_json(rows[0][0]) if rows else None
