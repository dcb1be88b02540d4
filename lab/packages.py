"""Debian packages on this machine: installed by its own apt, and nothing of them left running."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import HostSetupError

APT_GET = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3")
POLICY = Path("/usr/sbin/policy-rc.d")
NOTHING_STARTS = "#!/bin/sh\nexit 101\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPackage:
    """A package that is needed on this machine.

    ``file`` is one that it brings: where that is present there is nothing to install. ``units`` are what Debian enables
    with it, to start at the next boot.
    """

    name: str
    file: str
    units: tuple[str, ...] = ()


def ensure_packages(packages: Iterable[HostPackage]) -> None:
    """Install what is missing, and leave nothing of it running, now or after a reboot.

    Without any apt call when all of it is there; what is installed is not upgraded. Raises HostSetupError if apt fails.
    """
    missing = [package for package in packages if not Path(package.file).exists()]
    if not missing:
        return
    names = [package.name for package in missing]
    try:
        install(*names)
    except HostSetupError:
        # The lists may be older than what the archive has now, or not there at all.
        apt_get("update")
        install(*names)
    units = [unit for package in missing for unit in package.units]
    if units and shutil.which("systemctl"):
        subprocess.run(["systemctl", "disable", *units], capture_output=True, check=False)


def install(*arguments: str) -> None:
    """Install packages as apt-get is told, but start none of their services. Raises HostSetupError."""
    with _no_service_starts():
        apt_get("install", "-y", "--no-install-recommends", *arguments)


def apt_get(*arguments: str) -> None:
    """Run apt-get; raise HostSetupError with the end of its error output."""
    command = [*APT_GET, *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except FileNotFoundError as exc:
        raise HostSetupError(f"there is no {command[0]} here: the lab needs a Debian 12 or 13 host") from exc
    if done.returncode != 0:
        raise HostSetupError(f"{shlex.join(command)} failed with code {done.returncode}\n{done.stderr[-2000:]}")


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """Forbid maintainer scripts to start services, by policy-rc.d(8); an existing policy is put back after."""
    before = POLICY.read_text() if POLICY.exists() else None
    if before == NOTHING_STARTS:
        yield
        return
    mode = POLICY.stat().st_mode if before is not None else 0
    POLICY.write_text(NOTHING_STARTS)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            POLICY.unlink()
        else:
            POLICY.write_text(before)
            POLICY.chmod(mode)
