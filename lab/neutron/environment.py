"""The Python environments beside the lab and the databases made with them, cached by content."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.cache import Cache, content_key, tree_parts
from lab.errors import HostSetupError
from lab.neutron import config
from lab.neutron.accounts import ACCOUNTS, REGION
from lab.neutron.layout import Layout
from lab.neutron.packages import PACKAGES
from lab.packages import ensure_packages

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
CONSTRAINTS = HERE / "constraints.txt"
# neutron imports pyroute2 without declaring it; waitress serves both APIs.
SERVER_PACKAGES = ("neutron", "keystone", "pyroute2", "waitress")
# Pinned to 9.0.0, the last release with the `neutron` command that the SR-IOV guide uses.
CLI_PACKAGES = ("python-neutronclient",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What ``install`` leaves behind: two virtual environments and a directory of ready databases."""

    server: Path
    cli: Path
    databases: Path

    @property
    def python(self) -> Path:
        """The interpreter that has neutron and keystone."""
        return self.server / "bin" / "python"


def install() -> Environment:
    """Everything a cloud needs on this machine; quick when the cache has it.

    Raises HostSetupError when apt, pip or the making of a database fails.
    """
    ensure_packages(PACKAGES)
    with ThreadPoolExecutor() as pool:
        server = pool.submit(_environment, "neutron-server", SERVER_PACKAGES)
        cli = pool.submit(_environment, "neutron-cli", CLI_PACKAGES)
        databases = _databases(server.result())
        return Environment(server=server.result(), cli=cli.result(), databases=databases)


def _environment(kind: str, packages: tuple[str, ...]) -> Path:
    parts: list[str | bytes] = [CONSTRAINTS.read_bytes(), sys.version, sys.base_prefix, *packages]
    return Cache.default().get(kind, content_key(parts), lambda directory: _make_environment(directory, packages))


def _make_environment(directory: Path, packages: tuple[str, ...]) -> None:
    _run(sys.executable, "-m", "venv", str(directory))
    python = str(directory / "bin" / "python")
    # The first use makes the bytecode, and only of what is used.
    _run(python, "-m", "pip", "install", "-q", "--no-compile", "-c", str(CONSTRAINTS), *packages)


def _databases(server: Path) -> Path:
    parts = [server.name, *tree_parts(HERE)]
    return Cache.default().get("neutron-db", content_key(parts), lambda directory: _make_databases(directory, server))


def _make_databases(directory: Path, server: Path) -> None:
    layout = Layout(directory=directory)
    layout.make_directories()
    config.write_database_configs(layout)
    config.write_fernet_keys(layout)
    accounts = json.dumps([asdict(account) for account in ACCOUNTS.values()])
    endpoints = json.dumps(config.ENDPOINT_TEMPLATES)
    python = (str(server / "bin" / "python"), "-W", "ignore")
    with ThreadPoolExecutor() as pool:
        both = (
            pool.submit(_run, *python, str(PROGRAMS / "make_neutron_db.py"), *layout.neutron_config_arguments()),
            pool.submit(
                _run,
                *python,
                str(PROGRAMS / "make_keystone_db.py"),
                str(layout.keystone_conf),
                REGION,
                accounts,
                endpoints,
            ),
        )
        for done in both:
            done.result()
    shutil.rmtree(layout.etc)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shown = " ".join(command)[:300]
        raise HostSetupError(f"{shown} failed with code {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
