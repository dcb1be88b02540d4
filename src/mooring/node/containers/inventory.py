"""What a host has to offer, as its controllers are told: facts, and the devices that its device spec admits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from mooring.attach.devices import Devices
from mooring.attach.plain import PlainStatus
from mooring.attach.pool import PooledPf, VfState, VfStatus
from mooring.config.settings import ServiceSettings
from mooring.errors import EdgeFailure
from mooring.host.kernel import VFIO
from mooring.node.containers.runtime import EngineHost
from mooring.pci.device import PciDevice
from mooring.pci.requests import DeviceKind
from mooring.rpc.messages import DeviceReport, DeviceState, HostFacts

_GIB: Final = 1 << 30


def facts_of(engine: EngineHost, settings: ServiceSettings) -> HostFacts:
    """Return what the host is. Labels that an operator gave the node win over those of the engine."""
    root = Path(engine.root)
    return HostFacts(
        cpus=engine.cpus,
        memory_mib=engine.memory_mib,
        # Docker may have its data where the node cannot look.
        disk_gib=shutil.disk_usage(root if root.exists() else "/").total // _GIB,
        architecture=engine.architecture,
        os_type=engine.os_type,
        os=engine.os,
        kernel_version=engine.kernel_version,
        labels={**engine.labels, **settings.labels},
        runtimes=engine.runtimes or ("runc",),
        engine_version=engine.version,
        availability_zone=settings.availability_zone,
    )


class Inventory:
    """The devices of this host as the kernel and the journal have them at the moment."""

    def __init__(self, devices: Devices) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._plain = devices.plain

    def boot_id(self) -> str:
        """Return the identity of this boot."""
        return self._kernel.boot_id()

    def devices(self) -> tuple[DeviceReport, ...]:
        """Return the devices that may serve containers, ordered by address."""
        vfs = {status.pooled.address: self._vf(status) for status in self._pool.statuses()}
        pfs = {card.address: self._pf(card) for card in self._pool.cards()}
        plain = {status.device.address: _plain(status) for status in self._plain.statuses()}
        return tuple(report for _, report in sorted({**pfs, **vfs, **plain}.items()))

    def _vf(self, status: VfStatus) -> DeviceReport:
        member = status.pooled
        state, holder, detail = _state(status)
        return DeviceReport(
            address=member.address,
            kind=DeviceKind.VF,
            vendor_id=member.vf.vendor_id,
            product_id=member.vf.product_id,
            parent=member.pf.address,
            numa_node=member.vf.numa_node,
            physical_network=member.physical_network,
            trusted=member.trusted,
            vf_driver=member.vf_driver,
            label=_label(member.vf),
            state=state,
            holder=holder,
            detail=detail,
        )

    def _pf(self, card: PooledPf) -> DeviceReport:
        pf = card.pf
        state, holder, detail, mac = DeviceState.FREE, None, "", None
        lease = self._journal.holder(pf.address)
        try:
            if lease is not None:
                state, holder = DeviceState.HELD, lease.port.id
                mac = lease.uplink.mac if lease.uplink is not None else None
            elif (user := self._kernel.user_of(pf)) is not None:
                state, detail = DeviceState.UNUSABLE, str(user)
            elif (netdev := self._kernel.netdev(pf)) is not None:
                mac = netdev.mac
            else:
                state, detail = DeviceState.UNUSABLE, f"it has no network interface (driver {pf.driver})"
        except EdgeFailure as exc:
            state, detail = DeviceState.UNUSABLE, str(exc)
        return DeviceReport(
            address=pf.address,
            kind=DeviceKind.PF,
            vendor_id=pf.vendor_id,
            product_id=pf.product_id,
            numa_node=pf.numa_node,
            physical_network=card.physical_network,
            mac=mac,
            label=_label(pf),
            state=state,
            holder=holder,
            detail=detail,
        )


def _state(status: VfStatus) -> tuple[DeviceState, str | None, str]:
    if status.lease is not None:
        return DeviceState.HELD, status.lease.port.id, ""
    if status.container is not None:
        return DeviceState.HELD, status.container, ""
    if status.state is VfState.FREE:
        return DeviceState.FREE, None, ""
    return DeviceState.UNUSABLE, None, f"{status.state.value}: {status.reason}"


def _plain(status: PlainStatus) -> DeviceReport:
    """Report a device that is for programs only."""
    device, state = status.device, DeviceState.FREE
    if status.container is not None:
        state = DeviceState.HELD
    elif status.obstacle is not None:
        state = DeviceState.UNUSABLE
    return DeviceReport(
        address=device.address,
        kind=DeviceKind.PCI if device.parent is None else DeviceKind.VF,
        vendor_id=device.vendor_id,
        product_id=device.product_id,
        parent=device.parent,
        numa_node=device.numa_node,
        vf_driver=VFIO,
        label=_label(device),
        state=state,
        holder=status.container,
        detail=status.obstacle or "",
    )


def _label(device: PciDevice) -> str:
    """Name a kind of device as Nova does."""
    return f"label_{device.vendor_id}_{device.product_id}"
