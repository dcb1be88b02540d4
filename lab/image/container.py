"""The container image of the lab: busybox, whose applets bring ip, ping, arping, nc and a shell."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lab.image.command import build_step


def write_container_rootfs(rootfs: Path, target: Path) -> None:
    """Write the tar that ``docker import`` makes the image from, with the busybox of ``rootfs``."""
    applets = build_step(["chroot", rootfs, "/bin/busybox", "--list"]).split()
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for directory in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
            (tree / directory).mkdir()
        busybox = tree / "bin/busybox"
        busybox.write_bytes((rootfs / "bin/busybox").read_bytes())
        busybox.chmod(0o755)
        for applet in applets:
            if applet != "busybox":
                (tree / "bin" / applet).symlink_to("busybox")
        (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (tree / "etc/group").write_text("root:x:0:\n")
        build_step(["tar", "--owner=0", "--group=0", "--mtime=@0", "-C", tree, "-cf", target, "."])
