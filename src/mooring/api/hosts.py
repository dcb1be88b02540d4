"""Container hosts, for administrators: what they are, what is used of them, and their devices."""

from __future__ import annotations

from typing import Final, Literal

from mooring.api.fields import Limit
from mooring.api.paging import PageQuery, next_page, paged, unknown_marker
from mooring.api.reading import Query
from mooring.api.routing import Call, Route
from mooring.api.services import every_host
from mooring.api.views import Link, View
from mooring.db.api import Device, Host, Pool
from mooring.errors import HostNotFound
from mooring.rpc.messages import DeviceState

HOST: Final = "/hosts/<key>"


class HostsQuery(PageQuery):
    """Which hosts are wanted, and in which order; a marker is a host's uuid.

    Names go up in the database's order, and down in that of their characters.
    """

    limit: Limit = 1000
    sort_key: Literal[
        "hostname",
        "uuid",
        "cpus",
        "cpu_used",
        "mem_total",
        "mem_used",
        "disk_total",
        "disk_used",
        "total_containers",
        "architecture",
        "os_type",
        "os",
        "kernel_version",
        "availability_zone",
    ] = "hostname"


class HostView(View):
    """A host. Memory in MiB, disk in GiB; what is used is what its containers were promised."""

    uuid: str
    hostname: str
    links: tuple[Link, ...]
    cpus: int
    cpu_used: float
    mem_total: int
    mem_used: int
    disk_total: int
    disk_used: int
    total_containers: int
    architecture: str
    os_type: str
    os: str
    kernel_version: str
    labels: dict[str, str]
    runtimes: tuple[str, ...]
    disk_quota_supported: bool = False
    enable_cpu_pinning: bool = False
    availability_zone: str


class HostsView(View):
    """A page of hosts; ``next`` is where the next one is."""

    hosts: tuple[HostView, ...]
    next: str | None


class PoolView(View):
    """Devices that are alike: how many there are, and how many of them are free."""

    vendor_id: str
    product_id: str
    dev_type: str
    physical_network: str | None
    numa_node: int | None
    parent: str | None
    total: int
    free: int


class PoolsView(View):
    """The pools of a host."""

    pools: tuple[PoolView, ...]


class DetailedHostView(HostView):
    """A host with its pools of devices."""

    pci_pools: tuple[PoolView, ...]


class DeviceView(View):
    """A PCI device of a host.

    ``status`` is in Nova's and Zun's words, ``state`` as the node sees it. ``container`` has it for ``request``, one of
    the container's ports or aliases. ``holder`` is the port that has it by the host's own journal, or the container
    that has it without one.
    """

    address: str
    dev_type: str
    vendor_id: str
    product_id: str
    parent: str | None
    numa_node: int | None
    physical_network: str | None
    trusted: bool
    vf_driver: str | None
    label: str
    status: str
    state: str
    detail: str
    container: str | None
    request: str | None
    holder: str | None


class DevicesView(View):
    """The devices of a host, a PF above its VFs."""

    devices: tuple[DeviceView, ...]


def _list(call: Call[HostsQuery, None]) -> HostsView:
    if (call.query.sort_key, call.query.sort_dir) == ("hostname", "asc"):
        return _list_by_name(call)
    # What is sorted by may be a sum, or inside what a node tells: only the whole list shows which come first.
    hosts = (HostView(**_keys(host, call.root)) for host in every_host(call.core.store))
    page, more = paged(hosts, call.query, path="/hosts", mark=lambda host: host.uuid)
    return HostsView(hosts=page, next=more)


def _list_by_name(call: Call[HostsQuery, None]) -> HostsView:
    """Return a page in the order that the database has them in; no others are read."""
    query = call.query
    try:
        # One more tells whether there is a next page.
        found = call.core.store.hosts(marker=query.marker, limit=query.limit + 1)
    except HostNotFound as exc:
        raise unknown_marker(query) from exc
    page = found[: query.limit]
    return HostsView(
        hosts=tuple(HostView(**_keys(host, call.root)) for host in page),
        next=next_page(query, path="/hosts", marker=page[-1].uuid) if len(found) > len(page) else None,
    )


def _show(call: Call[Query, None]) -> DetailedHostView:
    host = call.core.store.host(call.key)
    pools = call.core.store.pools(host.name)
    return DetailedHostView(**_keys(host, call.root), pci_pools=tuple(_pool(pool) for pool in pools))


def _pools(call: Call[Query, None]) -> PoolsView:
    host = call.core.store.host(call.key)
    return PoolsView(pools=tuple(_pool(pool) for pool in call.core.store.pools(host.name)))


def _devices(call: Call[Query, None]) -> DevicesView:
    host = call.core.store.host(call.key)
    return DevicesView(devices=tuple(_device(device) for device in call.core.store.devices(host.name)))


def _keys(host: Host, root: str) -> dict[str, object]:
    facts = host.facts
    return {
        "uuid": host.uuid,
        "hostname": host.name,
        "links": (Link(rel="self", href=f"{root}/v1/hosts/{host.uuid}"),),
        "cpus": facts.cpus,
        "cpu_used": host.used_cpus,
        "mem_total": facts.memory_mib,
        "mem_used": host.used_memory_mib,
        "disk_total": facts.disk_gib,
        "disk_used": host.used_disk_gib,
        "total_containers": host.containers,
        "architecture": facts.architecture,
        "os_type": facts.os_type,
        "os": facts.os,
        "kernel_version": facts.kernel_version,
        "labels": dict(facts.labels),
        "runtimes": facts.runtimes,
        "availability_zone": facts.availability_zone,
    }


def _pool(pool: Pool) -> PoolView:
    return PoolView(
        vendor_id=pool.vendor_id,
        product_id=pool.product_id,
        dev_type=pool.kind.value,
        physical_network=pool.physical_network,
        numa_node=pool.numa_node,
        parent=None if pool.parent is None else str(pool.parent),
        total=pool.total,
        free=pool.free,
    )


def _device(device: Device) -> DeviceView:
    report = device.report
    return DeviceView(
        address=str(report.address),
        dev_type=report.kind.value,
        vendor_id=report.vendor_id,
        product_id=report.product_id,
        parent=None if report.parent is None else str(report.parent),
        numa_node=report.numa_node,
        physical_network=report.physical_network,
        trusted=report.trusted,
        vf_driver=report.vf_driver,
        label=report.label,
        status=_status(device),
        state=report.state.value,
        detail=report.detail,
        container=device.container,
        request=device.request,
        holder=report.holder,
    )


def _status(device: Device) -> str:
    if device.report.state is DeviceState.LOST:
        return "removed"
    if device.container is not None:
        return "allocated"
    return "available" if device.report.state is DeviceState.FREE and not device.is_blocked else "unavailable"


ROUTES: Final = (
    Route(
        method="GET",
        path="/hosts",
        rule="host:get_all",
        handler=_list,
        summary="List hosts",
        query=HostsQuery,
        reply=HostsView,
    ),
    Route(
        method="GET",
        path=HOST,
        rule="host:get",
        handler=_show,
        summary="Show a host with its pools of devices",
        reply=DetailedHostView,
    ),
    Route(
        method="GET",
        path=f"{HOST}/pools",
        rule="host:devices",
        handler=_pools,
        summary="List a host's pools of devices",
        reply=PoolsView,
    ),
    Route(
        method="GET",
        path=f"{HOST}/devices",
        rule="host:devices",
        handler=_devices,
        summary="List a host's PCI devices, and who has them",
        reply=DevicesView,
    ),
)
