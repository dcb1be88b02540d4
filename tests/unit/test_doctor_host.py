"""mooring doctor on the host around the cards: each check, well and not, on a file system of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.cli.doctor import engine, host
from mooring.errors import EngineUnreachable, NodeUnreachable
from mooring.host.clock import is_synchronised
from mooring.libnetwork.server import listen
from mooring.node.docker import EngineFacts
from mooring.testing.switch import FakeSwitch

PACKAGING = Path(__file__).parents[2] / "packaging"


def put(root: Path, path: str, text: str = "") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def run_program(root: Path, pid: int, *words: str) -> None:
    put(root, f"proc/{pid}/cmdline", "\0".join(words) + "\0")


class TestUdev:
    def test_the_packaged_files_are_found_where_they_belong(self, tmp_path: Path) -> None:
        put(tmp_path, "etc/udev/rules.d/70-mooring.rules", (PACKAGING / "udev/70-mooring.rules").read_text())
        put(tmp_path, "etc/systemd/network/70-mooring.link", (PACKAGING / "udev/70-mooring.link").read_text())

        assert [verdict.told for verdict in host.udev_rules(tmp_path)] == [
            "/etc/udev/rules.d/70-mooring.rules",
            "/etc/systemd/network/70-mooring.link",
        ]

    def test_what_is_not_installed_is_told_with_the_file_to_copy(self, tmp_path: Path) -> None:
        put(tmp_path, "etc/udev/rules.d/50-others.rules", "# MOORING_VF is not here\n")

        rules, link = host.udev_rules(tmp_path)

        assert rules.remedy.startswith("copy packaging/udev/70-mooring.rules to /etc/udev/rules.d")
        assert link.remedy.startswith("copy packaging/udev/70-mooring.link to /etc/systemd/network")

    def test_network_manager_is_harmless_when_it_is_not_there_or_is_told(self, tmp_path: Path) -> None:
        run_program(tmp_path, 1, "/sbin/init")
        assert host.network_manager(tmp_path).is_well

        run_program(tmp_path, 7, "/usr/sbin/NetworkManager", "--no-daemon")
        assert "70-mooring.rules" in host.network_manager(tmp_path).remedy

        put(tmp_path, "etc/udev/rules.d/70-mooring.rules", (PACKAGING / "udev/70-mooring.rules").read_text())
        assert host.network_manager(tmp_path).is_well


class TestSocketUnit:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "run/systemd/system").mkdir(parents=True)
        put(tmp_path, "proc/net/unix", "Num       RefCount Protocol Flags    Type St Inode Path\n")
        return tmp_path

    def test_a_host_without_systemd_has_no_unit(self, tmp_path: Path) -> None:
        (verdict,) = host.socket_unit(tmp_path, tmp_path / "kuryr.sock")
        assert verdict.is_well

    def test_a_unit_that_is_not_enabled_and_does_not_listen_is_told(self, root: Path) -> None:
        unit, socket = host.socket_unit(root, root / "kuryr.sock")

        assert unit.remedy.startswith("systemctl enable --now mooring-node.socket")
        assert socket.remedy.startswith("systemctl start mooring-node.socket")

    def test_an_enabled_unit_that_listens_is_well(self, root: Path) -> None:
        path = root / "kuryr.sock"
        put(root, "etc/systemd/system/sockets.target.wants/mooring-node.socket")
        with (root / "proc/net/unix").open("a") as table:
            table.write(f"0000000000000000: 00000002 00000000 00010000 0001 01 17823 {path}\n")
            table.write("0000000000000000: 00000003 00000000 00000000 0001 03 17824\n")

        assert all(verdict.is_well for verdict in host.socket_unit(root, path))

    def test_a_connection_is_no_listener(self, root: Path) -> None:
        with (root / "proc/net/unix").open("a") as table:
            table.write(f"0000000000000000: 00000003 00000000 00000000 0001 03 17823 {root / 'kuryr.sock'}\n")

        _, socket = host.socket_unit(root, root / "kuryr.sock")
        assert not socket.is_well

    def test_the_kernels_own_table_shows_a_listener(self, tmp_path: Path) -> None:
        (tmp_path / "run/systemd/system").mkdir(parents=True)
        (tmp_path / "proc").symlink_to("/proc")
        with listen(tmp_path / "kuryr.sock"):
            _, socket = host.socket_unit(tmp_path, tmp_path / "kuryr.sock")
        assert socket.is_well


class TestStateDir:
    @pytest.mark.parametrize(
        ("kind", "told"), [("ext4", ""), ("nfs4", "on another machine"), ("tmpfs", "emptied at boot")]
    )
    def test_it_is_on_a_local_disk(self, tmp_path: Path, kind: str, told: str) -> None:
        put(
            tmp_path,
            "proc/self/mountinfo",
            f"21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n22 21 0:5 / {tmp_path} rw,relatime - {kind} source rw\n",
        )

        verdict = host.state_dir(tmp_path, tmp_path / "state")

        assert verdict.is_well is (told == "")
        assert told in verdict.told
        assert kind in verdict.told

    def test_it_can_be_written(self, tmp_path: Path) -> None:
        put(tmp_path, "proc/self/mountinfo", "21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n")

        assert host.state_dir(tmp_path, tmp_path, writable=lambda _: True).is_well
        assert "cannot be written" in host.state_dir(tmp_path, tmp_path, writable=lambda _: False).told


def test_the_kernel_says_whether_its_clock_is_kept_in_step() -> None:
    assert is_synchronised() in (True, False)


def test_a_clock_that_nothing_keeps_in_step_is_a_hint() -> None:
    assert host.clock(is_synchronised=True).told == "kept in step"
    assert "nothing is known" in host.clock(is_synchronised=False).told


class TestSwitch:
    def test_it_is_asked_where_normal_ports_are_served(self) -> None:
        switch = FakeSwitch()
        switch.plug("br-int", "tap1", {"iface-id": "port-1"})

        assert host.switch_answers(switch, needed=True).told.startswith("answers, and has 1 ports")

        switch.away = True
        assert "openvswitch-switch" in host.switch_answers(switch, needed=True).remedy
        assert host.switch_answers(switch, needed=False).is_well


class FakeEngine:
    def __init__(self, facts: EngineFacts | None) -> None:
        self._facts = facts

    def facts(self) -> EngineFacts:
        if self._facts is None:
            raise EngineUnreachable("unix:///var/run/docker.sock", "Connection refused")
        return self._facts


class TestDocker:
    def facts(self, *directories: str) -> EngineFacts:
        return EngineFacts(version="28.3.0", api_version="1.51", cdi_directories=directories)

    def test_its_version_is_told(self) -> None:
        (verdict,) = engine.docker(FakeEngine(self.facts("/etc/cdi")), needs_cdi=True)
        assert verdict.told == "28.3.0 (API 1.51), CDI specs from /etc/cdi"

    def test_cdi_is_needed_for_programs_only(self) -> None:
        (verdict,) = engine.docker(FakeEngine(self.facts()), needs_cdi=False)
        assert verdict.is_well

        _, cdi = engine.docker(FakeEngine(self.facts()), needs_cdi=True)
        assert "/etc/docker/daemon.json" in cdi.remedy

    def test_an_engine_that_is_away_is_told(self) -> None:
        (verdict,) = engine.docker(FakeEngine(None), needs_cdi=False)
        assert "Connection refused" in verdict.told
        assert "systemctl start docker" in verdict.remedy


class TestPlugin:
    @pytest.fixture
    def directories(self, tmp_path: Path) -> tuple[str, ...]:
        return tuple(str(tmp_path / name) for name in ("run", "etc", "usr"))

    def test_docker_finds_the_socket(self, tmp_path: Path, directories: tuple[str, ...]) -> None:
        with listen(tmp_path / "run/kuryr.sock"):
            (verdict,) = engine.plugin_found(tmp_path / "run/kuryr.sock", directories)
        assert verdict.is_well

    def test_docker_finds_nothing(self, tmp_path: Path, directories: tuple[str, ...]) -> None:
        (verdict,) = engine.plugin_found(tmp_path / "elsewhere/kuryr.sock", directories)
        assert verdict.remedy.endswith(f"plugin_socket to {tmp_path}/run/kuryr.sock")

    def test_docker_finds_another_and_a_leftover_file_is_told(
        self, tmp_path: Path, directories: tuple[str, ...]
    ) -> None:
        spec = put(tmp_path, "usr/kuryr.spec", "http://127.0.0.1:23750\n")

        found, leftover = engine.plugin_found(tmp_path / "run/kuryr.sock", directories)
        assert "http://127.0.0.1:23750" in found.told
        assert leftover.remedy == f"rm {spec}"

        with listen(tmp_path / "run/kuryr.sock"):
            found, leftover = engine.plugin_found(tmp_path / "run/kuryr.sock", directories)
        assert found.is_well
        assert not leftover.is_well

    def test_the_daemon_answers_what_docker_asks_first(self, tmp_path: Path) -> None:
        path = tmp_path / "kuryr.sock"

        def away(*_: object) -> dict[str, object]:
            raise NodeUnreachable(path, "Connection refused", "start it")

        both = {"Implements": ["NetworkDriver", "IpamDriver"]}
        assert engine.plugin_answers(path, lambda *_: both).is_well
        assert "stop it" in engine.plugin_answers(path, lambda *_: {"Implements": ["VolumeDriver"]}).remedy
        assert "journalctl -u mooring-node" in engine.plugin_answers(path, away).remedy

    def test_kuryr_libnetwork_must_not_run(self, tmp_path: Path) -> None:
        run_program(tmp_path, 1, "/sbin/init")
        assert engine.kuryr(tmp_path).is_well

        run_program(tmp_path, 9, "/usr/bin/python3", "/usr/local/bin/kuryr-server", "--config-file", "kuryr.conf")
        assert "kuryr-libnetwork" in engine.kuryr(tmp_path).remedy
