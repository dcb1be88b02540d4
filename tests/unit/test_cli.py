"""The command line as a person and a program meet it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import World

from mooring.attach.drivers.registry import load_port_drivers
from mooring.attach.gc import Deed, DeedKind
from mooring.attach.journal import Journal
from mooring.attach.resize import Resized
from mooring.cli.doctor.verdicts import Verdict, well, wrong
from mooring.cli.listings import device_listing, lease_listing
from mooring.cli.main import main
from mooring.cli.output import show
from mooring.errors import EngineUnreachable, OperationRefused
from mooring.pci.address import PciAddress
from mooring.pci.device_spec import DeviceSpec


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mooring", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def listed(world: World, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """What ``mooring pci list`` shows of each address."""
    capsys.readouterr()
    devices = world.core.devices
    show(device_listing(devices, load_port_drivers(["sriov", "veth", "physical"], devices)), "json")
    return {row["address"]: row for row in json.loads(capsys.readouterr().out)}


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
    assert "no device of this host is admitted by [pci] device_spec" in capsys.readouterr().out


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
        (("pci", "list"), "no device of this host is admitted by [pci] device_spec\n"),
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

    rows = listed(world, capsys)
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


def test_a_leased_vf_that_is_not_as_wanted_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    changed, home, fine = (world.run(world.port(), f"endpoint-{n}") for n in range(3))
    world.kernel.write_settings(changed, replace(world.held(changed.address), vlan=77))
    world.kernel.container_dies(home)

    rows = listed(world, capsys)

    assert rows[str(changed.address)]["reason"] == "vlan is 77, wanted 150"
    assert "is in the host's namespace" in rows[str(home.address)]["reason"]
    assert rows[str(fine.address)]["reason"] == ""
    world.kill()


def test_a_lease_whose_vf_left_the_host_is_listed_as_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    port = world.port()
    vf = world.run(port)
    world.kernel.unplug(vf)

    row = listed(world, capsys)[str(vf.address)]

    assert (row["type"], row["state"], row["port"]) == ("VF", "lost", port.id)
    assert "attachment endpoint-1" in row["reason"]
    world.kill()


def test_a_lease_of_a_vf_that_the_device_spec_admits_no_more_is_still_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    vf = world.run(world.port())
    world.kill()
    world._specs = DeviceSpec.parse_all(['{"devname": "enp1s0", "physical_network": "physnet1"}'])
    world.start()

    assert listed(world, capsys)[str(vf.address)]["state"] == "not-admitted"
    world.kill()


def test_a_card_that_is_lent_as_a_whole_shows_the_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    port = world.port(vnic_type="direct-physical")
    pf = world.run(port)

    rows = listed(world, capsys)

    row = rows[str(pf.address)]
    assert (row["state"], row["port"], row["pf"]) == ("lent", port.id, "enp2s0")
    assert rows["0000:02:10.0"]["state"] == "pf-lent"
    assert rows["0000:01:00.0"]["state"] == "up"
    world.kill()


def test_a_veth_pairs_lease_is_listed_with_its_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    port = world.port(vnic_type="normal")
    world.run(port)

    capsys.readouterr()
    show(lease_listing(world.core.journal.leases(), ()), "json")

    (row,) = json.loads(capsys.readouterr().out)
    assert (row["port"], row["type"], row["device"], row["step"]) == (port.id, "normal", "", "ready")
    world.kill()


class TestVerify:
    """``mooring verify`` on a host in memory, beside the daemon that holds its journal."""

    @pytest.fixture
    def world(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_host: Path) -> Iterator[World]:
        world = World(tmp_path / "state")
        specs = [spec.text for spec in world._specs]
        config = empty_host.read_text().replace("physnet1", "physnet9") + "".join(f"device_spec = {s}\n" for s in specs)
        empty_host.write_text(config.replace("[DEFAULT]\n", "[DEFAULT]\nhost = host-a\n"))
        monkeypatch.setattr("mooring.node.devices.LinuxKernel", lambda: world.kernel)
        monkeypatch.setattr("mooring.node.verifying.neutron_to_read", lambda _: world.neutron)
        yield world
        world.kill()

    def test_all_in_order_is_said_with_how_much_was_compared(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_host: Path, world: World
    ) -> None:
        world.run(world.port())
        world.core.round()
        capsys.readouterr()

        assert run(monkeypatch, "--config-file", str(empty_host), "verify") == 0

        said = capsys.readouterr().out.splitlines()
        assert said == [
            "all is as it should be",
            "compared 1 lease, 9 other VFs, 1 bound port: 0 differences, 0 not looked at",
        ]

    def test_a_difference_is_a_row_and_exit_code_1(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_host: Path, world: World
    ) -> None:
        port = world.port()
        vf = world.run(port)
        world.core.round()
        world.kernel.write_settings(vf, replace(world.held(vf.address), vlan=77))
        capsys.readouterr()

        assert run(monkeypatch, "--config-file", str(empty_host), "verify", port.id, "--format", "json") == 1

        assert json.loads(capsys.readouterr().out) == {
            "differences": [{"subject": str(vf.address), "what": "vlan", "found": "77", "wanted": "150"}],
            "not_looked_at": [],
            "compared": {"leases": 1, "vfs": 0, "ports": 0},
        }
        assert run(monkeypatch, "--config-file", str(empty_host), "verify") == 1
        assert f"{vf.address}  vlan  77     150" in capsys.readouterr().out

    def test_neutron_away_is_exit_code_3(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_host: Path, world: World
    ) -> None:
        world.neutron.unreachable = True

        assert run(monkeypatch, "--config-file", str(empty_host), "verify") == 3
        assert capsys.readouterr().out.startswith("not looked at: Neutron: listing ports: Neutron did not answer")

    def test_an_unknown_name_is_misuse(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_host: Path, world: World
    ) -> None:
        assert world.core.journal.leases() == ()
        assert run(monkeypatch, "--config-file", str(empty_host), "verify", "nobody") == 2
        assert "'mooring leases' lists them" in capsys.readouterr().err


class TestGc:
    """``mooring gc`` shows what was done, by whomever."""

    deeds = (
        Deed(kind=DeedKind.ENDED, subject="endpoint-1", reason="no container has it"),
        Deed(kind=DeedKind.PAID, subject="port-1", reason="unbind is owed", failure="Neutron did not answer"),
    )

    @pytest.mark.parametrize(("done", "code"), [((), 0), (deeds[:1], 0), (deeds, 1)])
    def test_what_could_not_be_done_is_exit_code_1(
        self, monkeypatch: pytest.MonkeyPatch, empty_host: Path, done: tuple[Deed, ...], code: int
    ) -> None:
        monkeypatch.setattr("mooring.node.operations.collect_garbage", lambda *_, **__: done)

        assert run(monkeypatch, "--config-file", str(empty_host), "gc") == code

    def test_a_dry_run_says_so(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_host: Path
    ) -> None:
        asked: list[bool] = []

        def collect(_: object, *, dry_run: bool) -> tuple[Deed, ...]:
            asked.append(dry_run)
            return self.deeds[:1]

        monkeypatch.setattr("mooring.node.operations.collect_garbage", collect)

        run(monkeypatch, "--config-file", str(empty_host), "gc", "--dry-run", "--format", "json")

        assert asked == [True]
        assert json.loads(capsys.readouterr().out) == [
            {
                "action": "end attachment",
                "subject": "endpoint-1",
                "reason": "no container has it",
                "outcome": "to be done",
            }
        ]


def test_the_number_of_vfs_is_changed_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_host: Path
) -> None:
    asked: list[tuple[str, int]] = []

    def resize(_: object, card: str, vfs: int) -> Resized:
        asked.append((card, vfs))
        return Resized(card=PciAddress.parse("0000:02:00.0"), before=3, after=vfs)

    monkeypatch.setattr("mooring.node.operations.resize_card", resize)

    assert run(monkeypatch, "--config-file", str(empty_host), "pci", "set-numvfs", "enp2s0", "7") == 0
    assert asked == [("enp2s0", 7)]
    assert capsys.readouterr().out == "card 0000:02:00.0 shows 7 VFs; it had 3\n"

    assert run(monkeypatch, "--config-file", str(empty_host), "pci", "set-numvfs", "enp2s0", "-1") == 2


def test_a_refusal_is_one_sentence_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_host: Path
) -> None:
    def refuse(*_: object) -> None:
        raise OperationRefused("PCI device 0000:02:00.0 is in use by attachment a; remove its container first")

    monkeypatch.setattr("mooring.node.operations.resize_card", refuse)

    assert run(monkeypatch, "--config-file", str(empty_host), "pci", "set-numvfs", "enp2s0", "7") == 1
    assert capsys.readouterr().err.startswith("mooring: PCI device 0000:02:00.0 is in use by attachment a")


@pytest.mark.parametrize(("verdicts", "code"), [((well("clock", "kept"),), 0), ((wrong("clock", "off", "fix it"),), 1)])
def test_a_problem_that_the_doctor_finds_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    empty_host: Path,
    verdicts: tuple[Verdict, ...],
    code: int,
) -> None:
    monkeypatch.setattr("mooring.cli.doctor.checkup.examine", lambda _: verdicts)

    assert run(monkeypatch, "--config-file", str(empty_host), "doctor", "--format", "json") == code

    (row,) = json.loads(capsys.readouterr().out)
    assert row == {"check": "clock", "ok": code == 0, "found": verdicts[0].told, "remedy": verdicts[0].remedy}


def test_the_doctor_looks_at_everything_although_nothing_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_host: Path, tmp_path: Path
) -> None:
    class Away:
        """An engine that does not answer. The real client leaves its socket to the garbage collector then."""

        def __init__(self, url: str) -> None:
            self._url = url

        def facts(self) -> None:
            raise EngineUnreachable(self._url, "No such file or directory")

        def close(self) -> None:
            pass

    monkeypatch.setattr("mooring.cli.doctor.checkup.DockerEngine", Away)
    config = empty_host.read_text().replace("[DEFAULT]\n", f"[DEFAULT]\nplugin_socket = {tmp_path}/kuryr.sock\n")
    empty_host.write_text(config)

    assert run(monkeypatch, "--config-file", str(empty_host), "doctor", "--format", "json") == 1

    rows = json.loads(capsys.readouterr().out)
    checks = {row["check"] for row in rows if not row["ok"]}
    assert {"device spec", "physical networks", "Docker", "plugin directory", "daemon", "Neutron"} <= checks
    without_remedy = {row["found"].partition(";")[0] for row in rows if not row["ok"] and not row["remedy"]}
    assert without_remedy == {"[neutron] auth_type is not set"}, "only an error says itself what to do"
