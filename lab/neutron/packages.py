"""RabbitMQ from the machine's own apt, installed without being started."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.apt import APT_GET
from lab.errors import HostSetupError

# package -> a file it brings; a present file means that there is nothing to install
PACKAGES = {
    "rabbitmq-server": "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "erlang-base": "/usr/bin/epmd",
}
# What Debian enables with them: at the next boot they would listen on every address of the machine.
UNITS = {
    "rabbitmq-server": ("rabbitmq-server.service",),
    "erlang-base": ("epmd.service", "epmd.socket"),
}
POLICY = Path("/usr/sbin/policy-rc.d")
NOTHING_STARTS = "#!/bin/sh\nexit 101\n"


def ensure_packages() -> None:
    """Install what is missing, and leave nothing of it running, now or after a reboot.

    Raises HostSetupError if apt fails.
    """
    missing = [package for package, file in PACKAGES.items() if not Path(file).exists()]
    # Debian's Python cannot make environments until this package is there.
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    if not missing:
        return
    with _no_service_starts():
        failure = _install(missing)
        if failure:
            _apt("update")
            failure = _install(missing)
    if failure:
        raise HostSetupError(f"apt-get install {' '.join(missing)} failed\n{failure}")
    units = [unit for package in missing for unit in UNITS.get(package, ())]
    if units and shutil.which("systemctl"):
        subprocess.run(["systemctl", "disable", *units], capture_output=True, check=False)


def _install(packages: list[str]) -> str:
    return _apt("install", "-y", "--no-install-recommends", *packages)


def _apt(*arguments: str) -> str:
    """Run apt-get; the end of its error output, empty if it succeeded."""
    done = subprocess.run(
        [*APT_GET, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    return "" if done.returncode == 0 else f"code {done.returncode}\n{done.stderr[-2000:]}"


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
