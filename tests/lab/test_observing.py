"""What an operator reads of a host that serves, and what may be done to one of its cards beside a container."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lab.neutron.accounts import ACCOUNTS
from lab.neutron.client import Resource
from lab.node import SOCKET_UNIT, UNIT, MooringNode
from tests.lab.stage import Stage, eventually, slot_of

BUSY_PF, IDLE_PF, IDLE_CARD = "enp2s0", "enp1s0", "0000:01:00.0"
VFS = 7
SETTLED_S = 180
METRICS = (
    "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9709/metrics', timeout=60).read().decode())"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A host with one container on a VF."""

    node: MooringNode
    port: Resource
    attachment: str
    vf: str

    def run(self, command: str, *, code: int = 0) -> str:
        """Run a command that must end with that code, and return what it printed, errors included."""
        done = self.node.guest.run(command, check=False, timeout=300)
        assert done.code == code, done
        return done.stdout + done.stderr

    @contextmanager
    def without_daemon(self) -> Iterator[None]:
        """Keep the daemon from running, also when Docker calls it."""
        self.run(f"systemctl stop {UNIT} {SOCKET_UNIT}")
        try:
            yield
        finally:
            self.run(f"systemctl start {SOCKET_UNIT} {UNIT}")


@pytest.fixture(scope="module", name="scene")
def _scene(stage: Stage) -> Iterator[Scene]:
    node, _ = stage.nodes
    network = stage.network(vlan=178)
    port = stage.port(network)
    stage.start_at(node, stage.null_network(node, network), port)
    stage.await_status(port, "ACTIVE")
    bound = stage.now(port)
    yield Scene(node=node, port=port, attachment=bound["device_id"][:12], vf=slot_of(bound))
    stage.clear()
    eventually(lambda: not stage.unclean(), "hosts and ports are as they were")


def test_the_log_says_whose_attachment_port_and_device_a_line_is_about(scene: Scene) -> None:
    facts = {f"attachment={scene.attachment}", f"port={scene.port['id']}", f"device={scene.vf}"}

    (ready,) = [
        line for line in scene.node.log().splitlines() if "event=attachment.ready" in line and scene.port["id"] in line
    ]

    assert facts < set(ready.split())


def test_prometheus_reads_vfs_steps_and_calls(scene: Scene) -> None:
    lines = scene.run(f'python3 -c "{METRICS}"').splitlines()

    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#") and " " in line)
    card = 'pf="0000:02:00.0",physical_network="physnet2"'
    assert samples[f'mooring_vfs{{{card},state="leased"}}'] == "1.0"
    assert samples[f'mooring_vfs{{{card},state="free"}}'] == f"{VFS - 1}.0"
    assert samples['mooring_leases{step="ready"}'] == "1.0"
    assert samples["mooring_quarantined_vfs"] == "0.0"
    for step in ("lease", "bind", "program"):
        assert float(samples[f'mooring_attachment_step_seconds_count{{outcome="ok",step="{step}",verb="attach"}}']) >= 1
    assert float(samples['mooring_neutron_calls_total{operation="bind_port",outcome="ok"}']) >= 1


def test_the_idle_card_is_resized_beside_the_busy_one_without_the_daemon(scene: Scene) -> None:
    with scene.without_daemon():
        refused = scene.run(f"mooring pci set-numvfs {BUSY_PF} 3", code=1)
        fewer = scene.run(f"mooring pci set-numvfs {IDLE_PF} 3")
        more = scene.run(f"mooring pci set-numvfs {IDLE_CARD} {VFS}")

    assert f"attachment {scene.attachment}" in refused
    assert f"card {IDLE_CARD} shows 3 VFs; it had {VFS}" in fewer
    assert f"card {IDLE_CARD} shows {VFS} VFs; it had 3" in more
    eventually(
        lambda: [vf["state"] for vf in scene.node.vfs() if vf["pf"] == IDLE_PF] == ["free"] * VFS,
        f"{IDLE_PF} has {VFS} VFs, all free",
        seconds=SETTLED_S,
    )


def test_doctor_names_each_fault_with_its_remedy(scene: Scene) -> None:
    scene.run(f"ip link set {IDLE_PF} down; mv /etc/udev/rules.d/70-mooring.rules /root/")
    poor = ACCOUNTS["demo"]
    scene.run(
        f"sed 's/^username = .*/username = {poor.user}/; s/^project_name = .*/project_name = {poor.project}/' "
        "/etc/mooring/mooring.conf > /root/poor.conf"
    )
    try:
        found = _examined(scene, "--config-file /etc/kuryr/kuryr.conf --config-file /root/poor.conf", code=1)
    finally:
        scene.run(f"ip link set {IDLE_PF} up; mv /root/70-mooring.rules /etc/udev/rules.d/")

    assert found[f"link of {IDLE_PF}"]["found"] == "down"
    assert f"ip link set {IDLE_PF} up" in found[f"link of {IDLE_PF}"]["remedy"]
    assert "70-mooring.rules" in found["udev rule"]["remedy"]
    assert "admin and service" in found["roles"]["found"]
    assert "openstack role add" in found["roles"]["remedy"]


def _examined(scene: Scene, options: str = "", *, code: int) -> dict[str, dict[str, str]]:
    """What ``mooring doctor`` says of each thing it looked at."""
    done = scene.node.guest.run(f"mooring {options} doctor --format json", check=False, timeout=300)
    found = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert done.code == code, found
    return found
