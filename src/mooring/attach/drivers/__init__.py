"""Port drivers: one way to make a port present, for each kind of port (vnic_type)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

from mooring.attach.readings import CardReadings
from mooring.attach.types import AttachRequest, Lease, Placement, Sight
from mooring.host.kernel import VfSettings


class PortDriver(Protocol):
    """One way to hand ports of some kind to a container.

    The verbs ``create_host_iface``, ``delete_host_iface`` and ``get_container_iface_name`` are those of Zun's and
    kuryr's specification of an SR-IOV port driver.
    """

    vnic_types: ClassVar[frozenset[str]]

    reports_status: ClassVar[bool]
    """Whether it falls to mooring to tell Neutron that the device is up; elsewhere an L2 agent of Neutron's does."""

    outlives_reboot: ClassVar[bool]
    """Whether something of an attachment is still on the host after a reboot, and must be taken away."""

    def choose(self, request: AttachRequest) -> Iterator[Placement]:
        """Yield the places that may serve the request, best first. Changes nothing.

        Never ends in silence: raises Refused errors (DeviceUnusable, DeviceBusy, NoFreeDevice, NetworkUnusable) when
        there is none, or no other for one who asks again.
        """
        ...

    def plan(self, lease: Lease) -> VfSettings | None:
        """Return what the PF must hold for the VF of a lease whose port is bound; None where there is no VF.

        Pure; refuse here or never. Raises BindingRefused when Neutron's answer does not fit the device.
        """
        ...

    def create_host_iface(self, lease: Lease) -> frozenset[str]:
        """Prepare the leased device as ``lease.wanted`` and the port say, its interface down in the host's namespace.

        Returns the settings that the device's driver cannot honour. Safe to repeat.
        """
        ...

    def adjust(self, lease: Lease) -> frozenset[str]:
        """Make the device hold ``lease.wanted`` while the container has it; return what its driver cannot honour."""
        ...

    def delete_host_iface(self, lease: Lease) -> None:
        """Bring the device home, wherever it is, and make it clean. Safe to repeat.

        A device that has left the host is a success. Raises KernelRefused, NotClean or DeviceGone when it did not come
        clean; it must not be handed out then.
        """
        ...

    def get_container_iface_name(self, lease: Lease) -> str:
        """Return the name of the host's interface that is to be moved into the container; empty where none is."""
        ...

    def get_device_nodes(self, lease: Lease) -> tuple[str, ...]:
        """Return the files under ``/dev`` by which a program in the container drives the device; mostly none.

        Raises KernelRefused or DeviceGone when the device has left its driver.
        """
        ...

    def look(self, lease: Lease, cards: CardReadings) -> Sight:
        """Tell where the device of a ready lease is, and where it differs from what was wanted. Changes nothing."""
        ...
