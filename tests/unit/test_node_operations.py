"""The operator's verbs that change something: done by the daemon where one runs, and by the command elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attach_world import World

from mooring.attach.gc import DeedKind, GarbageCollector
from mooring.attach.resize import Resized
from mooring.attach.types import LeaseStep
from mooring.config.load import load
from mooring.config.settings import NodeSettings
from mooring.errors import DeviceUnusable, OperationRefused
from mooring.libnetwork.server import PluginApp, PluginServer, listen
from mooring.node import operations
from mooring.node.exclusive import exclusive, try_exclusive
from mooring.node.wiring import Core
from mooring.pci.address import PciAddress

CARD = PciAddress.parse("0000:02:00.0")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GarbageCollector.__init__.__kwdefaults__, "pause", lambda _: None)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "state")
    world.containers = set()
    yield world
    world.kill()


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    config = tmp_path / "mooring.conf"
    config.write_text('[pci]\ndevice_spec = {"devname": "enp1s0", "physical_network": "physnet1"}\n')
    loaded = load([config]).settings
    return replace(loaded, state_dir=tmp_path / "state", plugin_socket=tmp_path / "kuryr.sock")


def core_of(world: World) -> Core:
    core: Any = Core
    return core(  # type: ignore[no-any-return]
        devices=world.core.devices,
        neutron=world.neutron,
        engine=world.core.engine,
        reconciler=world.core.reconciler,
        follower=world.core.follower,
        settlement=world.core.settlement,
        containers=world,
        agent_duty=None,
        bus=None,
    )


@pytest.fixture
def daemon(world: World, settings: NodeSettings) -> Iterator[None]:
    """A process that has the host and answers on its socket."""
    with exclusive(settings.state_dir):
        server = PluginServer(PluginApp(operations.operator_routes(core_of(world))), listen(settings.plugin_socket))
        thread = threading.Thread(target=server.run)
        thread.start()
        yield
        server.stop()
        thread.join(timeout=10)


@pytest.fixture
def alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No daemon: a command opens the core itself."""

    @contextmanager
    def open_core(*_: object) -> Iterator[Core]:
        yield core_of(world)

    monkeypatch.setattr(operations, "open_core", open_core)


@pytest.mark.usefixtures("daemon")
def test_a_running_daemon_does_the_collecting(world: World, settings: NodeSettings) -> None:
    world.run(world.port(), "dead")
    world.containers = set()

    (planned,) = operations.collect_garbage(settings, dry_run=True)
    assert (planned.kind, planned.subject, planned.failure) == (DeedKind.ENDED, "dead", "")
    assert len(world.core.journal.leases()) == 1

    assert operations.collect_garbage(settings, dry_run=False) == (planned,)
    assert world.unclean() == []


@pytest.mark.usefixtures("daemon")
def test_a_running_daemon_leaves_a_start_alone(world: World, settings: NodeSettings) -> None:
    world.core.engine.lease(world.request(world.port()))

    assert operations.collect_garbage(settings, dry_run=False) == ()
    assert len(world.core.journal.leases()) == 1


@pytest.mark.usefixtures("daemon")
def test_a_running_daemon_changes_the_number_of_vfs(world: World, settings: NodeSettings) -> None:
    assert operations.resize_card(settings, "enp2s0", 5) == Resized(card=CARD, before=3, after=5)

    world.run(world.port())
    with pytest.raises(OperationRefused, match="attachment endpoint-1"):
        operations.resize_card(settings, "enp2s0", 3)


@pytest.mark.usefixtures("daemon")
def test_the_daemons_refusal_reaches_the_operator(world: World, settings: NodeSettings) -> None:
    world.containers = None
    with pytest.raises(OperationRefused, match="systemctl start docker"):
        operations.collect_garbage(settings, dry_run=False)
    with pytest.raises(OperationRefused, match="enp9s0 cannot be used: it is no SR-IOV card"):
        operations.resize_card(settings, "enp9s0", 3)


@pytest.mark.usefixtures("alone")
def test_without_a_daemon_the_command_does_it_and_undoes_what_was_cut_off(world: World, settings: NodeSettings) -> None:
    world.run(world.port(), "dead")
    world.core.engine.lease(world.request(world.port(), "cut-off"))
    world.containers = set()

    deeds = operations.collect_garbage(settings, dry_run=False)

    assert {(deed.subject, deed.failure) for deed in deeds} == {("cut-off", ""), ("dead", "")}
    assert world.unclean() == []
    lock = try_exclusive(settings.state_dir)
    assert lock is not None, "the host is given back"
    lock.close()


@pytest.mark.usefixtures("alone")
def test_without_a_daemon_what_was_cut_off_does_not_hinder_a_resize(world: World, settings: NodeSettings) -> None:
    lease = world.core.engine.lease(world.request(world.port(), "cut-off"))
    world.core.journal.save(replace(lease, step=LeaseStep.BINDING))

    assert operations.resize_card(settings, "enp2s0", 5).after == 5
    with pytest.raises(DeviceUnusable):
        operations.resize_card(settings, "enp9s0", 5)
    world.later()
    assert world.unclean() == []
