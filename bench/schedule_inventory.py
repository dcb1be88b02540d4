"""A cluster in a database: many hosts with two cards of 32 VFs each, as if each had reported once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, create_engine, text

from mooring.db.store import SqlStore
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind
from mooring.rpc.messages import DeviceReport, HostFacts

CARDS, VFS = 2, 32
PHYSICAL_NETWORK = "physnet1"
FACTS = HostFacts(
    cpus=64,
    memory_mib=262144,
    disk_gib=2000,
    architecture="x86_64",
    os_type="linux",
    os="Debian 12",
    kernel_version="6.1",
)

# Reports of 10,000 hosts would take minutes and be measured by nobody: the first one is copied.
_COPY_HOST = """
INSERT INTO hosts (uuid, name, facts, boot_id, seen_at, created_at, updated_at, report_count, disabled, forced_down)
SELECT gen_random_uuid(), 'host-' || number, facts, boot_id, seen_at, created_at, updated_at, 1, FALSE, FALSE
FROM hosts, generate_series(2, :hosts) AS number
"""
_COPY_DEVICES = """
INSERT INTO devices
(host, address, kind, vendor_id, product_id, parent, numa_node, physical_network, trusted, label, state, detail)
SELECT hosts.id,
       address, kind, vendor_id, product_id, parent, numa_node, physical_network, trusted, label, state, detail
FROM devices, hosts WHERE hosts.id <> devices.host
"""
_FREE_ANYWHERE = """
SELECT devices.id, hosts.name FROM devices JOIN hosts ON hosts.id = devices.host
WHERE container IS NULL AND state = 'free' ORDER BY random() LIMIT :count
"""
# Those that stay.
_PROCESSES = """
SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
"""
_TAKE_ALL_BUT = """
UPDATE devices SET state = 'held' WHERE container IS NULL AND id NOT IN
(SELECT id FROM devices WHERE container IS NULL ORDER BY address, host LIMIT :count)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeDevice:
    """A device that nobody has, by its row, and the name of its host."""

    row: int
    host: str


def fill(store: SqlStore, url: str, *, hosts: int, now: datetime) -> None:
    """Make hosts with free VFs."""
    store.note_host("host-1", boot_id="boot", facts=FACTS, devices=_devices(), now=now)
    engine = create_engine(url)
    with engine.begin() as db:
        db.execute(text(_COPY_HOST), {"hosts": hosts})
        db.execute(text(_COPY_DEVICES))
    _tidy(engine)


def leave_free(url: str, count: int) -> None:
    """Have all VFs but so many taken by somebody else."""
    engine = create_engine(url)
    with engine.begin() as db:
        db.execute(text(_TAKE_ALL_BUT), {"count": count})
    _tidy(engine)


def claimed(url: str) -> set[int]:
    """Return the rows of all devices that containers have."""
    return {row.id for row in _ask(url, "SELECT id FROM devices WHERE container IS NOT NULL")}


def free_devices(url: str, count: int) -> Sequence[FreeDevice]:
    """Return devices that nobody has, anywhere in the cluster."""
    return [FreeDevice(row=row.id, host=row.name) for row in _ask(url, _FREE_ANYWHERE, count=count)]


def server_processes(url: str) -> Mapping[int, float]:
    """Return the seconds of processor time that each process of a server on this machine has taken so far."""
    pids = [row.pid for row in _ask(url, _PROCESSES)]
    # Nanoseconds on a processor, nanoseconds waiting for one, turns (Linux, Documentation/scheduler/sched-stats.rst).
    return {pid: int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 for pid in pids}


def _ask(url: str, question: str, **values: object) -> Sequence[Row[*tuple[Any, ...]]]:
    engine = create_engine(url)
    with engine.connect() as db:
        rows = db.execute(text(question), values).all()
    engine.dispose()
    return rows


def _tidy(engine: Engine) -> None:
    """Do what PostgreSQL does by itself some time after a table was filled."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _devices() -> list[DeviceReport]:
    cards = [PciAddress(0, 0x3B + 0x10 * number, 0, 0) for number in range(CARDS)]
    return [
        DeviceReport(
            address=PciAddress(card.domain, card.bus, 2 + index // 8, index % 8),
            kind=DeviceKind.VF,
            vendor_id="8086",
            product_id="154c",
            parent=card,
            numa_node=number,
            physical_network=PHYSICAL_NETWORK,
        )
        for number, card in enumerate(cards)
        for index in range(VFS)
    ]
