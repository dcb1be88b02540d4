"""A cluster in a database: many hosts with two cards of 32 VFs each, as if each had reported once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, create_engine, text

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
_TAKE_ALL_BUT = """
UPDATE devices SET state = 'held' WHERE container IS NULL AND id NOT IN
(SELECT id FROM devices WHERE container IS NULL ORDER BY address, host LIMIT :count)
"""


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
    engine = create_engine(url)
    with engine.connect() as db:
        rows = set(_claimed(db))
    engine.dispose()
    return rows


def _claimed(db: Connection) -> list[int]:
    return list(db.execute(text("SELECT id FROM devices WHERE container IS NOT NULL")).scalars())


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
