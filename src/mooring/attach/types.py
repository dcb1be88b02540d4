"""The values that travel through an attachment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mooring.host.kernel import VfSettings
from mooring.neutron.model import Network, Port
from mooring.pci.address import PciAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest:
    """A port to be made present in a container.

    ``attachment`` identifies the presence, not the container: Docker's endpoint id, new at every start. ``created``
    says that mooring made the port for this attachment and deletes it at the end. ``vnic_type`` is the kind wanted of
    a created port whose kind is still to be settled by the binding. ``numa_node`` is where the container would like its
    VF to be.
    """

    attachment: str
    port: Port
    network: Network
    device_owner: str
    created: bool = False
    vnic_type: str | None = None
    numa_node: int | None = None


class LeaseStep(StrEnum):
    """How far an attachment has come. Each is written before the work it names begins."""

    LEASED = "leased"
    BINDING = "binding"
    PROGRAMMING = "programming"
    READY = "ready"
    RELEASING = "releasing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The clean settings of a free VF, as the PF holds them. Recorded once in a boot.

    ``settings.mac`` is a MAC of mooring's own. ``first_mac`` is the one that the VF had when it was first seen: it was
    nobody's yet, so a VF that still has it is clean too.
    """

    settings: VfSettings
    first_mac: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The node's ownership of a VF for an attachment: a journal row.

    ``id`` fences: a late call for an older lease of the same VF or port cannot touch this one. ``port`` is the port as
    last answered by Neutron, ``former`` as it was before mooring touched it. ``wanted`` is None until the binding has
    told the VLAN. ``missing`` names the settings that the VF's driver cannot honour.
    """

    id: str
    attachment: str
    boot_id: str
    device: PciAddress
    parent: PciAddress
    physical_network: str
    driver: str
    step: LeaseStep
    port: Port
    former: Port
    network: Network
    device_owner: str
    created: bool
    vnic_type: str
    pci_vendor_info: str
    wanted: VfSettings | None = None
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What a front door needs to hand a device over: which it is, and its interface's name in the host's namespace."""

    id: str
    device: PciAddress
    interface: str


class Attachments(Protocol):
    """The core's verbs, as the front doors call them. Every verb may come twice, late or never."""

    def lease(self, request: AttachRequest) -> Lease:
        """Reserve a device for the request and journal it. Quick: asks neither Neutron nor a driver.

        Raises Refused errors (DeviceUnusable, DeviceBusy, NoFreeDevice, PortUnusable, PortBusy, NetworkUnusable,
        UnsupportedVnicType). The same request again returns the same lease.
        """
        ...

    def attach(self, attachment: str) -> Attachment:
        """Bind the port and prepare the leased device, so that its interface may be moved into the container.

        Raises BindingRefused, NeutronUnreachable, KernelRefused, NotClean...; whatever it raises, it has undone what
        it did, and the lease is gone. Raises InvalidRequest for an attachment that was never leased.
        """
        ...

    def detach(self, attachment: str) -> None:
        """Take the device back, clean it, and unbind (or delete) the port. Unknown attachments are a success.

        Does not fail for Neutron: what Neutron is owed is journalled and paid later.
        """
        ...

    def find(self, attachment: str) -> Lease | None:
        """Return the lease of an attachment."""
        ...
