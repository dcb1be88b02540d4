"""Port drivers: one way to make a port present, for each kind of port (vnic_type)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

from mooring.attach.pool import PooledVf
from mooring.attach.types import AttachRequest, Lease
from mooring.host.kernel import VfSettings


class PortDriver(Protocol):
    """One way to hand ports of some kind to a container.

    The three verbs in the middle are those of Zun's and kuryr's specification of an SR-IOV port driver.
    """

    vnic_types: ClassVar[frozenset[str]]

    def choose(self, request: AttachRequest) -> Iterator[PooledVf]:
        """Yield the devices that may serve the request, best first. Changes nothing.

        Never ends in silence: raises Refused errors (DeviceUnusable, DeviceBusy, NoFreeDevice, NetworkUnusable) when
        there is none, or no other for one who asks again.
        """
        ...

    def plan(self, lease: Lease) -> VfSettings:
        """Return what the device must hold for a lease whose port is bound. Pure; refuse here or never.

        Raises BindingRefused when Neutron's answer does not fit the device.
        """
        ...

    def create_host_iface(self, lease: Lease, wanted: VfSettings) -> frozenset[str]:
        """Prepare the leased device as planned, its interface down in the host's namespace.

        Returns the settings that the device's driver cannot honour. Safe to repeat.
        """
        ...

    def delete_host_iface(self, lease: Lease) -> None:
        """Bring the device home, wherever it is, and make it clean for the pool. Safe to repeat.

        A device that has left the host is a success. Raises KernelRefused, NotClean or DeviceGone when it did not come
        clean; it must not be handed out then.
        """
        ...

    def get_container_iface_name(self, lease: Lease) -> str:
        """Return the name of the host's interface that is to be moved into the container."""
        ...
