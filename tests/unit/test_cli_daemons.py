"""The commands that run daemons and look after the database, as an operator meets them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mooring.cli.main import main
from mooring.db.migrations import newest

CONFIGURATION = """\
[DEFAULT]
state_dir = {home}
transport_url = rabbit://
[api]
auth_strategy = noauth
[neutron]
auth_type = none
"""

Mooring = Callable[..., int]


@pytest.fixture
def mooring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mooring:
    """Runs a command with a controller's configuration; returns its exit code."""
    (tmp_path / "mooring.conf").write_text(CONFIGURATION.format(home=tmp_path))

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["mooring", "--config-file", str(tmp_path / "mooring.conf"), *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


def test_a_database_is_brought_up_to_date_and_tells_its_version(
    mooring: Mooring, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mooring("db", "current") == 0
    assert capsys.readouterr().out == f"the tables are of version none: there are none; needed is {newest()}\n"

    assert mooring("db", "upgrade") == 0
    assert mooring("db", "upgrade") == 0
    assert mooring("db", "current") == 0
    assert capsys.readouterr().out.endswith(f"the tables are of version {newest()}; needed is {newest()}\n")


def test_a_controller_without_a_bus_is_refused_by_name_and_exit_code(
    mooring: Mooring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mooring.conf"
    path.write_text(path.read_text().replace("transport_url = rabbit://", ""))

    assert mooring("controller") == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mooring: {path}: [DEFAULT] transport_url is not set")
