"""What containers of the service hold of this host's devices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from mooring.attach.devices import Devices
from mooring.attach.engine import Engine
from mooring.attach.pool import PooledVf
from mooring.errors import DeviceBusy, DeviceUnusable
from mooring.host.kernel import VFIO, VFIO_NODE
from mooring.node.containers.runtime import Found
from mooring.pci.address import PciAddress
from mooring.pci.device import PlainDevice, VirtualFunction
from mooring.rpc.messages import WantedContainer


class Holdings:
    """The plugin leases devices of ports when Docker connects a container; here they are handed to programs, and freed.

    A device without a port is assigned to its container in the journal, before the container is made and until nothing
    is left of it: nobody else gets it, be it for a port, and no round of the node's cleans it.
    """

    def __init__(self, devices: Devices, engine: Engine) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._plain = devices.plain
        self._engine = engine

    def nodes_for(self, wanted: WantedContainer) -> tuple[str, ...]:
        """Return the files under ``/dev`` by which a container drives the devices that it has without an interface.

        Those that have no port are the container's from now on. Raises DeviceUnusable for a device that no program can
        drive, and DeviceBusy for one that somebody else has.
        """
        members = self._members()
        for address in wanted.devices:
            self._assign(address, members.get(address), wanted.uuid)
        kept = [
            interface.device
            for interface in wanted.interfaces
            if interface.device in members and members[interface.device].vf_driver == VFIO
        ]
        groups = [self._group(address) for address in (*kept, *wanted.devices) if address is not None]
        return (VFIO_NODE, *dict.fromkeys(groups)) if groups else ()

    def plugged(self, containers: Iterable[Found]) -> Iterator[Found]:
        """Yield containers, those that are up with no connections but those that they have.

        Of a connection that Docker could not complete it shows an endpoint that has gone, until the next start.
        """
        leased = {(lease.device_id, lease.port.id) for lease in self._journal.leases() if lease.is_bound}
        for found in containers:
            links = tuple(link for link in found.links if (found.uuid, link.port_id) in leased)
            yield replace(found, links=links) if found.is_up else found

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

    def take_back(self, uuid: str) -> None:
        """Take from a container of which nothing is left the devices that it had without a port, and clean them.

        Those that do not come clean are quarantined.
        """
        members = self._members()
        for address in self._assigned_to(uuid):
            if address in members:
                self._engine.caretaker.take_back(members[address], uuid)
            else:
                self._journal.unassign(address, uuid)

    def take_back_from_others(self, living: Callable[[], Collection[str]]) -> None:
        """Take devices back from containers that are not among the ``living``: somebody has removed them by hand."""
        # In this order: whoever is being given a device is known before.
        if holders := set(self._journal.assigned().values()):
            for uuid in holders.difference(living()):
                self.take_back(uuid)

    def _assign(self, address: PciAddress, member: PooledVf | None, uuid: str) -> None:
        if member is None:
            self._journal.assign(address, self._plain.named(address).parent, uuid)
            return
        # A program gets its device without another word: no round may have begun to clean that as nobody's.
        with self._engine.card_locks.holding(member.pf.address):
            self._require_unused(address)
            self._journal.assign(address, member.pf.address, uuid)

    def _require_unused(self, address: PciAddress) -> None:
        self._group(address)
        # As it is now: whoever had the lock may have bound it to another driver.
        vf = self._kernel.find(address)
        is_nobodys = address not in self._journal.assigned() and self._journal.holder(address) is None
        if is_nobodys and isinstance(vf, VirtualFunction) and (user := self._pool.user_of(vf)) is not None:
            raise DeviceBusy(address, str(user), "end it, or name another device")

    def _assigned_to(self, uuid: str) -> list[PciAddress]:
        return [address for address, container in self._journal.assigned().items() if container == uuid]

    def _members(self) -> dict[PciAddress, PooledVf]:
        return {member.address: member for member in self._pool.members()}

    def _group(self, address: PciAddress) -> str:
        device = self._kernel.find(address)
        group = self._kernel.vfio_group(device) if isinstance(device, VirtualFunction | PlainDevice) else None
        if group is None:
            raise DeviceUnusable(
                address,
                f'it is not bound to {VFIO}, by which programs drive a VF; say "vf_driver": "{VFIO}" of it in [pci] '
                "device_spec of this host",
            )
        return group
