"""Where everything of a cloud is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The files of one cloud (or of the cached databases), all under one directory."""

    directory: Path

    @property
    def etc(self) -> Path:
        """Configuration files, written at each start."""
        return self.directory / "etc"

    @property
    def state(self) -> Path:
        """Databases, keys and queues, made anew at each start."""
        return self.directory / "state"

    @property
    def log(self) -> Path:
        """One log file for each daemon; kept."""
        return self.directory / "log"

    @property
    def bin(self) -> Path:
        """Commands to be found on PATH."""
        return self.directory / "bin"

    @property
    def facts(self) -> Path:
        """The file of CloudFacts."""
        return self.directory / "facts.json"

    @property
    def keystone_conf(self) -> Path:
        """Keystone's only configuration file."""
        return self.etc / "keystone.conf"

    @property
    def keystone_db(self) -> Path:
        """Keystone's database."""
        return self.state / "keystone.sqlite"

    @property
    def neutron_db(self) -> Path:
        """Neutron's database."""
        return self.state / "neutron.sqlite"

    @property
    def fernet_keys(self) -> Path:
        """The keys of Keystone's tokens."""
        return self.state / "fernet"

    @property
    def broker(self) -> Path:
        """RabbitMQ's configuration, home and queues."""
        return self.state / "rabbitmq"

    def pid_file(self, daemon: str) -> Path:
        """Return where the pid of a daemon is kept."""
        return self.directory / "run" / f"{daemon}.pid"

    def log_file(self, daemon: str) -> Path:
        """Return where a daemon's output goes."""
        return self.log / f"{daemon}.log"

    def neutron_config_arguments(self) -> tuple[str, ...]:
        """The command line words that make a Neutron program read this cloud's files."""
        return ("--config-file", str(self.etc / "neutron.conf"), "--config-file", str(self.etc / "ml2_conf.ini"))

    def make_directories(self) -> None:
        """Make what is not there yet."""
        for path in (self.etc, self.state, self.log, self.bin, self.broker / "home", self.state / "lock"):
            path.mkdir(parents=True, exist_ok=True)
        self.fernet_keys.mkdir(mode=0o700, exist_ok=True)
