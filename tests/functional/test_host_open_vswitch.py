"""Our use of Open vSwitch, on one of this test's own: its daemons, its database, and a datapath in user space."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_namespace import private_namespace
from switch_contract import BRIDGE, IDS, OTHER, PORT, SwitchContract

from lab.packages import HostPackage, ensure_packages
from mooring.errors import SwitchRefused
from mooring.host.open_vswitch import OpenVSwitch

OPEN_VSWITCH = HostPackage(
    name="openvswitch-switch",
    file="/usr/sbin/ovs-vswitchd",
    units=("openvswitch-switch.service", "ovsdb-server.service", "ovs-vswitchd.service"),
)
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
OTHER_BRIDGE = "br-other"


class Daemons:
    """ovsdb-server and ovs-vswitchd with everything of theirs in one directory."""

    def __init__(self, directory: Path) -> None:
        self.database = f"unix:{directory}/db.sock"
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        subprocess.run(["ovsdb-tool", "create", self._directory / "conf.db", SCHEMA], check=True)
        self._start("ovsdb-server", str(self._directory / "conf.db"), f"--remote=p{self.database}")
        self.vsctl("--no-wait", "init")
        self._start("ovs-vswitchd", self.database)
        for bridge in (BRIDGE, OTHER_BRIDGE):
            self.vsctl("add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev")

    def vsctl(self, *words: str) -> str:
        command = ["ovs-vsctl", "--timeout=30", "--retry", f"--db={self.database}", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def stop(self, program: str = "") -> None:
        """End the daemons, or the one that is named, and await their end."""
        for process in reversed(self._running):
            if program in str(process.args):
                process.terminate()
                process.wait()

    def _start(self, program: str, *words: str) -> None:
        log = f"--log-file={self._directory}/{program}.log"
        control = f"--unixctl={self._directory}/{program}.ctl"
        self._running.append(
            subprocess.Popen(
                [program, *words, control, log, "-vconsole:off"],
                env={**os.environ, "OVS_RUNDIR": str(self._directory)},
            )
        )


class RealWorld:
    """A switch of this test's own, with two veth pairs for interfaces."""

    def __init__(self, daemons: Daemons) -> None:
        self.daemons = daemons
        self.switch = OpenVSwitch(daemons.database)
        self.other_bridge = OTHER_BRIDGE
        self.names = ("tap0", "tap1")

    def external_ids(self, name: str) -> dict[str, str]:
        told = self.daemons.vsctl("--format=json", "--columns=external_ids", "find", "Interface", f"name={name}")
        (((_, ids),),) = json.loads(told)["data"]
        return dict(ids)

    def stop(self) -> None:
        self.daemons.stop("ovsdb-server")


@pytest.fixture(scope="module")
def programs() -> None:
    ensure_packages([OPEN_VSWITCH])


@pytest.fixture
def world(programs: None, tmp_path: Path) -> Iterator[RealWorld]:
    del programs
    with private_namespace():
        for name in ("tap0", "tap1"):
            subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", f"{name}c"], check=True)
        daemons = Daemons(tmp_path)
        try:
            daemons.start()
            yield RealWorld(daemons)
        finally:
            daemons.stop()


class TestOpenVSwitch(SwitchContract):
    def test_an_interface_that_is_not_there_is_refused(self, world: RealWorld) -> None:
        with pytest.raises(SwitchRefused, match="nosuchif"):
            world.switch.plug(BRIDGE, "nosuchif", IDS)
        world.switch.unplug("nosuchif")
        assert world.switch.plugged() == {}

    def test_an_interface_that_died_is_still_unplugged(self, world: RealWorld) -> None:
        world.switch.plug(BRIDGE, "tap0", IDS)
        subprocess.run(["ip", "link", "delete", "tap0c"], check=True)
        world.switch.unplug("tap0")
        assert world.switch.plugged() == {}

    def test_an_interface_that_was_made_again_is_plugged_again(self, world: RealWorld) -> None:
        world.switch.plug(BRIDGE, "tap0", {**IDS, "iface-id": OTHER})
        subprocess.run(["ip", "link", "delete", "tap0"], check=True)
        subprocess.run(["ip", "link", "add", "tap0", "type", "veth", "peer", "tap0c"], check=True)
        world.switch.plug(BRIDGE, "tap0", IDS)
        assert world.switch.plugged() == {"tap0": PORT}

    def test_a_daemon_that_does_not_follow_is_told_of(self, world: RealWorld) -> None:
        world.daemons.stop("ovs-vswitchd")
        with pytest.raises(SwitchRefused, match="is ovs-vswitchd running"):
            world.switch.plug(BRIDGE, "tap0", IDS)

    def test_a_database_that_is_away_is_told_of(self, world: RealWorld) -> None:
        world.stop()
        with pytest.raises(SwitchRefused, match="start Open vSwitch"):
            world.switch.plugged()

    def test_a_missing_bridge_is_told_of(self, world: RealWorld) -> None:
        with pytest.raises(SwitchRefused, match="L2 agent or ovn-controller"):
            world.switch.plug("nosuchbr", "tap0", IDS)


def test_a_host_without_open_vswitch_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SwitchRefused, match="install Open vSwitch"):
        OpenVSwitch().plugged()
