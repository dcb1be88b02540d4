"""QEMU's monitor: what happens to a guest's hardware from outside (QMP; QEMU, docs/interop/qmp-spec.rst)."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.errors import GuestError

ANSWER_SECONDS = 20
Message = dict[str, Any]


class Monitor:
    """One conversation with a guest's monitor. Every method raises GuestError when QEMU refuses or is gone."""

    def __init__(self, name: str, connection: socket.socket) -> None:
        self._name = name
        self._lines = connection.makefile("rw", encoding="utf-8")
        self._events: list[str] = []
        # The greeting says what QEMU this is; commands are heard after this one only.
        self._read()
        self.execute("qmp_capabilities")

    def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        """Run a command and return its answer."""
        try:
            self._lines.write(json.dumps({"execute": command, "arguments": arguments or {}}) + "\n")
            self._lines.flush()
        except OSError as exc:
            raise GuestError(f"{self._name}: QEMU does not hear {command!r}: {exc}") from exc
        while True:
            message = self._read()
            if "error" in message:
                raise GuestError(f"{self._name}: QEMU refuses {command!r}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]
            self._events.append(message.get("event", ""))

    def await_event(self, event: str) -> None:
        """Wait until QEMU has announced an event, in this conversation."""
        while event not in self._events:
            self._events.append(self._read().get("event", ""))

    @contextmanager
    def reset(self) -> Iterator[None]:
        """Restart the machine as its reset button does; the block begins with the machine, and is to see it up.

        The guests run with -no-reboot, so that a panic ends them. Within the block a reboot is one: the firmware,
        finding that it has run before, reboots once more by itself (SeaBIOS, src/resume.c).
        """
        self.execute("set-action", {"reboot": "reset"})
        try:
            self.execute("system_reset")
            self.await_event("RESET")
            yield
        finally:
            self.execute("set-action", {"reboot": "shutdown"})

    def plug_disk(self, name: str, file: Path, *, bus: str) -> None:
        """Plug a read-only raw disk into a free slot, unless it is there already."""
        nodes = self.execute("query-named-block-nodes", {"flat": True})
        if isinstance(nodes, list) and any(node["node-name"] == name for node in nodes):
            return
        backend = {"driver": "file", "filename": str(file), "read-only": True}
        self.execute("blockdev-add", {"driver": "raw", "node-name": name, "read-only": True, "file": backend})
        self.execute("device_add", {"driver": "virtio-blk-pci", "id": name, "drive": name, "bus": bus})

    def _read(self) -> Message:
        try:
            line = self._lines.readline()
        except OSError as exc:
            raise GuestError(f"{self._name}: no word from QEMU within {ANSWER_SECONDS} s: {exc}") from exc
        if not line:
            raise GuestError(f"{self._name}: QEMU has ended the conversation")
        message: Message = json.loads(line)
        return message


@contextmanager
def open_monitor(name: str, path: Path) -> Iterator[Monitor]:
    """Talk to the monitor at a socket; QEMU serves one conversation at a time. Raises GuestError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            # By its directory's descriptor: a full path may exceed the 107 bytes of unix(7).
            directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
            try:
                connection.connect(f"/proc/self/fd/{directory}/{path.name}")
            finally:
                os.close(directory)
        except OSError as exc:
            raise GuestError(f"{name}: no monitor at {path}: {exc.strerror}; does the guest run?") from exc
        yield Monitor(name, connection)
