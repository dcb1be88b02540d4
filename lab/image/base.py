"""Building a base image, once per content of everything that goes into it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.apt import AptSource, archive_source, host_codename, machine_sources
from lab.cache import Cache, content_key, tree_parts
from lab.image.command import build_step
from lab.image.container import write_container_rootfs
from lab.image.initramfs import build_initramfs
from lab.image.kernel import extract_vmlinux, install_modules, unpack_kernel
from lab.image.prime import prime
from lab.image.release import GuestRelease
from lab.image.rootfs import bootstrap, furnish, keep_python

DISK_SIZE = "3G"  # sparse; the difference to the content is what a lab may write
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The files of one built base image."""

    directory: Path
    release: GuestRelease

    @property
    def disk(self) -> Path:
        """The root disk, ext4; never written, guests run on a snapshot."""
        return self.directory / "root.ext4"

    @property
    def kernel(self) -> Path:
        """The kernel, an ELF file with a PVH entry."""
        return self.directory / "vmlinux"

    @property
    def initramfs(self) -> Path:
        """The initial root file system."""
        return self.directory / "initramfs"

    @property
    def python_root(self) -> Path:
        """A directory to chroot to, with the guest's own Python and nothing else."""
        return self.directory / "python"


def base_image(release: GuestRelease, cache: Cache) -> BaseImage:
    """The base image of ``release``, built if it is not in the cache. Raises ImageError."""
    archive = archive_source(machine_sources(), host_codename())

    def build(directory: Path) -> None:
        _build(release, archive, directory)

    key = content_key([repr(release), DISK_SIZE, *tree_parts(HERE)])
    return BaseImage(cache.get(f"base-{release.codename}", key, build, keep=2), release)


def _build(release: GuestRelease, archive: AptSource, directory: Path) -> None:
    image = BaseImage(directory, release)
    rootfs, work = directory / "rootfs", directory / "work"
    work.mkdir()
    package = bootstrap(release, archive, rootfs, work)
    kernel = unpack_kernel(package, work / "kernel")
    extract_vmlinux(kernel.vmlinuz, image.kernel)
    modules = install_modules(kernel, rootfs)
    build_initramfs(rootfs, modules, image.initramfs)
    furnish(rootfs, release)
    write_container_rootfs(rootfs, rootfs / "opt/mooring/busybox.tar")
    keep_python(rootfs, image.python_root, release.python)
    # With a journal, a small one: a guest that is reset has to find what it had synced.
    options = ("-O", "^metadata_csum,^64bit", "-J", "size=16", "-m", "0")
    build_step(["mke2fs", "-q", "-t", "ext4", *options, "-d", rootfs, image.disk, DISK_SIZE])
    prime(image.kernel, image.initramfs, image.disk, work)
    shutil.rmtree(rootfs)
    shutil.rmtree(work)
