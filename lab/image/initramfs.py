"""The guests' own initramfs: busybox, the modules that reach the root disk, and two scripts.

``/init`` mounts the disks, unpacks the tar drives over the root and starts systemd; ``/probe`` only says
that it runs (see ``lab.accelerator``).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from lab.image.command import build_step

SCRIPTS = Path(__file__).parent / "initramfs"
ROOT_MODULES = ("virtio_blk", "ext4", "crc32c_generic")


def build_initramfs(rootfs: Path, modules: Path, target: Path) -> None:
    """Write the initramfs for the kernel whose modules are in ``rootfs`` at ``modules``."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for directory in ("bin", "dev", "proc", "sys", "root", "modules"):
            (tree / directory).mkdir()
        shutil.copy(rootfs / "bin/busybox", tree / "bin/busybox")
        (tree / "bin/sh").symlink_to("busybox")
        for script in SCRIPTS.iterdir():
            shutil.copy(script, tree / script.name)
            (tree / script.name).chmod(0o755)
        for number, module in enumerate(load_order((modules / "modules.dep").read_text(), ROOT_MODULES)):
            # Numbered, so that the shell's glob is the load order.
            shutil.copy(modules / module, tree / "modules" / f"{number:02}-{Path(module).name}")
        listing = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        build_step(["sh", "-c", f"cd {tree} && cpio --quiet -o -H newc -O {target.absolute()}"], stdin=listing.encode())


def load_order(modules_dep: str, wanted: tuple[str, ...]) -> list[str]:
    """Paths of the wanted modules and all they need, each after what it needs (modules.dep(5)).

    A wanted module that the kernel has built in is left out.
    """
    lines = (line.partition(":") for line in modules_dep.splitlines())
    needs = {path: needed.split() for path, _, needed in lines}
    by_name = {Path(path).name.partition(".")[0]: path for path in needs}
    order: list[str] = []
    for name in wanted:
        path = by_name.get(name)
        if path is not None:
            # depmod lists what a module needs in reverse load order.
            order += [module for module in (*reversed(needs[path]), path) if module not in order]
    return order
