from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from mooring.errors import KernelRefused, NotClean
from mooring.host import resizing
from mooring.host.resizing import CountFile, resize
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction

PF = PhysicalFunction(
    address=PciAddress.parse("0000:01:00.0"),
    vendor_id="8086",
    product_id="10c9",
    numa_node=None,
    netdev="enp1s0",
    driver="igb",
    total_vfs=64,
    vfs=(),
)


class Card:
    """A card that makes no more than ``possible`` VFs, and then fails with ``error`` or is silent."""

    def __init__(self, vfs: int, *, possible: int = 64, error: int = 0) -> None:
        self.vfs, self.possible, self.error = vfs, possible, error
        self.written: list[int] = []

    def read(self) -> int:
        return self.vfs

    def write(self, vfs: int) -> None:
        self.written.append(vfs)
        if vfs > self.possible and self.error:
            raise OSError(self.error, "refused")
        self.vfs = min(vfs, self.possible)


@pytest.mark.parametrize(
    ("before", "after", "written"), [(4, 4, []), (0, 4, [4]), (4, 0, [0]), (4, 8, [0, 8])], ids=str
)
def test_some_vfs_become_others_by_way_of_none(before: int, after: int, written: list[int]) -> None:
    card = Card(before)
    resize(card, PF, after)
    assert (card.vfs, card.written) == (after, written)


@pytest.mark.parametrize(
    ("error", "remedy"), [(errno.ENOMEM, "pci=realloc"), (errno.EBUSY, "try again"), (errno.EACCES, "needs root")]
)
def test_a_refusal_says_what_to_do(error: int, remedy: str) -> None:
    with pytest.raises(KernelRefused, match=remedy) as refusal:
        resize(Card(0, possible=4, error=error), PF, 8)
    assert refusal.value.errno == error


def test_a_refusal_says_that_the_former_vfs_are_gone() -> None:
    with pytest.raises(KernelRefused, match="making 8 VFs, after its 4 were removed"):
        resize(Card(4, possible=4, error=errno.ENOMEM), PF, 8)


def test_fewer_vfs_than_were_asked_for_are_told() -> None:
    with pytest.raises(NotClean, match="4 VFs after it was given 8"):
        resize(Card(0, possible=4), PF, 8)


def test_the_number_is_written_to_the_cards_file(tmp_path: Path) -> None:
    (tmp_path / "sriov_numvfs").write_text("0\n")
    resize(CountFile(tmp_path), PF, 3)
    assert CountFile(tmp_path).read() == 3


def test_a_write_that_does_not_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sriov_numvfs").write_text("4\n")
    ended = threading.Event()
    monkeypatch.setattr(Path, "write_text", lambda *_: ended.wait())
    monkeypatch.setattr(resizing, "_SECONDS_FOR_BATCH", 0.01)
    with pytest.raises(KernelRefused, match="the kernel is still at it") as refusal:
        resize(CountFile(tmp_path), PF, 0)
    assert refusal.value.errno == errno.ETIMEDOUT
    ended.set()
