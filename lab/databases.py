"""Database servers of one's own: each with its data in one folder and on a Unix socket there, ended with the block."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.errors import NotReadyError
from lab.packages import HostPackage, ensure_packages

POSTGRESQL = HostPackage(name="postgresql", file="/usr/bin/pg_createcluster", units=("postgresql.service",))
MARIADB = HostPackage(name="mariadb-server", file="/usr/sbin/mariadbd", units=("mariadb.service",))

_READY_S = 60.0


@contextmanager
def postgresql(*settings: str) -> Iterator[str]:
    """Yield the URL of an empty database of a new PostgreSQL; ``settings`` are ``name=value``. Needs root."""
    ensure_packages([POSTGRESQL])
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    with _folder("postgres") as home:
        data = home / "data"
        initdb = [programs / "initdb", "-D", data, "-U", "mooring", "-A", "trust", "-E", "UTF8", "--no-sync"]
        _run("postgres", home, [*map(str, initdb), "--locale=C.UTF-8"])
        options = [word for setting in settings for word in ("-c", setting)]
        server = [str(programs / "postgres"), "-D", str(data), "-k", str(home), "-c", "listen_addresses=", *options]
        client = ["-h", str(home), "-U", "mooring"]
        with _running("postgres", home, server, probe=[str(programs / "pg_isready"), *client]):
            # As most have it, names are not in the order of their bytes.
            collation = ["--template=template0", "--locale-provider=icu", "--icu-locale=en-US"]
            _run("postgres", home, [str(programs / "createdb"), *client, *collation, "mooring"])
            yield f"postgresql+psycopg://mooring@/mooring?host={home}"


@contextmanager
def mariadb(*settings: str) -> Iterator[str]:
    """Yield the URL of an empty database of a new MariaDB; ``settings`` are ``name=value``. Needs root."""
    ensure_packages([MARIADB])
    with _folder("mysql") as home:
        data, socket = home / "data", home / "socket"
        _run(
            "mysql",
            home,
            [
                *("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db"),
                "--auth-root-authentication-method=normal",
            ],
        )
        options = [f"--{setting}" for setting in settings]
        server = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--skip-networking", *options]
        client = ["--no-defaults", f"--socket={socket}", "-u", "root"]
        with _running("mysql", home, server, probe=["mariadb-admin", *client, "ping"]):
            _run("mysql", home, ["mariadb", *client, "-e", "CREATE DATABASE mooring"])
            yield f"mysql+pymysql://root@localhost/mooring?unix_socket={socket}"


@contextmanager
def _folder(user: str) -> Iterator[Path]:
    # Short, for the path of a Unix socket has 107 characters at most.
    home = Path(tempfile.mkdtemp(prefix="mooring-"))
    try:
        shutil.chown(home, user)
        yield home
    finally:
        shutil.rmtree(home)


@contextmanager
def _running(user: str, home: Path, command: Sequence[str], *, probe: Sequence[str]) -> Iterator[None]:
    log = home / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, user=user, group=user, cwd=home, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + _READY_S
        while subprocess.run(probe, capture_output=True, check=False).returncode:
            if server.poll() is not None or time.monotonic() > deadline:
                raise NotReadyError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        # PostgreSQL waits for nobody then, nor does MariaDB.
        server.send_signal(signal.SIGINT if user == "postgres" else signal.SIGTERM)
        server.wait()


def _run(user: str, home: Path, command: Sequence[str]) -> None:
    done = subprocess.run(command, user=user, group=user, cwd=home, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotReadyError(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
