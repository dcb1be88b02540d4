"""How the daemon tells the service manager and the log what it does."""

from __future__ import annotations

import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from mooring.process.readiness import notify

LOG_SOMETHING = """
import logging, structlog
from mooring.process.logs import configure_logging

configure_logging(debug={debug})
log = structlog.get_logger("mooring")
log.info("vf.bound", device="0000:02:10.0", reason="two words", fatal=False)
log.debug("vf.read")
try:
    raise ValueError("a line\\nand another")
except ValueError:
    log.exception("round.broken")
    logging.getLogger("library").exception("failed")
logging.getLogger("library").warning("told\\ntwice")
logging.getLogger("library").info("details")
with structlog.contextvars.bound_contextvars(attachment="endpoint-1", port="port-1", device="0000:02:10.0"):
    log.info("vf.programmed", vlan=100)
    logging.getLogger("library").warning("slow")
log.info("node.idle")
"""


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the service manager listens, as NOTIFY_SOCKET says it."""
    return str(tmp_path / "notify") if request.param == "path" else f"@mooring-test-{uuid.uuid4()}"


@pytest.mark.parametrize("address", ["path", "abstract"], indirect=True)
def test_the_service_manager_hears_a_state_at_a_path_and_at_an_abstract_address(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)

        notify("READY=1")

        assert manager.recv(64, socket.MSG_DONTWAIT) == b"READY=1"


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_service_manager_nobody_is_told(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    told: list[object] = []
    monkeypatch.setattr(socket.socket, "sendto", lambda *sent: told.append(sent))

    notify("READY=1")

    assert told == []


def logged(*, debug: bool) -> list[str]:
    """What a process of its own logs, for logging belongs to a process as a whole."""
    program = [sys.executable, "-c", LOG_SOMETHING.replace("{debug}", str(debug))]
    ended = subprocess.run(program, check=True, capture_output=True, text=True)
    assert ended.stdout == ""
    return ended.stderr.splitlines()


def test_every_event_is_one_line_of_keys_and_values() -> None:
    bound, broken, failed, library, *_ = logged(debug=False)

    assert bound == 'level=info event=vf.bound device=0000:02:10.0 reason="two words" fatal=false'
    assert broken.startswith('level=error event=round.broken exception="Traceback (most recent call last):\\n')
    assert failed.startswith(
        "level=ERROR logger=library event='failed' exception='Traceback (most recent call last):\\n"
    )
    assert library == "level=WARNING logger=library event='told\\ntwice'"


def test_what_a_line_is_about_stands_in_it_whoever_wrote_it() -> None:
    about = "attachment=endpoint-1 device=0000:02:10.0 port=port-1"

    *_, ours, theirs, later = logged(debug=False)

    assert sorted(ours.split()) == sorted(f"level=info event=vf.programmed vlan=100 {about}".split())
    assert theirs == f"level=WARNING logger=library event='slow' {about}"
    assert later == "level=info event=node.idle"


def test_debugging_shows_more_of_ours_and_of_libraries() -> None:
    lines = logged(debug=True)

    assert "level=debug event=vf.read" in lines
    assert "level=INFO logger=library event='details'" in lines
