"""What the kernel tells of the host around the cards: modules, file systems, sockets, programs.

``root`` is the directory in which /proc, /sys and /lib are looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ACCEPTS: Final = 0x10000  # __SO_ACCEPTCON, include/uapi/linux/net.h
_COLUMNS: Final = 8  # of /proc/net/unix; sockets without a path have one less


def has_iommu(root: Path) -> bool:
    """Tell whether the host has an IOMMU, and it is on."""
    groups = root / "sys/kernel/iommu_groups"
    return groups.is_dir() and any(groups.iterdir())


def is_driver_loaded(root: Path, driver: str) -> bool:
    """Tell whether the kernel has a driver of PCI devices by now."""
    return (root / "sys/bus/pci/drivers" / driver).is_dir()


def has_module(root: Path, module: str, release: str) -> bool:
    """Tell whether a kernel release has a module, loadable or built in (modules.dep(5))."""
    lists = (root / "lib/modules" / release / name for name in ("modules.dep", "modules.builtin"))
    return any(f"/{module}.ko" in file.read_text() for file in lists if file.is_file())


def runs(root: Path, *names: str) -> bool:
    """Tell whether a program of one of these names runs, be it a script of an interpreter's."""
    return any(Path(word).name in names for words in _commands(root) for word in words[:3])


def listening_sockets(root: Path) -> Iterator[Path]:
    """Yield the paths of listening unix sockets (proc(5), /proc/net/unix)."""
    for line in (root / "proc/net/unix").read_text().splitlines()[1:]:
        columns = line.split(maxsplit=_COLUMNS - 1)
        if len(columns) == _COLUMNS and int(columns[3], 16) & _ACCEPTS:
            yield Path(columns[7])


def filesystem_of(root: Path, path: Path) -> str:
    """Return the type of the file system that a path is on (proc(5), /proc/self/mountinfo)."""
    kind, longest = "unknown", -1
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4])
        if path.resolve().is_relative_to(mount) and len(mount.parts) >= longest:
            kind, longest = after.split()[0], len(mount.parts)
    return kind


def _commands(root: Path) -> Iterator[tuple[str, ...]]:
    for file in (root / "proc").glob("[0-9]*/cmdline"):
        try:
            yield tuple(file.read_bytes().decode(errors="replace").split("\0"))
        except OSError:  # it has ended meanwhile
            continue
