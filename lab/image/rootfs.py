"""The guests' root file system: Debian's packages, then the files of ``overlay``."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.apt import AptSource
from lab.errors import ImageError
from lab.image.command import build_step
from lab.image.release import GuestRelease

OVERLAY = Path(__file__).parent / "overlay"
# Over the former, what concerns one release only.
RELEASE_OVERLAYS = Path(__file__).parent / "overlays"
# Nothing here does a lab guest any good, and each costs an emulated CPU start-up time.
MASKED_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "kmod-static-nodes.service",
    "ldconfig.service",
    "modprobe@.service",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-binfmt.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-logind.service",
    "systemd-machine-id-commit.service",
    "systemd-modules-load.service",
    "keyboard-setup.service",
    "console-setup.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-fs-fuse-connections.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-network-generator.service",
    "systemd-networkd-wait-online.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "systemd-repart.service",
    "systemd-sysupdate.timer",
    "systemd-timesyncd.service",
    "systemd-tpm2-setup-early.service",
    "systemd-tpm2-setup.service",
    "systemd-update-done.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "systemd-user-sessions.service",
    "sshd-keygen.service",
)
ENABLED_UNITS = (
    "lab-management.service",
    "lab-vfs.service",
    "lab-carrier.service",
    *(f"lab-stage@{stage}.service" for stage in ("ssh", "lab-vfs", "docker", "lab-carrier")),
)
# Debian starts them with their packages; a lab's tests start Open vSwitch where they want it.
NOT_STARTED_UNITS = ("openvswitch-switch.service", "ovs-record-hostname.service", "uuidd.socket")
# What loads drivers, names interfaces and tells systemd of devices; udev reads all rules for every device.
UDEV_RULES = ("50-udev-default", "60-block", "73-special", "75-net", "80-drivers", "80-net", "81-net", "99-systemd")
UNITS = "etc/systemd/system"


def bootstrap(release: GuestRelease, archive: AptSource, rootfs: Path, work: Path) -> Path:
    """Install the release's packages into ``rootfs``; returns the kernel package, fetched into ``work``."""
    keyring = archive.signed_by
    command: list[str | Path] = ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"]
    if keyring is not None and keyring.startswith("/"):
        command.append(f"--keyring={keyring}")
    command += [
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{unused}/*" for unused in ("doc", "man", "locale", "info")),
        f"--include={','.join(release.packages)}",
        f"--customize-hook={_fetch_kernel_hook(release.kernel_suite, work)}",
        release.codename,
        rootfs,
        *(f"deb {archive.uri} {suite} main" for suite in release.suites),
    ]
    build_step(command)
    packages = list(work.glob("linux-image-*.deb"))
    if len(packages) != 1:
        raise ImageError(f"expected one kernel package from {release.kernel_suite}, found {packages}")
    return packages[0]


def furnish(rootfs: Path, release: GuestRelease) -> None:
    """Put the lab's own files into ``rootfs`` and leave only the units that a lab needs."""
    shutil.copytree(OVERLAY, rootfs, dirs_exist_ok=True, symlinks=True)
    shutil.copytree(RELEASE_OVERLAYS / release.codename, rootfs, dirs_exist_ok=True, symlinks=True)
    for wanted in (rootfs / UNITS).glob("*.*/*"):
        if wanted.name in NOT_STARTED_UNITS:
            wanted.unlink()
    for unit in MASKED_UNITS:
        _link(rootfs / UNITS / unit, "/dev/null")
    for unit in ENABLED_UNITS:
        template = f"{unit.partition('@')[0]}@.service" if "@" in unit else unit
        _link(rootfs / UNITS / "multi-user.target.wants" / unit, f"/{UNITS}/{template}")
    for program in (*(OVERLAY / "usr/local/bin").iterdir(), *(OVERLAY / "usr/local/lib/mooring-lab").iterdir()):
        (rootfs / program.relative_to(OVERLAY)).chmod(0o755)
    # The host's own resolver, copied by the bootstrap, has no meaning in the guest.
    (rootfs / "etc/resolv.conf").unlink(missing_ok=True)
    for key in (rootfs / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    _trim_start_up(rootfs)
    for directory in ("opt/mooring/lib", "opt/mooring/app", "opt/neutron"):
        (rootfs / directory).mkdir(parents=True)


def keep_python(rootfs: Path, target: Path, version: str) -> None:
    """Copy the guest's Python out of ``rootfs``, to byte-compile with it after the root is gone."""
    python = f"usr/bin/python{version}"
    libraries = [
        word
        for word in build_step(["chroot", rootfs, "ldd", f"/{python}"]).split()
        if word.startswith("/") and (rootfs / word[1:]).exists()
    ]
    for file in (python, *(library[1:] for library in libraries)):
        # The loader is an absolute link: followed from out here, it would lead to this machine's own.
        real = build_step(["chroot", rootfs, "realpath", f"/{file}"]).strip()
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(rootfs / real[1:], target / file)
    unused = shutil.ignore_patterns("test", "__pycache__", "config-*", "ensurepip", "idlelib")
    library = f"usr/lib/python{version}"
    shutil.copytree(rootfs / library, target / library, ignore=unused, symlinks=True)


def _fetch_kernel_hook(suite: str, work: Path) -> str:
    # The meta package names the kernel package of the day; only the latter holds the kernel.
    find = f"apt-cache show linux-image-amd64/{suite} | sed -n 's/^Depends: \\(linux-image-[^ ]*\\).*/\\1/p' | head -n1"
    return f'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; cd {work} && apt-get -q download "$({find})/{suite}"'


def _trim_start_up(rootfs: Path) -> None:
    rules = rootfs / "usr/lib/udev/rules.d"
    for file in rules.iterdir():
        if not file.name.startswith(UDEV_RULES):
            file.unlink()
    # sysctl.d has nothing for single interfaces; each of a guest's 16 would start a program for it.
    systemd_rules = rules / "99-systemd.rules"
    kept = [line for line in systemd_rules.read_text().splitlines() if "systemd-sysctl" not in line]
    systemd_rules.write_text("\n".join(kept) + "\n")
    # They look for what a lab guest has not: an fstab, encrypted disks, a console to log in at.
    for generator in (rootfs / "usr/lib/systemd/system-generators").iterdir():
        generator.unlink()
    (rootfs / "usr/lib/udev/hwdb.bin").unlink(missing_ok=True)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
