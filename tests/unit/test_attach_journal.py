"""The journal: what it promises after a call has returned, also to the next process."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import VF, a_lease
from pydantic import TypeAdapter

from mooring.attach.journal import Debt, DebtKind, Journal, Remains
from mooring.attach.types import Baseline, Lease, LeaseStep
from mooring.errors import DeviceBusy, PortBusy, StateFileUnusable
from mooring.host.kernel import DeviceUser, UserKind, VfSettings
from mooring.pci.address import PciAddress

_FIRST_FORM = """
CREATE TABLE lease (
    id TEXT PRIMARY KEY, attachment TEXT NOT NULL UNIQUE, device TEXT NOT NULL UNIQUE, port TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
);
"""
OTHER_VF = PciAddress.parse("0000:01:10.2")


def another_lease(**changes: object) -> Lease:
    given = {
        "id": "lease-2",
        "attachment": "endpoint-2",
        "device": OTHER_VF,
        "port": replace(a_lease().port, id="port-2"),
    }
    return a_lease(**{**given, **changes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "node.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def test_what_was_written_is_there_for_the_next_process(journal: Journal, path: Path) -> None:
    journal.add(a_lease())
    journal.save(a_lease(step=LeaseStep.READY, wanted=VfSettings(mac="fa:16:3e:00:00:01", vlan=100)))

    second = Journal(path)

    assert second.leases() == (a_lease(step=LeaseStep.READY, wanted=VfSettings(mac="fa:16:3e:00:00:01", vlan=100)),)
    second.close()


def test_a_pf_and_its_vfs_exclude_each_other(journal: Journal) -> None:
    pf = a_lease().parent
    journal.add(a_lease())
    with pytest.raises(DeviceBusy, match=r"0000:01:00\.0 is in use by attachment endpoint-1"):
        journal.add(another_lease(device=pf))
    journal.end(a_lease(), owed=None, quarantine=None)

    journal.add(another_lease(device=pf))
    with pytest.raises(DeviceBusy, match=r"0000:01:10\.0 is in use by attachment endpoint-2"):
        journal.add(a_lease())


def test_a_device_is_taken_from_the_container_that_has_it_only(journal: Journal) -> None:
    journal.assign(VF, None, "container-2")

    journal.unassign(VF, "container-1")
    assert journal.assigned() == {VF: "container-2"}
    journal.unassign(VF, "container-2")

    assert journal.assigned() == {}


def test_leases_without_a_device_do_not_exclude_each_other(journal: Journal) -> None:
    journal.add(a_lease(device=None, parent=None))
    journal.add(another_lease(device=None, parent=None))

    assert [lease.device for lease in journal.leases()] == [None, None]


def test_a_journal_of_the_first_form_is_read_and_brought_up_to_date(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(_FIRST_FORM)
        body = json.loads(TypeAdapter(Lease).dump_json(a_lease()))
        db.execute(
            "INSERT INTO lease VALUES ('lease-1', 'endpoint-1', ?, 'port-1', ?)",
            (str(VF), json.dumps({**body, "pci_vendor_info": "8086:10ca"})),
        )

    journal = Journal(path)

    assert journal.holder(VF) == a_lease()
    journal.add(another_lease(device=None, parent=None))
    journal.close()


def test_what_was_left_on_a_vf_is_known_by_its_kind_in_a_journal_of_the_sixth_form(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.quarantine(VF, "the VLAN stayed at 100", remains=Remains(kind=UserKind.HOST, boot_id="boot-1"))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("ALTER TABLE quarantine DROP COLUMN marks")
        db.execute("PRAGMA user_version=6")

    with closing(Journal(path)) as journal:
        remains = journal.remains(VF, "boot-1")

    assert remains is not None
    assert remains.include(DeviceUser(kind=UserKind.HOST, words="the host", marks=frozenset({"192.0.2.7"})))
    assert not remains.include(DeviceUser(kind=UserKind.DRIVER, words="driver vfio-pci"))


def test_a_journal_of_a_newer_mooring_is_refused(path: Path) -> None:
    Journal(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version=99")

    with pytest.raises(StateFileUnusable, match="a newer mooring wrote it"):
        Journal(path)


def test_a_vf_is_in_one_lease_only(journal: Journal) -> None:
    journal.add(a_lease())

    with pytest.raises(DeviceBusy, match=r"0000:01:10\.0 is in use by attachment endpoint-1"):
        journal.add(another_lease(device=VF))

    assert [lease.id for lease in journal.leases()] == ["lease-1"]


def test_a_port_is_in_one_lease_only(journal: Journal) -> None:
    journal.add(a_lease())

    with pytest.raises(PortBusy, match="port-1 is in use by attachment endpoint-1"):
        journal.add(another_lease(port=a_lease().port))


def test_ending_a_lease_frees_its_vf_and_port_and_notes_the_debt_and_the_quarantine(journal: Journal) -> None:
    lease = a_lease()
    journal.add(lease)
    owed = Debt(kind=DebtKind.UNBIND, port=lease.port, former=lease.former)

    debt_id = journal.end(lease, owed=owed, quarantine="the VLAN stayed at 100")

    assert journal.find("endpoint-1") is None
    assert [(entry.id, entry.debt) for entry in journal.debts()] == [(debt_id, owed)]
    assert journal.quarantined() == {VF: "the VLAN stayed at 100"}
    with pytest.raises(DeviceBusy, match="quarantine"):
        journal.add(another_lease(device=VF, port=lease.port))
    journal.acquit(VF)
    journal.add(another_lease(device=VF, port=lease.port))


def test_a_late_save_does_not_bring_an_ended_lease_back(journal: Journal) -> None:
    lease = a_lease()
    journal.add(lease)
    journal.end(lease, owed=None, quarantine=None)

    journal.save(replace(lease, step=LeaseStep.READY))

    assert journal.leases() == ()


def test_a_late_word_about_a_port_does_not_touch_the_next_lease(journal: Journal) -> None:
    old = a_lease(step=LeaseStep.READY)
    journal.add(old)
    journal.end(old, owed=None, quarantine=None)
    new = a_lease(id="lease-9", step=LeaseStep.READY)
    journal.add(new)

    journal.note_port(old, replace(old.port, status="ACTIVE"))

    assert journal.find("endpoint-1") == new


def test_a_late_word_about_a_port_does_not_wake_a_lease_that_is_being_released(journal: Journal) -> None:
    ready = a_lease(step=LeaseStep.READY)
    journal.add(ready)
    journal.save(replace(ready, step=LeaseStep.RELEASING))

    journal.note_port(ready, replace(ready.port, status="ACTIVE"))

    assert journal.leases()[0].step is LeaseStep.RELEASING


def test_a_new_lease_strikes_out_the_debt_that_it_makes_void(journal: Journal) -> None:
    lease = a_lease()
    journal.add(lease)
    journal.end(lease, owed=Debt(kind=DebtKind.UNBIND, port=lease.port, former=lease.port), quarantine=None)
    (entry,) = journal.debts()

    journal.add(another_lease(port=lease.port), settles=entry)

    assert journal.debts() == ()


def test_a_refused_lease_keeps_the_debt(journal: Journal) -> None:
    ended = another_lease()
    journal.add(ended)
    journal.end(ended, owed=Debt(kind=DebtKind.UNBIND, port=ended.port, former=ended.port), quarantine=None)
    (entry,) = journal.debts()
    journal.add(a_lease())

    with pytest.raises(DeviceBusy):
        journal.add(another_lease(device=VF), settles=entry)

    assert journal.debts() == (entry,)


def test_a_baseline_is_history_after_a_reboot(journal: Journal) -> None:
    baseline = Baseline(settings=VfSettings(mac="06:00:00:00:00:01"), first_mac="06:00:00:00:00:02")
    journal.record_baseline(VF, "boot-1", baseline)

    assert journal.baseline(VF, "boot-1") == baseline
    assert journal.baseline(VF, "boot-2") is None


def test_a_failed_payment_is_remembered_with_its_reason(journal: Journal) -> None:
    lease = a_lease()
    journal.add(lease)
    journal.end(lease, owed=Debt(kind=DebtKind.DELETE, port=lease.port, former=lease.port), quarantine=None)
    (entry,) = journal.debts()

    journal.not_paid(entry.id, "Neutron did not answer")
    journal.not_paid(entry.id, "Neutron answered 503")

    assert [(e.attempts, e.last_error) for e in journal.debts()] == [(2, "Neutron answered 503")]
    journal.paid(entry.id)
    assert journal.debts() == ()
