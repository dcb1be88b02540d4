"""The host's devices that are no network cards', for programs in containers: which there are, and who has them."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.attach.journal import Journal
from mooring.errors import DeviceUnusable, EdgeFailure
from mooring.host.kernel import Kernel
from mooring.pci.address import PciAddress
from mooring.pci.device import PlainDevice
from mooring.pci.device_spec import DeviceSpec, admits_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainStatus:
    """An admitted device, with the container that has it, or what keeps it from programs; neither of a free one."""

    device: PlainDevice
    container: str | None = None
    obstacle: str | None = None


class PlainDevices:
    """The admitted devices. Their operator keeps them on vfio-pci: to take one from its driver may end the host.

    They serve no port, and need no cleaning: the kernel resets them whenever a program has ended (vfio_pci_core.c).
    """

    def __init__(self, *, kernel: Kernel, journal: Journal, specs: tuple[DeviceSpec, ...]) -> None:
        self._kernel = kernel
        self._journal = journal
        self._specs = specs
        self._may_be_any = any(spec.physical_network is None for spec in specs)

    def statuses(self) -> tuple[PlainStatus, ...]:
        """Return every admitted device's state, freshly read, ordered by address."""
        assigned = self._journal.assigned()
        return tuple(self._status(device, assigned.get(device.address)) for device in self._admitted())

    def named(self, address: PciAddress) -> PlainDevice:
        """Return an admitted device that nobody has and nothing keeps from programs, or one that is assigned.

        Raises DeviceUnusable.
        """
        for device in self._admitted():
            if device.address == address:
                status = self._status(device, self._journal.assigned().get(address))
                if status.obstacle is not None:
                    raise DeviceUnusable(address, status.obstacle)
                return device
        raise DeviceUnusable(address, "[pci] device_spec of this host does not admit it")

    def _admitted(self) -> tuple[PlainDevice, ...]:
        if not self._may_be_any:
            return ()
        return tuple(device for device in self._kernel.plain_devices() if admits_plain(self._specs, device))

    def _status(self, device: PlainDevice, container: str | None) -> PlainStatus:
        if container is not None:
            return PlainStatus(device=device, container=container)
        try:
            return PlainStatus(device=device, obstacle=self._kernel.vfio_obstacle(device))
        except EdgeFailure as exc:
            return PlainStatus(device=device, obstacle=str(exc))
