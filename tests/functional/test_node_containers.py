"""Containers of the service on a real dockerd; the kernel and Neutron are fakes, and veth pairs stand in for VFs.

Needs root.
"""

from __future__ import annotations

import base64
import gc
import io
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from containers_world import UUID, VFS, World
from dockerd import DRIVER, Dockerd, Door, docker, door
from runtime_contract import RuntimeContract

from mooring.attach.engine import Engine
from mooring.attach.types import Attachment, Attachments, AttachRequest, Lease
from mooring.container.spec import ContainerSpec, Healthcheck, Mount, RestartPolicy
from mooring.container.states import Status, Verb
from mooring.errors import ContainerNotFound, EngineRefused, WrongState
from mooring.node.containers.engine import DockerRuntime
from mooring.node.containers.rpc_end import DockerNodeEnd
from mooring.node.docker import EngineConnection
from mooring.rpc.messages import FailureKind, LogQuery, WantedInterface

__all__ = ["docker", "door"]

# docker-py leaves the sockets of commands' output to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SLEEP = ContainerSpec(
    name="web",
    image="busybox",
    command=("/bin/busybox", "sh", "-c", "/bin/busybox echo hello; exec /bin/sleep 600"),
    environment={"MODE": "fast"},
    labels={"tier": "edge"},
    memory_mib=64,
    cpu=0.5,
)


class VethEngine:
    """The real core, whose devices the fake kernel has, with an interface for each that Docker can move."""

    def __init__(self, world: DockerWorld, engine: Engine) -> None:
        self._world = world
        self._engine = engine

    def lease(self, request: AttachRequest) -> Lease:
        return self._engine.lease(request)

    def make_way(self, port_id: str) -> None:
        self._engine.make_way(port_id)

    def find(self, attachment: str) -> Lease | None:
        return self._engine.find(attachment)

    def attach(self, attachment: str) -> Attachment:
        attached = self._engine.attach(attachment)
        lease = self._engine.find(attachment)
        assert lease is not None
        run, name = self._world.dockerd.in_namespace, attached.interface
        run("ip", "link", "add", name, "address", lease.port.mac, "type", "veth", "peer", f"p{name}")
        run("ip", "link", "set", f"p{name}", "up")
        self._world.moved_in(attachment, name)
        return attached

    def detach(self, attachment: str) -> None:
        lease = self._engine.find(attachment)
        if lease is not None:
            run, name = self._world.dockerd.in_namespace, self._world.interface_of(lease)
            if f" p{name}@" in run("ip", "-o", "link"):
                run("ip", "link", "delete", f"p{name}")
            self._world.moved_out(attachment)
        self._engine.detach(attachment)


class DockerWorld(World):
    """A container host whose engine is real."""

    def __init__(self, state: Path, dockerd: Dockerd) -> None:
        self.dockerd = dockerd
        self.connection = EngineConnection(dockerd.address, timeout_s=60)
        super().__init__(state, runtime=DockerRuntime(self.connection, driver=DRIVER))
        self.end = DockerNodeEnd(self.connection, self.agent.wake)

    def attachments(self, engine: Engine) -> Attachments:
        return VethEngine(self, engine)

    def interface_of(self, lease: Lease) -> str:
        return self.host.core.drivers[lease.driver].get_container_iface_name(lease)

    def inside(self, *words: str) -> str:
        return self.end.execute(UUID, words).text


@pytest.fixture
def world(docker: Dockerd, door: Door, tmp_path: Path) -> Iterator[DockerWorld]:
    world = DockerWorld(tmp_path, docker)
    door.open(world.plugin.app)
    yield world
    while left := docker("ps", "--all", "--quiet").split():
        # Docker removes some by itself as they end, and refuses to do it twice.
        with suppress(AssertionError):
            docker("rm", "--force", *left)
    for name in docker("network", "ls", "--quiet", "--filter", f"driver={DRIVER}").split():
        docker("network", "rm", name)
    door.shut()
    with closing(world.connection):
        world.close()
    gc.collect()


@pytest.fixture
def interface(world: DockerWorld) -> WantedInterface:
    return world.interface()


@pytest.fixture
def running(world: DockerWorld, interface: WantedInterface) -> WantedInterface:
    world.controller.want(Verb.CREATE, interface, spec=SLEEP, run=True)
    world.settle()
    assert world.told().done is not None
    assert world.told().done.failure is None, world.told()
    assert world.told().status is Status.RUNNING
    return interface


def do(world: DockerWorld, verb: Verb, *interfaces: WantedInterface, **arguments: str | int | bool) -> None:
    world.controller.want(verb, *interfaces, **arguments)
    world.settle()
    done = world.told().done
    assert done is not None
    assert done.failure is None, done


def deleted(world: DockerWorld) -> None:
    do(world, Verb.DELETE)
    assert world.told().status is Status.DELETED
    del world.controller.wanted[UUID]
    world.settle()


def addresses(world: DockerWorld, name: str = "eth0") -> str:
    return world.inside("/bin/ip", "addr", "show", name)


def test_a_whole_life_without_a_word_to_neutron(
    docker: Dockerd, world: DockerWorld, interface: WantedInterface
) -> None:
    world.neutron.calls.clear()
    world.neutron.unreachable = True

    world.controller.want(Verb.CREATE, interface, spec=SLEEP, run=True)
    world.settle()

    assert world.told().status is Status.RUNNING
    assert interface.port.mac in addresses(world)
    assert f"{interface.port.fixed_ips[0].address}/24" in addresses(world)
    assert "default via" in world.inside("/bin/ip", "route")
    (lease,) = world.host.core.journal.leases()
    assert (lease.device, lease.is_bound) == (VFS[0], True)
    do(world, Verb.STOP, timeout_s=0)
    assert (world.told().status, world.host.core.journal.leases()) == (Status.STOPPED, ())
    do(world, Verb.START)
    assert interface.port.mac in addresses(world)
    do(world, Verb.PAUSE)
    assert world.told().status is Status.PAUSED
    do(world, Verb.UNPAUSE)
    do(world, Verb.REBOOT, timeout_s=0)
    assert interface.port.mac in addresses(world)
    deleted(world)
    assert world.neutron.calls == []
    world.neutron.unreachable = False
    world.settle()
    assert world.left() == []
    assert docker("ps", "--all", "--quiet") == ""
    assert docker("network", "ls", "--quiet", "--filter", f"driver={DRIVER}") == ""


@pytest.mark.usefixtures("running")
def test_what_the_owner_asked_for_is_what_docker_made(world: DockerWorld, docker: Dockerd) -> None:
    def inspect(form: str) -> str:
        return docker("inspect", "--format", form, f"mooring-{UUID}")

    assert inspect("{{.HostConfig.Memory}} {{.HostConfig.CpuQuota}}") == f"{64 << 20} 50000"
    assert inspect("{{.Config.Labels.tier}}") == "edge"
    assert "MODE=fast" in inspect("{{.Config.Env}}")
    do(world, Verb.UPDATE)
    assert world.told().command == SLEEP.command


@pytest.mark.usefixtures("running")
def test_limits_can_be_raised_and_lowered(world: DockerWorld, docker: Dockerd) -> None:
    for memory_mib in (256, 32):
        spec = SLEEP.model_copy(update={"memory_mib": memory_mib})
        world.controller.want(Verb.UPDATE, spec=spec)
        world.settle()
        done = world.told().done
        assert done is not None
        assert done.failure is None, done
        assert docker("inspect", "--format", "{{.HostConfig.Memory}}", f"mooring-{UUID}") == str(memory_mib << 20)


@pytest.mark.usefixtures("running")
def test_a_command_says_what_it_says_and_how_it_ended(world: DockerWorld) -> None:
    done = world.end.execute(
        UUID, ["/bin/busybox", "sh", "-c", "/bin/busybox echo out; /bin/busybox echo err >&2; exit 3"]
    )

    assert (sorted(done.text.split()), done.exit_code) == (["err", "out"], 3)


@pytest.mark.usefixtures("running")
def test_logs_are_those_that_were_asked_for(world: DockerWorld) -> None:
    deadline = time.monotonic() + 10
    while world.end.logs(UUID, LogQuery()) != "hello\n" and time.monotonic() < deadline:
        time.sleep(0.05)

    assert world.end.logs(UUID, LogQuery()) == "hello\n"
    assert world.end.logs(UUID, LogQuery(stdout=False)) == ""
    assert world.end.logs(UUID, LogQuery(tail=0)) == ""
    assert world.end.logs(UUID, LogQuery(timestamps=True)).startswith("20")
    assert world.end.logs(UUID, LogQuery(since=time.time() + 60)) == ""


@pytest.mark.usefixtures("running")
def test_processes_and_usage_are_shown(world: DockerWorld) -> None:
    table = world.end.top(UUID, None)
    usage = world.end.stats(UUID)

    assert any("sleep" in " ".join(process) for process in table.processes)
    assert "PID" in table.titles
    assert usage.memory_bytes > 0
    assert usage.cpu_percent >= 0


@pytest.mark.usefixtures("running")
def test_archives_go_in_and_come_out(world: DockerWorld) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("note")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))

    world.end.put_archive(UUID, "/bin", base64.b64encode(packed.getvalue()).decode())
    got = world.end.get_archive(UUID, "/bin/note")

    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(got.data))) as archive:
        content = archive.extractfile("note")
        assert content is not None
        assert content.read() == b"hello"
    assert (got.stat["name"], got.stat["size"]) == ("note", 5)
    with pytest.raises(EngineRefused, match="404"):
        world.end.get_archive(UUID, "/nowhere")


@pytest.mark.usefixtures("running")
def test_an_image_is_made_of_a_container_and_listed(world: DockerWorld) -> None:
    made = world.end.commit(UUID, "mine", "v1")

    assert [image.id for image in world.end.images() if (image.repository, image.tag) == ("mine", "v1")] == [made]


def test_an_image_that_cannot_be_had_is_refused_in_dockers_words(world: DockerWorld) -> None:
    with pytest.raises(EngineRefused, match=r"pulling image 127\.0\.0\.1:1/nothing"):
        world.end.pull("127.0.0.1:1/nothing")


def test_who_is_not_there_or_does_not_run_cannot_answer(world: DockerWorld, interface: WantedInterface) -> None:
    with pytest.raises(ContainerNotFound):
        world.end.logs(UUID, LogQuery())
    world.controller.want(Verb.CREATE, interface, spec=SLEEP)
    world.settle()

    for ask in (
        lambda: world.end.execute(UUID, ["true"]),
        lambda: world.end.top(UUID, None),
        lambda: world.end.stats(UUID),
        lambda: world.end.resize_terminal(UUID, 80, 24),
    ):
        with pytest.raises(WrongState, match=f"container {UUID} in Created state"):
            ask()


def test_ports_are_attached_to_and_detached_from_a_running_container_down_to_none(
    world: DockerWorld, running: WantedInterface
) -> None:
    network = world.neutron.add_network("second", physical_network="physnet2", vlan=151)
    world.neutron.add_subnet(network, "10.20.0.0/24")
    second = world.interface(device=VFS[1], network=network)

    do(world, Verb.ATTACH, running, second)
    assert second.port.mac in addresses(world, "eth1")
    assert world.told().attached == (running.port.id, second.port.id)

    do(world, Verb.DETACH, second, port=running.port.id)
    do(world, Verb.DETACH, port=second.port.id)
    assert (world.told().attached, world.host.core.journal.leases()) == ((), ())
    do(world, Verb.REBOOT, timeout_s=0)
    assert world.told().status is Status.RUNNING

    do(world, Verb.ATTACH, running)
    assert running.port.mac in addresses(world)
    do(world, Verb.REBOOT, timeout_s=0)
    assert running.port.mac in addresses(world)
    deleted(world)
    assert world.left() == []


def test_several_interfaces_are_there_when_the_container_starts_the_first_first(world: DockerWorld) -> None:
    network = world.neutron.add_network("second", physical_network="physnet2", vlan=151)
    world.neutron.add_subnet(network, "10.20.0.0/24")
    first, second = world.interface(), world.interface(device=VFS[1], network=network)

    world.controller.want(Verb.CREATE, second, first, spec=SLEEP, run=True)
    world.settle()

    for _ in range(2):
        assert second.port.mac in addresses(world)
        assert first.port.mac in addresses(world, "eth1")
        do(world, Verb.REBOOT, timeout_s=0)


def test_a_rebuilt_container_has_the_same_port(world: DockerWorld, docker: Dockerd, running: WantedInterface) -> None:
    docker("tag", "busybox", "other")

    world.controller.want(Verb.REBUILD, spec=SLEEP.model_copy(update={"image": "other"}))
    world.settle()

    assert docker("inspect", "--format", "{{.Config.Image}}", f"mooring-{UUID}") == "other"
    assert running.port.mac in addresses(world)


def test_a_device_that_cannot_be_had_is_refused_with_the_plugins_reason_and_leaves_nothing(
    world: DockerWorld, docker: Dockerd, interface: WantedInterface
) -> None:
    world.host.core.journal.quarantine(VFS[0], "it did not come clean")

    world.controller.want(Verb.CREATE, interface, spec=SLEEP, run=True)
    world.settle()

    assert (world.failure().kind, world.told().status) == (FailureKind.REFUSED, Status.DELETED)
    assert "it did not come clean" in world.failure().message
    assert docker("ps", "--all", "--quiet") == ""
    assert docker("network", "ls", "--quiet", "--filter", f"driver={DRIVER}") == ""


def test_docker_starts_it_again_by_itself_and_it_has_its_port(
    world: DockerWorld, docker: Dockerd, interface: WantedInterface
) -> None:
    spec = SLEEP.model_copy(update={"restart_policy": RestartPolicy(name="always")})
    world.controller.want(Verb.CREATE, interface, spec=spec, run=True)
    world.settle()
    world.controller.away = world.neutron.unreachable = True
    first = world.told().started_at

    docker("exec", f"mooring-{UUID}", "/bin/busybox", "kill", "-9", "1")
    docker("restart", "--time=0", f"mooring-{UUID}")

    assert interface.port.mac in addresses(world)
    world.controller.away = world.neutron.unreachable = False
    world.agent.sync()
    assert world.told().started_at != first


def test_health_files_and_terminal_are_as_asked_for(world: DockerWorld, interface: WantedInterface) -> None:
    spec = SLEEP.model_copy(
        update={
            "tty": True,
            "interactive": True,
            "hostname": "edge-1",
            "healthcheck": Healthcheck(test="/bin/busybox true", interval_s=1),
            "mounts": (Mount(destination="/note", content=base64.b64encode(b"hello").decode()),),
        }
    )
    world.controller.want(Verb.CREATE, interface, spec=spec, run=True)
    world.settle()

    assert world.inside("/bin/busybox", "cat", "/note") == "hello"
    assert world.inside("/bin/busybox", "hostname").strip() == "edge-1"
    world.end.resize_terminal(UUID, 100, 30)
    assert world.told().health in ("starting", "healthy", "unhealthy")


def test_a_change_of_a_container_is_an_event(world: DockerWorld, running: WantedInterface) -> None:
    del running
    heard = threading.Event()

    def listen() -> None:
        for _ in world.runtime.events():
            heard.set()
            return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    for _ in range(20):
        world.dockerd("pause", f"mooring-{UUID}")
        world.dockerd("unpause", f"mooring-{UUID}")
        if heard.wait(1):
            break

    assert heard.is_set()
    listener.join(10)


class TestDockerRuntime(RuntimeContract):
    pass
