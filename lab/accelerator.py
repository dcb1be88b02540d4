"""Whether KVM really runs our kernel here, found out by booting it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.apt import QEMU
from lab.cache import content_key
from lab.image import BaseImage

TCG = "tcg,thread=multi"
KVM = "kvm"
# A usable KVM needs about one second.
PROBE_SECONDS = 10
PROBE_WORDS = "lab probe: the kernel runs"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def choose_accelerator(image: BaseImage, memory: Path, kvm: Path = Path("/dev/kvm")) -> str:
    """``kvm`` if a real boot under it succeeds, else TCG.

    A device node proves nothing: a nested KVM may exist and still not run a stock kernel. The answer is
    remembered in the file ``memory`` for this kernel, QEMU and boot of the machine.
    """
    if not kvm.exists():
        return TCG
    version = subprocess.run([QEMU, "--version"], capture_output=True, check=True).stdout
    key = content_key([image.directory.name, version, BOOT_ID.read_bytes()])
    if memory.exists():
        known_key, _, known = memory.read_text().partition(" ")
        if known_key == key:
            return known
    accelerator = KVM if _boots_under_kvm(image) else TCG
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(f"{key} {accelerator}")
    return accelerator


def _boots_under_kvm(image: BaseImage) -> bool:
    command = [
        *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"),
        *("-accel", KVM, "-machine", "q35", "-cpu", "host", "-smp", "2", "-m", "256"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs)),
        *("-append", "console=ttyS0 quiet panic=-1 rdinit=/probe"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and PROBE_WORDS in done.stdout
