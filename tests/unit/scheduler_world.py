"""Hosts with devices, in memory, that answer the scheduler as the database does, and remember what was claimed."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mooring.config.settings import SchedulerSettings
from mooring.container.model import AliasClaim, ClaimedDevice, Container, Interface
from mooring.container.spec import ContainerSpec
from mooring.controller.scheduler.names import DEFAULT_FILTERS
from mooring.controller.scheduler.scheduler import Placement, Scheduler
from mooring.db.api import Candidate, Host
from mooring.pci.address import PciAddress
from mooring.pci.alias import Alias, parse_aliases
from mooring.pci.requests import DeviceKind, DeviceRequest, ProductSpec
from mooring.rpc.messages import HostFacts

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
ALIASES = parse_aliases(
    [
        '{"name": "crypto", "vendor_id": "8086", "product_id": "37c9", "device_type": "VF"}',
        '{"name": "strict", "vendor_id": "8086", "product_id": "37c9", "device_type": "VF", "numa_policy": "required"}',
    ]
)


@dataclass(frozen=True, kw_only=True)
class FakeDevice:
    """A device as a node reports it, with its row."""

    kind: DeviceKind
    claimed: ClaimedDevice
    trusted: bool = False

    def fits(self, wish: DeviceRequest) -> bool:
        vendor, product = self.claimed.vendor_info.split(":")
        any_of = wish.products or (ProductSpec(),)
        return (
            wish.admits(self.kind)
            and wish.physical_network in (None, self.claimed.physical_network)
            and (self.trusted or not wish.trusted)
            and (self.claimed.vf_driver == "vfio-pci") == wish.for_program
            and any(spec.vendor_id in (None, vendor) and spec.product_id in (None, product) for spec in any_of)
        )


@dataclass
class FakeHost:
    """A host with its devices; ``taken`` are rows."""

    host: Host
    devices: list[FakeDevice] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)

    def free(self) -> list[FakeDevice]:
        in_use = [device.claimed for device in self.devices if device.claimed.row in self.taken]
        own = {device.address for device in in_use}
        cards = {device.parent for device in in_use}
        return [
            device
            for device in self.devices
            if device.claimed.address not in own | cards and device.claimed.parent not in own
        ]


class FakeHosts:
    """The part of the database that places."""

    def __init__(self) -> None:
        self.all: list[FakeHost] = []
        self.queries = 0
        self._row = 0

    def add(self, name: str, *, silent_s: float = 0, **host: object) -> FakeHost:
        facts = {key: host.pop(key) for key in list(host) if key in HostFacts.model_fields}
        made = FakeHost(
            Host(
                row=len(self.all) + 1,
                uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
                name=name,
                facts=HostFacts(
                    **{
                        "cpus": 4,
                        "memory_mib": 4096,
                        "disk_gib": 100,
                        "architecture": "x86_64",
                        "os_type": "linux",
                        "os": "Debian",
                        "kernel_version": "6.1",
                        **facts,
                    }
                ),
                boot_id="boot",
                seen_at=NOW - timedelta(seconds=silent_s),
                created_at=NOW,
                updated_at=NOW,
                **host,
            )
        )
        self.all = sorted([*self.all, made], key=lambda each: each.host.uuid)
        return made

    def add_card(
        self,
        host: FakeHost,
        bus: int,
        vfs: int,
        *,
        physical_network: str | None = "physnet1",
        numa_node: int | None = 0,
        trusted: bool = False,
        ids: str = "8086:154c",
        vf_driver: str | None = None,
    ) -> list[int]:
        """Put a card with a PF and VFs into a host; return their rows, the PF's first."""
        pf = PciAddress(0, bus, 0, 0)
        rows = []
        for number in range(vfs + 1):
            self._row += 1
            address = PciAddress(0, bus, 2 + number // 8, number % 8) if number else pf
            claimed = ClaimedDevice(
                row=self._row,
                address=address,
                parent=pf if number else None,
                vendor_info=ids if number else "8086:1572",
                physical_network=physical_network,
                numa_node=numa_node,
                vf_driver=vf_driver if number else None,
            )
            kind = DeviceKind.VF if number else DeviceKind.PF
            host.devices.append(FakeDevice(kind=kind, claimed=claimed, trusted=trusted))
            rows.append(self._row)
        return rows

    def claim(self, placement: Placement, spec: ContainerSpec) -> None:
        (host,) = (each for each in self.all if each.host.name == placement.host.name)
        free = {device.claimed.row for device in host.free()}
        rows = {device.row for device in placement.picks.values()}
        assert rows <= free, "a device was picked that is not free"
        host.taken |= rows
        host.host = replace(
            host.host,
            used_cpus=host.host.used_cpus + spec.cpu,
            used_memory_mib=host.host.used_memory_mib + spec.memory_mib,
        )

    def candidates(
        self,
        requests: Sequence[DeviceRequest],
        *,
        after: str,
        limit: int,
        alive_since: datetime,
        only: str | None = None,
        with_room: bool = True,
    ) -> tuple[Candidate, ...]:
        self.queries += 1
        found = []
        for each in self.all:
            host = each.host
            if host.uuid <= after or only not in (None, host.name):
                continue
            candidate = candidate_of(each, requests)
            is_open = not host.disabled and not host.forced_down and host.seen_at >= alive_since
            if not with_room or (is_open and all(candidate.free.values())):
                found.append(candidate)
            if len(found) == limit:
                break
        return tuple(found)


def candidate_of(host: FakeHost, requests: Sequence[DeviceRequest]) -> Candidate:
    available = host.free()
    free = {wish.id: tuple(dev.claimed for dev in available if dev.fits(wish)) for wish in requests}
    totals = {wish.id: sum(device.fits(wish) for device in host.devices) for wish in requests}
    return Candidate(
        host=host.host,
        free=free,
        counts={wish.id: (totals[wish.id], len(free[wish.id])) for wish in requests},
        spare_devices=sum(
            device.kind is DeviceKind.VF and device.claimed.physical_network is not None for device in available
        ),
    )


def container(
    *ports: str | tuple[str, str],
    aliases: Sequence[str] = (),
    trusted: bool = False,
    host: str | None = None,
    tried: Mapping[str, str] | None = None,
    **spec: object,
) -> Container:
    """A container with ports, each a physical network (of a VF) or one with a vnic type."""
    named = [(port, "direct") if isinstance(port, str) else port for port in ports]
    return Container(
        uuid="c",
        project_id="p",
        user_id="u",
        spec=ContainerSpec(**{"name": "web", "image": "nginx", **spec}),
        created_at=NOW,
        host=host,
        tried=tried or {},
        interfaces=tuple(
            Interface(id=f"if{number}", network_id="n", vnic_type=vnic_type, physical_network=network, trusted=trusted)
            for number, (network, vnic_type) in enumerate(named)
        ),
        aliases=tuple(AliasClaim(id=f"al{number}", alias=alias) for number, alias in enumerate(aliases)),
    )


def settings(**changes: object) -> SchedulerSettings:
    return replace(SchedulerSettings(filters=DEFAULT_FILTERS, multipliers={}), **changes)


def scheduler(
    hosts: FakeHosts, *, seed: int = 0, aliases: Mapping[str, Alias] = ALIASES, **changes: object
) -> Scheduler:
    return Scheduler(
        hosts,
        settings(**changes),
        aliases=aliases,
        silent_s=180,
        rng=random.Random(seed),  # noqa: S311 - no secret
    )
