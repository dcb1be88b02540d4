"""Tells container engines of the VFs that are there for programs to drive (vfio-pci)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import structlog

from mooring.attach.devices import Devices
from mooring.attach.types import LeaseStep
from mooring.errors import DeviceGone, EdgeFailure
from mooring.host.kernel import VFIO
from mooring.pci.address import PciAddress
from mooring.pci.device import VirtualFunction

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class VfioDevice:
    """A VF bound to vfio-pci, under one of its names. ``group`` is the node of its IOMMU group, ``/dev/vfio/12``."""

    name: str
    address: PciAddress
    group: str


class DeviceCatalogue(Protocol):
    """Where container engines look devices up."""

    def write(self, devices: tuple[VfioDevice, ...]) -> None:
        """Make these the devices that engines know, and no others of mooring's; raises an EdgeFailure."""
        ...


class VfioPublisher:
    """A Publisher (attach.types): publishes VFs of the device spec by address, and leased ones by their port's id.

    The address is known before a container starts; the id of the port says whose the VF is as long as it is leased.
    """

    def __init__(self, devices: Devices, catalogue: DeviceCatalogue) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._problem = ""

    def publish(self) -> None:
        """Write down anew what there is. A catalogue that cannot be written is told of, once; the next call retries."""
        with self._lock:
            problem = ""
            try:
                self._catalogue.write(tuple(self._devices()))
            except EdgeFailure as exc:
                problem = str(exc)
            if problem and problem != self._problem:
                log.error("vfio.not-published", error=problem)
            self._problem = problem

    def _devices(self) -> Iterator[VfioDevice]:
        quarantined = self._journal.quarantined()
        for member in self._pool.members():
            if member.vf_driver == VFIO and member.address not in quarantined:
                yield from self._named(str(member.address), member.address)
        for lease in self._journal.leases():
            if lease.vf_driver == VFIO and lease.step is LeaseStep.READY and lease.device is not None:
                yield from self._named(lease.port.id, lease.device)

    def _named(self, name: str, address: PciAddress) -> Iterator[VfioDevice]:
        """Yield the VF, unless it has left the host or its driver by now."""
        vf = self._kernel.find(address)
        if not isinstance(vf, VirtualFunction) or vf.driver != VFIO:
            return
        try:
            group = self._kernel.vfio_group(vf)
        except DeviceGone:
            return
        if group is not None:
            yield VfioDevice(name=name, address=address, group=group)
