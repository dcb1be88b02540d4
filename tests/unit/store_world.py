"""Containers, hosts and devices for tests of the service's database."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mooring.container.model import ClaimedDevice, Container, Interface
from mooring.container.spec import ContainerSpec
from mooring.db.api import Action, Candidate, Capacity, Host, Store
from mooring.db.store import SqlStore
from mooring.db.tables import metadata
from mooring.errors import MooringError
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind, DeviceRequest
from mooring.rpc.messages import DeviceReport, HostFacts

NOW = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=365)
FACTS = HostFacts(
    cpus=16,
    memory_mib=65536,
    disk_gib=200,
    architecture="x86_64",
    os_type="linux",
    os="Debian 12",
    kernel_version="6.1",
    labels={"rack": "r1"},
)
PF = PciAddress.parse("0000:3b:00.0")
WISH = DeviceRequest(id="i1", kind=DeviceKind.VF, physical_network="physnet1")
WHOLE = DeviceRequest(id="i1", kind=DeviceKind.PF, physical_network="physnet1")

RIVALS = 16

_numbers = itertools.count(1)


def new_id() -> str:
    return str(uuid.uuid4())


def vf(index: int, *, parent: PciAddress = PF, **changes: object) -> DeviceReport:
    address = PciAddress(parent.domain, parent.bus, 2 + index // 8, index % 8)
    report = DeviceReport(
        address=address,
        kind=DeviceKind.VF,
        vendor_id="8086",
        product_id="154c",
        parent=parent,
        numa_node=0,
        physical_network="physnet1",
    )
    return report.model_copy(update=changes)


def pf(address: PciAddress = PF, **changes: object) -> DeviceReport:
    report = DeviceReport(
        address=address,
        kind=DeviceKind.PF,
        vendor_id="8086",
        product_id="1572",
        numa_node=0,
        physical_network="physnet1",
        mac="02:00:00:00:00:01",
    )
    return report.model_copy(update=changes)


def note_host(
    store: Store, name: str = "node1", devices: Sequence[DeviceReport] = (), *, now: datetime = NOW, **changes: object
) -> Host:
    facts = FACTS.model_copy(update=changes)
    return store.note_host(name, boot_id="boot-1", facts=facts, devices=devices, now=now)


def container(*, project: str = "p1", interfaces: tuple[Interface, ...] = (), **spec: object) -> Container:
    return Container(
        uuid=new_id(),
        project_id=project,
        user_id="u1",
        spec=ContainerSpec(**({"name": "web", "image": "nginx"} | spec)),
        # Databases order by it: each is a little later than the one before.
        created_at=NOW + timedelta(microseconds=next(_numbers)),
        interfaces=interfaces,
    )


def interface(name: str = "i1", *, port: str | None = None, vnic_type: str = "direct") -> Interface:
    return Interface(
        id=name,
        network_id="net-1",
        vnic_type=vnic_type,
        port_id=port if port is not None else new_id(),
        physical_network="physnet1",
    )


def action_of(container: Container, request_id: str = "req-1", **changes: object) -> Action:
    action = Action(
        request_id=request_id,
        container=container.uuid,
        action="create",
        project_id=container.project_id,
        user_id=container.user_id,
        start=NOW,
    )
    return replace(action, **changes)


def add(store: Store, container: Container, **options: object) -> Container:
    return store.add_container(container, action=action_of(container), **({"limits": {}} | options))


def added(store: Store, **parts: object) -> Container:
    return add(store, container(**parts))


def candidates(store: Store, *requests: DeviceRequest, **options: object) -> tuple[Candidate, ...]:
    return store.candidates(requests, **({"after": "", "limit": 100, "alive_since": LONG_AGO} | options))


def free(store: Store, request: DeviceRequest = WISH, *, host: str = "node1") -> list[ClaimedDevice]:
    """Return the devices that the database offers for a request, however many are alike."""
    alike = [request, *(replace(request, id=f"more-{number}") for number in range(64))]
    for candidate in candidates(store, *alike, only=host):
        return sorted(candidate.free[request.id], key=lambda device: device.address)
    return []


def claim(
    store: Store, container: Container, *devices: ClaimedDevice, host: str = "node1", capacity: Capacity | None = None
) -> Container:
    """Claim devices for a container's interfaces, in their order."""
    ids = [each.id for each in (*container.interfaces, *container.aliases)]
    picks = dict(zip(ids, devices, strict=False))
    return store.claim(container, host=store.host(host), picks=picks, capacity=capacity or Capacity())


def resized(container: Container, **limits: object) -> Container:
    """Return a container that asks for more or less of its host."""
    return replace(container, spec=container.spec.model_copy(update=limits))


def owners(store: Store, host: str = "node1") -> dict[str, str | None]:
    return {str(device.report.address): device.container for device in store.devices(host)}


def empty(store: SqlStore) -> None:
    """Forget all that is written."""
    with store._database.engine.begin() as db:
        for table in reversed(metadata.sorted_tables):
            db.execute(table.delete())


def race(*works: Callable[[], object]) -> list[object]:
    """Do all at the same moment, each in a thread; return what each returned, or the MooringError that it raised."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        start.wait()
        try:
            return work()
        except MooringError as refusal:
            return refusal

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works))
