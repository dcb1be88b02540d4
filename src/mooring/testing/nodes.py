"""Container hosts in memory, as controllers see them: they pull what is wanted, do it, and report what is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from mooring.container.spec import ContainerSpec
from mooring.container.states import Status, Verb
from mooring.errors import BusUnavailable, ContainerNotFound, WrongState
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind
from mooring.rpc.api import ControllerEnd
from mooring.rpc.messages import (
    Archive,
    ContainerReport,
    DeviceReport,
    DeviceState,
    Done,
    Failure,
    FailureKind,
    HostFacts,
    Image,
    LogQuery,
    NodeReport,
    Output,
    ProcessTable,
    Usage,
    Wanted,
    WantedContainer,
)

FACTS: Final = HostFacts(
    cpus=16,
    memory_mib=65536,
    disk_gib=500,
    architecture="x86_64",
    os_type="linux",
    os="Debian GNU/Linux 12",
    kernel_version="6.1.0",
)
_STARTED: Final = datetime(2026, 1, 1, tzinfo=UTC)
_UNWANTED_SYNCS: Final = 2
_STARTING: Final = {
    Verb.START: Status.RUNNING,
    Verb.STOP: Status.STOPPED,
    Verb.REBOOT: Status.RUNNING,
    Verb.PAUSE: Status.PAUSED,
    Verb.UNPAUSE: Status.RUNNING,
    Verb.KILL: Status.STOPPED,
}


def card(bus: int = 1, *, vfs: int = 7, physical_network: str = "physnet2") -> tuple[DeviceReport, ...]:
    """Return an Intel 82576 in a slot of its own, with its VFs."""
    parent = PciAddress.parse(f"0000:{bus:02x}:00.0")
    shared = {"vendor_id": "8086", "physical_network": physical_network, "numa_node": 0}
    mac = f"02:00:00:00:{bus:02x}:00"
    pf = DeviceReport(address=parent, kind=DeviceKind.PF, product_id="10c9", mac=mac, **shared)
    addresses = (PciAddress.parse(f"0000:{bus:02x}:{0x10 + n // 8:02x}.{n % 8}") for n in range(vfs))
    return (
        pf,
        *(
            DeviceReport(address=address, kind=DeviceKind.VF, product_id="10ca", parent=parent, **shared)
            for address in addresses
        ),
    )


@dataclass
class FakeContainer:
    """A container as its host's engine has it."""

    spec: ContainerSpec
    status: Status
    ports: tuple[str, ...] = ()
    devices: frozenset[PciAddress] = frozenset()
    started_at: datetime | None = None
    health: str | None = None


@dataclass
class _Known:
    """What the node remembers of a container."""

    wanted: WantedContainer
    done: Done | None = None
    unwanted: int = 0


@dataclass
class FakeNode:
    """The node of one host: NodeEnd, and in ``sync`` the node's side of ControllerEnd. Its images run ``serve IMAGE``.

    ``containers`` is what the engine has. ``refusal`` is why the host can serve nobody at the moment, ``failure`` why
    operations fail that would fail anywhere, ``sticks`` why containers cannot be taken away. While ``is_away`` it
    answers nobody; ``is_deaf`` loses what wakes it. ``gone`` are devices that the host has lost.
    """

    host: str
    devices: tuple[DeviceReport, ...] = ()
    boot_id: str = "boot-1"
    facts: HostFacts = FACTS
    containers: dict[str, FakeContainer] = field(default_factory=dict)
    refusal: str | None = None
    failure: str | None = None
    sticks: str | None = None
    is_away: bool = False
    is_deaf: bool = False
    is_woken: bool = False
    gone: set[PciAddress] = field(default_factory=set)
    carried_out: list[tuple[str, int, Verb]] = field(default_factory=list)
    _known: dict[str, _Known] = field(default_factory=dict)

    # The node's own work

    def sync(self, controllers: ControllerEnd) -> None:
        """Report and do what is wanted, until nothing is left to do."""
        if self.is_away:
            return
        self.is_woken = False
        while self.see_to(controllers.sync(self.report())):
            pass

    def report(self) -> NodeReport:
        """Return what the node would report now."""
        return NodeReport(
            host=self.host,
            boot_id=self.boot_id,
            facts=self.facts,
            devices=tuple(self._device(device) for device in self.devices if device.address not in self.gone),
            containers=tuple(self._report(uuid) for uuid in sorted(self.containers.keys() | self._known.keys())),
        )

    def see_to(self, wanted: Wanted) -> bool:
        """Do what is wanted and was not done yet; tell whether anything was."""
        for container in wanted.containers:
            known = self._known.setdefault(container.uuid, _Known(wanted=container))
            if known.wanted.operation.number <= container.operation.number:
                known.wanted, known.unwanted = container, 0
        did = [known for known in self._known.values() if self._is_due(known)]
        for known in did:
            operation = known.wanted.operation
            known.done = Done(number=operation.number, failure=self._carry_out(known.wanted))
            self.carried_out.append((known.wanted.uuid, operation.number, operation.verb))
        self._take_away(self._known.keys() - {container.uuid for container in wanted.containers})
        return bool(did)

    def reboot(self) -> None:
        """Let the host boot anew: nothing runs any more."""
        self.boot_id += "'"
        for container in self.containers.values():
            container.status = Status.STOPPED

    def lose_everything(self) -> None:
        """Let another machine take the host's name."""
        self.containers.clear()
        self._known.clear()
        self.reboot()

    # NodeEnd

    def wake(self) -> None:
        """Sync soon."""
        self._answer("waking")
        self.is_woken = self.is_woken or not self.is_deaf

    def execute(self, uuid: str, command: Sequence[str]) -> Output:
        """Run a command."""
        self._running(uuid, "execute")
        return Output(text=" ".join(command), exit_code=0)

    def logs(self, uuid: str, query: LogQuery) -> str:
        """Return what a container has written."""
        return f"{self._there(uuid, 'logs').spec.image}, {query.tail}"

    def top(self, uuid: str, ps_arguments: str | None) -> ProcessTable:
        """Return its processes."""
        self._running(uuid, "top")
        return ProcessTable(titles=("PID", ps_arguments or "CMD"), processes=(("1", "sh"),))

    def stats(self, uuid: str) -> Usage:
        """Return what it uses."""
        self._running(uuid, "stats")
        return Usage(
            cpu_percent=1.0,
            memory_bytes=1,
            memory_limit_bytes=2,
            block_read_bytes=0,
            block_write_bytes=0,
            received_bytes=0,
            sent_bytes=0,
        )

    def get_archive(self, uuid: str, path: str) -> Archive:
        """Return a file."""
        self._there(uuid, "get_archive")
        return Archive(data="", stat={"name": path})

    def put_archive(self, uuid: str, path: str, data: str) -> None:
        """Unpack an archive."""
        del path, data
        self._there(uuid, "put_archive")

    def commit(self, uuid: str, repository: str, tag: str | None) -> str:
        """Make an image."""
        self._there(uuid, "commit")
        return f"sha256:{repository}:{tag}"

    def resize_terminal(self, uuid: str, width: int, height: int) -> None:
        """Tell a terminal its size."""
        del width, height
        self._running(uuid, "resize")

    def images(self) -> tuple[Image, ...]:
        """Return the images of the containers."""
        self._answer("listing images")
        return tuple(
            Image(id=spec.image, repository=spec.image, tag="latest", size_bytes=1)
            for spec in (container.spec for container in self.containers.values())
        )

    def pull(self, image: str) -> Image:
        """Fetch an image."""
        self._answer("fetching an image")
        return Image(id=image, repository=image, tag="latest", size_bytes=1)

    # How

    def _is_due(self, known: _Known) -> bool:
        return known.done is None or known.done.number < known.wanted.operation.number

    def _carry_out(self, wanted: WantedContainer) -> Failure | None:
        verb = wanted.operation.verb
        problem = self.sticks if verb is Verb.DELETE else self.failure
        if problem is not None:
            return Failure(kind=FailureKind.FAILED, message=problem)
        if verb is Verb.DELETE:
            self.containers.pop(wanted.uuid, None)
            return None
        return self._make(wanted) if verb in (Verb.CREATE, Verb.REBUILD) else self._change(wanted)

    def _change(self, wanted: WantedContainer) -> Failure | None:
        verb = wanted.operation.verb
        container = self.containers.get(wanted.uuid)
        if container is None:
            return Failure(kind=FailureKind.FAILED, message=f"Container {wanted.uuid} could not be found")
        if verb in (Verb.ATTACH, Verb.DETACH):
            return self._equip(container, wanted)
        container.spec = wanted.spec
        container.status = _STARTING.get(verb, container.status)
        if container.status is Status.RUNNING:
            container.started_at = _STARTED
        return None

    def _make(self, wanted: WantedContainer) -> Failure | None:
        self.containers.pop(wanted.uuid, None)
        container = FakeContainer(spec=wanted.spec, status=Status.CREATED)
        failure = self._equip(container, wanted)
        if failure is not None:
            return failure
        if wanted.operation.arguments.get("run"):
            container.status, container.started_at = Status.RUNNING, _STARTED
        self.containers[wanted.uuid] = container
        return None

    def _equip(self, container: FakeContainer, wanted: WantedContainer) -> Failure | None:
        """Give a container the interfaces and devices that it is to have; refuse what is another's, or lost."""
        devices = {each.device for each in wanted.interfaces if each.device is not None} | set(wanted.devices)
        others = (other for other in self.containers.values() if other is not container)
        taken = {address for other in others for address in other.devices} | self.gone
        problem = self.refusal if devices - container.devices else None
        if busy := devices & taken:
            problem = f"PCI device {min(map(str, busy))} is in use"
        if problem is not None:
            return Failure(kind=FailureKind.REFUSED, message=problem)
        container.devices = frozenset(devices)
        container.ports = tuple(each.port.id for each in wanted.interfaces)
        return None

    def _take_away(self, unwanted: Iterable[str]) -> None:
        for uuid in list(unwanted):
            self._known[uuid].unwanted += 1
            if self._known[uuid].unwanted >= _UNWANTED_SYNCS:
                self.containers.pop(uuid, None)
                del self._known[uuid]

    def _device(self, device: DeviceReport) -> DeviceReport:
        held = any(device.address in container.devices for container in self.containers.values())
        return device.model_copy(update={"state": DeviceState.HELD}) if held else device

    def _report(self, uuid: str) -> ContainerReport:
        container, known = self.containers.get(uuid), self._known.get(uuid)
        done = None if known is None else known.done
        if container is None:
            return ContainerReport(uuid=uuid, status=Status.DELETED, done=done)
        return ContainerReport(
            uuid=uuid,
            status=container.status,
            runtime_id=f"docker-{uuid}",
            started_at=container.started_at,
            health=container.health,
            command=container.spec.command or ("serve", container.spec.image),
            entrypoint=container.spec.entrypoint,
            attached=container.ports,
            done=done,
        )

    def _answer(self, doing: str) -> None:
        if self.is_away:
            raise BusUnavailable(doing, f"host {self.host} is away")

    def _there(self, uuid: str, verb: str) -> FakeContainer:
        self._answer(verb)
        if uuid not in self.containers:
            raise ContainerNotFound(uuid)
        return self.containers[uuid]

    def _running(self, uuid: str, verb: str) -> FakeContainer:
        container = self._there(uuid, verb)
        if container.status is not Status.RUNNING:
            raise WrongState(uuid, verb, container.status)
        return container


class FakeNodes:
    """Nodes, each on its host. A host that was never added is one that is away."""

    def __init__(self) -> None:
        self.all: dict[str, FakeNode] = {}

    def add(self, host: str, *devices: DeviceReport) -> FakeNode:
        """Add a host with devices."""
        self.all[host] = FakeNode(host, devices)
        return self.all[host]

    def on(self, host: str) -> FakeNode:
        """Return the node of a host."""
        return self.all.get(host) or FakeNode(host, is_away=True)
