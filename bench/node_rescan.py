"""python -m bench.node_rescan: what a look at 1,024 VFs costs in processor time, on a synthetic host.

A sysfs tree of 16 cards with 64 VFs each, laid out as Linux lays it out, and the kernel's answers about their VFs'
settings. What the kernel itself takes for an answer, and for sysfs instead of files, is not in it.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from mooring.host.sysfs import Sysfs
from mooring.host.vf_info import parse_vf, vf_entries
from mooring.pci.address import PciAddress

CARDS, VFS = 16, 64
ROUNDS = 15
_OFFSET, _STRIDE = 128, 2
_OTHER_FILES = 45  # what else a PF's directory shows


@dataclass(frozen=True, slots=True, kw_only=True)
class RescanFigures:
    """Medians in milliseconds of processor time. A later rescan knows the settings that did not change.

    ``links`` is the floor: the links that tell of VFs, their drivers and interfaces, read and nothing made of them.
    """

    first_rescan: float
    rescan: float
    links: float
    decode_64_vfs: float


def measure() -> RescanFigures:
    """Measure on a host in a temporary directory."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for number in range(CARDS):
            plant_card(root, number)
        sysfs = Sysfs(root)
        messages = [vf_list(VFS, card) for card in range(CARDS)]
        assert sum(len(card.vfs) for card in sysfs.physical_functions()) == CARDS * VFS
        return RescanFigures(
            first_rescan=_milliseconds(lambda: rescan(sysfs, messages), before=parse_vf.cache_clear),
            rescan=_milliseconds(lambda: rescan(sysfs, messages)),
            links=_milliseconds(lambda: read_links(root)),
            decode_64_vfs=_milliseconds(lambda: decode(messages[0]), before=parse_vf.cache_clear),
        )


def rescan(sysfs: Sysfs, messages: Sequence[bytes]) -> None:
    """Do what a rescan does: all cards with their VFs, and each card's settings."""
    assert len(sysfs.physical_functions()) == len(messages)
    for message in messages:
        decode(message)


def read_links(root: Path) -> None:
    """Read three links for each VF."""
    interfaces, devices = root / "class/net", root / "bus/pci/devices"
    for name in os.listdir(interfaces):  # noqa: PTH208, as a rescan does it
        os.readlink(f"{interfaces}/{name}")  # noqa: PTH115
    for number in range(CARDS):
        path = f"{devices}/{PciAddress(0, 2 * number + 1, 0, 0)}"
        for index in range(VFS):
            os.readlink(f"{path}/virtfn{index}")  # noqa: PTH115
            os.readlink(f"{path}/virtfn{index}/driver")  # noqa: PTH115


def decode(message: bytes) -> None:
    """Decode the settings of a card's VFs."""
    assert {index: parse_vf(entry) for index, entry in vf_entries(message, 0).items()}


def plant_card(root: Path, number: int) -> None:
    """Make a card with its VFs below a sysfs root."""
    port = root / f"devices/pci0000:00/0000:00:{number:02x}.0"
    pf = PciAddress(0, 2 * number + 1, 0, 0)
    own = _plant_device(root, port, pf, "igb", f"enp{number}s0")
    shown = {"sriov_totalvfs": VFS, "sriov_numvfs": VFS, "sriov_offset": _OFFSET, "sriov_stride": _STRIDE}
    for name, value in {**shown, "sriov_vf_device": "10ca", **{f"file{n}": "" for n in range(_OTHER_FILES)}}.items():
        (own / name).write_text(f"{value}\n")
    for index in range(VFS):
        place = (pf.bus << 8) + _OFFSET + _STRIDE * index
        vf = PciAddress(0, place >> 8, place >> 3 & 0x1F, place & 7)
        (_plant_device(root, port, vf, "igbvf", f"v{number}x{index}") / "physfn").symlink_to(f"../{pf}")
        (own / f"virtfn{index}").symlink_to(f"../{vf}")


def _plant_device(root: Path, port: Path, address: PciAddress, driver: str, interface: str) -> Path:
    path = port / str(address)
    (path / "net" / interface).mkdir(parents=True)
    for name, value in {"class": "0x020000", "vendor": "0x8086", "device": "0x10c9", "numa_node": "-1"}.items():
        (path / name).write_text(f"{value}\n")
    devices = root / "bus/pci/devices"
    devices.mkdir(parents=True, exist_ok=True)
    (devices / str(address)).symlink_to(f"../../../{path.relative_to(root)}")
    interfaces = root / "class/net"
    interfaces.mkdir(parents=True, exist_ok=True)
    (interfaces / interface).symlink_to(f"../../{path.relative_to(root)}/net/{interface}")
    (path / "driver").symlink_to(f"../../../../bus/pci/drivers/{driver}")
    return path


def vf_list(vfs: int, card: int) -> bytes:
    """Encode a card's VFs as Linux does (net/core/rtnetlink.c, rtnl_fill_vfinfo); every VF has its own MAC."""
    entries = b"".join(_vf(index, card) for index in range(vfs))
    nested = struct.pack("=HH", (4 + len(entries)) & 0xFFFF, 22) + entries
    return _numbers(21, vfs) + nested


def _vf(index: int, card: int) -> bytes:
    vlan = struct.pack("=III", index, 100, 0) + b"\x81\x00" + bytes(2)
    settings = [
        _attribute(1, struct.pack("=I6B26x", index, 0xFA, 0x16, 0x3E, card, index >> 8, index & 0xFF)),
        _attribute(13, bytes(32)),
        *(_numbers(kind, index, *values) for kind, values in ((2, (100, 0)), (6, (0, 200)), (3, (200,)))),
        *(_numbers(kind, index, value) for kind, value in ((4, 1), (5, 0), (7, 0xFFFFFFFF), (9, 0))),
        _attribute(12, _attribute(1, vlan)),
    ]
    return _attribute(1, b"".join(settings))


def _numbers(kind: int, *values: int) -> bytes:
    return _attribute(kind, struct.pack(f"={len(values)}I", *values))


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _milliseconds(work: Callable[[], object], before: Callable[[], None] = lambda: None) -> float:
    taken = []
    for _ in range(ROUNDS):
        before()
        begun = time.process_time()
        work()
        taken.append((time.process_time() - begun) * 1000)
    return median(taken)


if __name__ == "__main__":
    for name, value in asdict(measure()).items():
        sys.stdout.write(f"{name:16} {value:8.3f} ms\n")
