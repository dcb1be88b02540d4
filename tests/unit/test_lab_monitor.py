"""A guest's monitor: what is said to QEMU, and what its answers mean."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from lab.errors import GuestError
from lab.monitor import open_monitor


class Qemu:
    """QEMU's end of the monitor, for one conversation: whether a reboot is one, its disks, and what it refuses."""

    def __init__(self, path: Path) -> None:
        self.reboot = "shutdown"
        self.resets: list[str] = []
        self.disks: list[str] = []
        self.refuses = ""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rw") as lines:
            self._say(lines, {"QMP": {}})
            for line in lines:
                asked = json.loads(line)
                for message in self._answer(asked["execute"], asked["arguments"]):
                    self._say(lines, message)

    def _say(self, lines: TextIO, message: dict[str, Any]) -> None:
        lines.write(json.dumps(message) + "\n")
        lines.flush()

    def _answer(self, command: str, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if command == self.refuses:
            yield {"error": {"class": "GenericError", "desc": "no such slot"}}
            return
        if command == "system_reset":
            self.resets.append(self.reboot)
            yield {"event": "NIC_RX_FILTER_CHANGED"}
            yield {"return": {}}
            yield {"event": "RESET"}
            return
        if command == "set-action":
            self.reboot = arguments["reboot"]
        if command == "device_add":
            self.disks.append(arguments["drive"])
        nodes = [{"node-name": disk} for disk in self.disks]
        yield {"return": nodes if command == "query-named-block-nodes" else {}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node1.qmp"


@pytest.fixture
def qemu(path: Path) -> Iterator[Qemu]:
    qemu = Qemu(path)
    yield qemu
    qemu.close()


def test_a_reboot_ends_the_guest_again_once_its_reset_is_over(qemu: Qemu, path: Path) -> None:
    with open_monitor("node1", path) as monitor:
        with monitor.reset():
            assert (qemu.resets, qemu.reboot) == (["reset"], "reset")
        assert qemu.reboot == "shutdown"


def test_a_guest_that_does_not_come_up_after_a_reset_is_ended_by_its_next_panic(qemu: Qemu, path: Path) -> None:
    with open_monitor("node1", path) as monitor:
        with pytest.raises(TimeoutError), monitor.reset():
            raise TimeoutError
        assert qemu.reboot == "shutdown"


def test_a_disk_that_is_plugged_in_twice_is_there_once(qemu: Qemu, path: Path) -> None:
    with open_monitor("node1", path) as monitor:
        for _ in range(2):
            monitor.plug_disk("neutron", Path("/agents.ext4"), bus="spare")
    assert qemu.disks == ["neutron"]


def test_a_refusal_names_the_guest_the_command_and_qemus_reason(qemu: Qemu, path: Path) -> None:
    qemu.refuses = "device_add"
    with (
        open_monitor("node1", path) as monitor,
        pytest.raises(GuestError, match="node1: QEMU refuses 'device_add': no such"),
    ):
        monitor.plug_disk("neutron", Path("/agents.ext4"), bus="spare")


def test_a_guest_that_does_not_run_has_no_monitor(path: Path) -> None:
    with pytest.raises(GuestError, match="does the guest run"), open_monitor("node1", path):
        pass


def test_a_monitor_may_lie_deeper_than_the_address_of_a_socket_is_long(tmp_path: Path) -> None:
    directory = tmp_path / ("a" * 120)
    directory.mkdir()
    with pytest.raises(GuestError, match="No such file"), open_monitor("node1", directory / "node1.qmp"):
        pass
