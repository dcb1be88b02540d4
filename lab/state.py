"""What is known about a lab: where its files are, and ``lab.json``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

PROJECT = Path(__file__).resolve().parent.parent


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PfState(_Frozen):
    """One physical function of a guest."""

    physical_network: str
    mac: str
    address: str
    name: str


class NodeState(_Frozen):
    """One guest."""

    name: str
    ssh_port: int
    pfs: tuple[PfState, ...]


class LabState(_Frozen):
    """A lab that was started; the content of ``lab.json``."""

    guest_release: str
    accelerator: str
    neutron: bool
    nodes: tuple[NodeState, ...]


@dataclass(frozen=True, slots=True)
class LabPaths:
    """The files of one lab, all below its directory."""

    directory: Path

    @classmethod
    def default(cls) -> LabPaths:
        """``MOORING_LAB_DIR``, or ``build/lab`` of the checkout."""
        return cls(Path(os.environ.get("MOORING_LAB_DIR") or PROJECT / "build" / "lab").absolute())

    @property
    def run(self) -> Path:
        """Pid files, sockets, keys."""
        return self.directory / "run"

    @property
    def log(self) -> Path:
        """Logs and consoles; kept after the lab ends."""
        return self.directory / "log"

    @property
    def state(self) -> Path:
        """The lab's state."""
        return self.directory / "lab.json"

    @property
    def client_key(self) -> Path:
        """The key that opens the guests."""
        return self.run / "client_key"

    @property
    def host_key(self) -> Path:
        """The key by which the guests are known."""
        return self.run / "host_key"

    @property
    def known_hosts(self) -> Path:
        """The guests as ssh knows them."""
        return self.run / "known_hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestDisks:
    """What the guests of a lab boot from."""

    kernel: Path
    initramfs: Path
    root: Path
    libraries: Path
    application: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command in a guest ended."""

    command: str
    code: int
    stdout: str
    stderr: str
