"""What containers of the service hold of this host's devices."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from mooring.attach.devices import Devices
from mooring.attach.engine import Engine
from mooring.attach.pool import PooledVf
from mooring.errors import DeviceUnusable
from mooring.host.kernel import VFIO, VFIO_NODE
from mooring.pci.address import PciAddress
from mooring.pci.device import VirtualFunction
from mooring.rpc.messages import WantedContainer


class Holdings:
    """The plugin leases devices, when Docker connects a container; here they are handed to programs, and freed."""

    def __init__(self, devices: Devices, engine: Engine) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._engine = engine

    def nodes_for(self, wanted: WantedContainer) -> tuple[str, ...]:
        """Return the files under ``/dev`` by which a container drives the devices that it has without an interface.

        Raises DeviceUnusable for a device that no program can drive.
        """
        members = self._members()
        kept = [
            interface.device
            for interface in wanted.interfaces
            if interface.device in members and members[interface.device].vf_driver == VFIO
        ]
        groups = [self._group(address) for address in (*kept, *wanted.devices) if address is not None]
        return (VFIO_NODE, *dict.fromkeys(groups)) if groups else ()

    def let_go(self, uuid: str, ports: Collection[str] | None = None) -> tuple[str, ...]:
        """End what is left of a container's attachments, of all its ports or of some; return what does not end yet.

        Docker ends them when it removes the container, but does not tell if mooring was not there to hear it.
        """
        for lease in self._journal.leases():
            if lease.is_bound and lease.device_id == uuid and (ports is None or lease.port.id in ports):
                self._engine.detach(lease.attachment)
        return tuple(
            lease.place
            for lease in self._journal.leases()
            if lease.is_bound and lease.device_id == uuid and (ports is None or lease.port.id in ports)
        )

    def clean(self, addresses: Iterable[PciAddress]) -> None:
        """Clean devices that programs have had; those that do not come clean are quarantined."""
        members = self._members()
        for member in _known(members, addresses):
            self._engine.caretaker.clean(member, ours=True)

    def _members(self) -> dict[PciAddress, PooledVf]:
        return {member.address: member for member in self._pool.members()}

    def _group(self, address: PciAddress) -> str:
        vf = self._kernel.find(address)
        group = self._kernel.vfio_group(vf) if isinstance(vf, VirtualFunction) else None
        if group is None:
            raise DeviceUnusable(
                address,
                f'it is not bound to {VFIO}, by which programs drive a VF; say "vf_driver": "{VFIO}" of it in [pci] '
                "device_spec of this host",
            )
        return group


def _known(members: dict[PciAddress, PooledVf], addresses: Iterable[PciAddress]) -> Iterator[PooledVf]:
    yield from (members[address] for address in addresses if address in members)
