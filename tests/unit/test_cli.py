"""The command line as a person and a program meet it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from attach_world import World

from mooring.attach.journal import Journal
from mooring.cli.host import device_listing, lease_listing
from mooring.cli.main import main
from mooring.cli.output import show


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mooring", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def empty_host(tmp_path: Path) -> Path:
    """A configuration whose device spec admits nothing that this machine could have."""
    config = tmp_path / "mooring.conf"
    config.write_text(
        f"[DEFAULT]\nstate_dir = {tmp_path / 'state'}\n"
        '[pci]\ndevice_spec = {"address": "ffff:ff:1f.7", "physical_network": "physnet1"}\n'
    )
    return config


def test_a_configuration_error_is_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "mooring.conf"
    config.write_text('[pci]\ndevice_spec = {"devnam": "enp1s0"}\n')

    assert run(monkeypatch, "--config-file", str(config), "pci", "list") == 2

    said = capsys.readouterr().err
    assert said.startswith(f"mooring: {config}: [pci] device_spec ")
    assert "devname" in said
    assert len(said.splitlines()) == 1


def test_a_host_without_admitted_vfs_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_host: Path
) -> None:
    assert run(monkeypatch, "--config-file", str(empty_host), "pci", "list") == 0
    assert "no VF on this host is admitted by [pci] device_spec" in capsys.readouterr().out


def test_a_host_without_leases_says_so_and_programs_get_an_empty_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_host: Path
) -> None:
    Journal(empty_host.parent / "state" / "node.sqlite").close()

    assert run(monkeypatch, "--config-file", str(empty_host), "leases") == 0
    assert capsys.readouterr().out == "no leases\n"

    assert run(monkeypatch, "--config-file", str(empty_host), "leases", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("leases",), "mooring node has not run on this host yet\n"),
        (("leases", "--format", "json"), "[]\n"),
        (("pci", "list"), "no VF on this host is admitted by [pci] device_spec\n"),
    ],
)
def test_looking_at_a_host_without_state_succeeds_and_leaves_none(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    empty_host: Path,
    command: tuple[str, ...],
    said: str,
) -> None:
    assert run(monkeypatch, "--config-file", str(empty_host), *command) == 0

    assert capsys.readouterr().out == said
    assert list(empty_host.parent.iterdir()) == [empty_host]


def test_a_host_without_state_still_shows_its_devices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, empty_host: Path
) -> None:
    world = World(tmp_path / "world")
    monkeypatch.setattr("mooring.node.devices.LinuxKernel", lambda: world.kernel)
    empty_host.write_text(empty_host.read_text().replace("ffff:ff:1f.7", "*:*:*.*"))

    assert run(monkeypatch, "--config-file", str(empty_host), "pci", "list", "--format", "json") == 0

    states = {row["state"] for row in json.loads(capsys.readouterr().out) if row["type"] == "VF"}
    assert states == {"free"}
    assert not (tmp_path / "state").exists()
    world.kill()


def test_every_pf_is_listed_with_its_vfs_their_states_and_owners(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    port = world.port()
    vf = world.run(port)

    show(device_listing(world.core.engine.status(), world.kernel), "json")

    rows = {row["address"]: row for row in json.loads(capsys.readouterr().out)}
    assert len(rows) == 12
    pf = rows["0000:02:00.0"]
    assert (pf["type"], pf["vf"], pf["state"], pf["reason"]) == ("PF", "3 of 7", "up", "2 of 3 VFs free")
    assert rows[str(vf.address)]["state"] == "leased"
    assert rows[str(vf.address)]["port"] == port.id
    assert rows[str(vf.address)]["pf"] == "enp2s0"
    assert rows["0000:02:10.4"]["state"] == "free"
    world.kill()


def test_leases_and_what_neutron_is_owed_are_listed_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    kept, ended = world.port(), world.port()
    world.run(kept, "endpoint-1")
    world.run(ended, "endpoint-2")
    world.neutron.unreachable = True
    world.end("endpoint-2")

    show(lease_listing(world.core.journal.leases(), world.core.journal.debts()), "table")

    table = capsys.readouterr().out
    assert f"{kept.id}" in table
    assert "owed: unbind" in table
    assert "Neutron did not answer" in table
    world.kill()
