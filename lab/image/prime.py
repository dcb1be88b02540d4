"""The first boot of a base image, while it is built: Docker makes its files and imports the container image."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.apt import QEMU
from lab.errors import ImageError

PRIME_SECONDS = 180
PRIMED = "primed"


def prime(kernel: Path, initramfs: Path, disk: Path, work: Path) -> None:
    """Boot ``disk`` once, for good, into lab-prime.service. Raises ImageError with the console's end."""
    console, stages = work / "prime-console", work / "prime-stages"
    command = [
        *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", "2", "-m", "1024"),
        *("-serial", f"file:{console}", "-serial", f"file:{stages}", "-device", "virtio-rng-pci"),
        *("-drive", f"file={disk},if=virtio,format=raw,cache=unsafe"),
        *("-kernel", str(kernel), "-initrd", str(initramfs)),
        *("-append", "console=ttyS0 quiet panic=-1 apparmor=0 systemd.show_status=0 systemd.unit=lab-prime.service"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PRIME_SECONDS, check=False)
        words = done.stderr
    except subprocess.TimeoutExpired:
        words = f"no end after {PRIME_SECONDS} s"
    if PRIMED not in stages.read_text(errors="replace"):
        tail = console.read_text(errors="replace")[-2000:]
        raise ImageError(f"the first boot of the guest image failed: {words}\n{tail}")
