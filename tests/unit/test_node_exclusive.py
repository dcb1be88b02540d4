"""One process at a time changes a host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.errors import InvalidConfiguration, StateFileUnusable
from mooring.node.exclusive import exclusive, try_exclusive

HOLD = """
import sys
from pathlib import Path
from mooring.node.exclusive import exclusive

with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_daemon_is_told_which_process_has_the_host(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(InvalidConfiguration, match=rf"process {os.getpid()} has this host"):
        exclusive(tmp_path, patience_s=0)


def test_a_daemon_waits_for_an_operators_command_to_end_and_says_for_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = exclusive(tmp_path)
    told = []

    class Log:
        def warning(self, event: str, *, process: str, **_: object) -> None:
            told.append((event, process))
            command.close()

    monkeypatch.setattr("mooring.node.exclusive.log", Log())
    exclusive(tmp_path).close()

    assert told == [("host.taken", str(os.getpid()))]


def test_a_verb_finds_the_host_taken_or_free(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    held = try_exclusive(state_dir)
    assert held is not None
    with held:
        assert try_exclusive(state_dir) is None

    again = try_exclusive(state_dir)

    assert again is not None
    again.close()


def test_the_host_is_free_once_its_holder_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InvalidConfiguration, match=f"process {holder.pid} has this host"):
            exclusive(tmp_path, patience_s=0)
        holder.kill()

    exclusive(tmp_path).close()


def test_a_directory_that_cannot_be_used_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StateFileUnusable, match="set \\[DEFAULT\\] state_dir"):
        exclusive(tmp_path / "file" / "state")
