"""The guests' kernel: unpacked rather than installed, with only the modules that a lab can use."""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import ImageError
from lab.image.command import build_step

# Below kernel/ of the module directory.
WANTED_MODULES = (
    "arch/x86/crypto/",
    "crypto/",
    "drivers/block/virtio_blk.ko",
    "drivers/char/hw_random/",
    "drivers/dca/",
    "drivers/i2c/algos/",
    "drivers/iommu/",
    "drivers/net/bonding/",
    "drivers/net/dummy.ko",
    "drivers/net/ethernet/intel/igb/",
    "drivers/net/ethernet/intel/igbvf/",
    "drivers/net/geneve.ko",
    "drivers/net/ifb.ko",
    "drivers/net/ipvlan/",
    "drivers/net/macvlan.ko",
    "drivers/net/macvtap.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/tap.ko",
    "drivers/net/tun.ko",
    "drivers/net/veth.ko",
    "drivers/net/virtio_net.ko",
    "drivers/net/vrf.ko",
    "drivers/net/vxlan/",
    "drivers/pps/",
    "drivers/ptp/",
    "drivers/vfio/",
    "drivers/vhost/",
    "drivers/virtio/",
    "fs/ext4/",
    "fs/fuse/",
    "fs/jbd2/",
    "fs/mbcache.ko",
    "fs/overlayfs/",
    "lib/",
    "net/8021q/",
    "net/802/",
    "net/bridge/",
    "net/core/",
    "net/ipv4/",
    "net/ipv6/",
    "net/llc/",
    "net/netfilter/",
    "net/nsh/",
    "net/openvswitch/",
    "net/packet/",
    "net/psample/",
    "net/sched/",
    "net/unix/",
    "net/xfrm/",
    "net/mpls/",
    "virt/lib/",
)
INDEX_FILES = ("modules.order", "modules.builtin", "modules.builtin.modinfo")
ZSTD_MAGIC = bytes.fromhex("28b52ffd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """An unpacked kernel package."""

    version: str
    vmlinuz: Path
    modules: Path


def unpack_kernel(package: Path, into: Path) -> Kernel:
    """Unpack a ``linux-image-*.deb`` without running its maintainer scripts."""
    build_step(["dpkg-deb", "--extract", package, into])
    vmlinuz = next((into / "boot").glob("vmlinuz-*"))
    version = vmlinuz.name.removeprefix("vmlinuz-")
    modules = next(path for path in (into / "usr/lib/modules", into / "lib/modules") if path.is_dir())
    return Kernel(version=version, vmlinuz=vmlinuz, modules=modules / version)


def install_modules(kernel: Kernel, rootfs: Path) -> Path:
    """Put the wanted modules into ``rootfs``, uncompressed, and index them; returns their directory.

    xz costs an emulated CPU seconds per boot, and this machine only once.
    """
    target = rootfs / "usr/lib/modules" / kernel.version
    target.mkdir(parents=True)
    for name in INDEX_FILES:
        shutil.copy(kernel.modules / name, target / name)
    for source, relative in _wanted(kernel.modules):
        file = target / relative
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_uncompressed(source))
    build_step(["chroot", rootfs, "depmod", kernel.version])
    return target


def extract_vmlinux(vmlinuz: Path, vmlinux: Path) -> None:
    """Write the ELF kernel inside a bzImage, which QEMU boots directly through its PVH entry.

    Spares an emulated CPU the real mode set-up and the decompression. Offsets: Linux,
    Documentation/arch/x86/boot.rst, the real-mode kernel header.
    """
    image = vmlinuz.read_bytes()
    setup_sectors = image[0x1F1] or 4
    payload_offset, payload_length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + payload_offset
    payload = image[start : start + payload_length]
    if not payload.startswith(ZSTD_MAGIC):
        raise ImageError(f"{vmlinuz.name} is not compressed with zstd, as Debian's kernels since 6.12 are")
    # The last four bytes are the uncompressed size, not a zstd frame.
    done = subprocess.run(["zstd", "-dc"], input=payload[:-4], capture_output=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"zstd cannot unpack {vmlinuz.name}: {done.stderr.decode(errors='replace')}")
    vmlinux.write_bytes(done.stdout)


def _wanted(modules: Path) -> Iterator[tuple[Path, str]]:
    for source in sorted((modules / "kernel").rglob("*.ko*")):
        relative = source.relative_to(modules)
        if str(relative.relative_to("kernel")).startswith(WANTED_MODULES):
            yield source, str(relative).removesuffix(".xz")


def _uncompressed(module: Path) -> bytes:
    data = module.read_bytes()
    return lzma.decompress(data) if module.suffix == ".xz" else data
