"""The values that travel through an attachment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from mooring.host.kernel import Netdev, VfSettings
from mooring.neutron.model import EgressLimits, Network, Port
from mooring.pci.address import PciAddress


def short_id(attachment: str) -> str:
    """Return as much of an attachment's id as people need, and as Docker shows of its own ids."""
    return attachment[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest:
    """A port to be made present in a container.

    ``attachment`` identifies the presence, not the container: Docker's endpoint id, new at every start. ``created``
    says that mooring made the port for this attachment and deletes it at the end. ``vnic_type`` is the kind wanted of
    a created port whose kind is still to be settled by the binding. ``numa_node`` is where the container would like its
    VF to be, ``vf_driver`` the driver that it wants the VF to be bound to (None: its network driver).

    ``is_bound`` says that somebody else has bound the port to this host and to the device that its profile names, or to
    none, and unbinds it, too: Neutron is neither asked nor told anything. ``limits`` are what its QoS policy allows.
    """

    attachment: str
    port: Port
    network: Network
    device_owner: str
    created: bool = False
    vnic_type: str | None = None
    numa_node: int | None = None
    vf_driver: str | None = None
    is_bound: bool = False
    limits: EgressLimits = field(default_factory=EgressLimits)

    @property
    def kind(self) -> str:
        """The vnic_type that the port is to be bound as."""
        return self.vnic_type or self.port.vnic_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a port may be made present: at a device of this host, or, for a veth pair, at none.

    ``parent`` is the card that the device belongs to; a PF's is itself. ``profile`` is what the binding tells Neutron
    of the device. ``mac`` is the one that the port takes over from its device, where that dictates it. ``uplink`` is
    the PF's own interface as it was before it was lent out.
    """

    device: PciAddress | None = None
    parent: PciAddress | None = None
    physical_network: str | None = None
    profile: Mapping[str, str] = field(default_factory=dict)
    mac: str | None = None
    vf_driver: str | None = None
    uplink: Netdev | None = None


class LeaseStep(StrEnum):
    """How far an attachment has come. Each is written before the work it names begins."""

    LEASED = "leased"
    BINDING = "binding"
    PROGRAMMING = "programming"
    READY = "ready"
    RELEASING = "releasing"

    @property
    def is_at_rest(self) -> bool:
        """Tell whether the next move is Docker's: no work of mooring's has been begun."""
        return self in (LeaseStep.LEASED, LeaseStep.READY)


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
    """The node's ownership of a device for an attachment: a journal row.

    ``id`` fences: a late call for an older lease of the same VF or port cannot touch this one. ``device`` to ``uplink``
    are the Placement's. ``driver`` is the port driver. ``port`` is the port as last answered by Neutron, ``former`` as
    it was before mooring touched it, ``limits`` what its QoS policy allows. ``wanted`` is what the PF is to hold for a
    VF, None until the binding has told the VLAN. ``missing`` names the settings that the VF's driver cannot honour.
    ``doubtful`` says of a lease that is being released that Neutron may still be about to carry its binding out.
    ``is_bound`` is the request's: who bound the port is to unbind it, and Neutron is owed nothing.
    """

    id: str
    attachment: str
    boot_id: str
    driver: str
    step: LeaseStep
    port: Port
    former: Port
    network: Network
    device_owner: str
    created: bool
    vnic_type: str
    device: PciAddress | None = None
    parent: PciAddress | None = None
    physical_network: str | None = None
    profile: Mapping[str, str] = field(default_factory=dict)
    vf_driver: str | None = None
    uplink: Netdev | None = None
    limits: EgressLimits = field(default_factory=EgressLimits)
    wanted: VfSettings | None = None
    missing: frozenset[str] = frozenset()
    doubtful: bool = False
    is_bound: bool = False

    @property
    def device_id(self) -> str:
        """What the port bears as its ``device_id`` as long as it is the attachment's."""
        return self.former.device_id if self.is_bound else self.attachment

    def has(self, port: Port) -> bool:
        """Tell whether the port is still bound as it was for the lease: this host may have another name by now."""
        return (port.host, port.device_id) == (self.port.host, self.device_id)

    @property
    def holds_vf(self) -> bool:
        """Tell whether the device is a VF, which can be kept away from others until it is clean."""
        return self.device is not None and self.device != self.parent

    @property
    def place(self) -> str:
        """Name the device for a message."""
        return "a veth pair" if self.device is None else str(self.device)


class Whereabouts(StrEnum):
    """Where the device of a ready lease is, as far as the host can see."""

    AWAY = "away"
    """With its container."""
    HOME = "home"
    """In the host's own namespace, or (virtual interfaces) no more: no container has it."""
    GONE = "gone"
    """It has left the host."""
    TAKEN = "taken"
    """Bound to a driver that mooring did not choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One attribute that is not as wanted, by its field's word; as text it is a sentence."""

    what: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.what} is {self.found}, wanted {self.wanted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the kernel shows of a ready lease.

    ``link_up`` is whether frames can pass the card. ``differences`` tells where the device is not as wanted, ``detail``
    in words what else explains the whereabouts. ``forsaken`` says of a device that is home that it is as the end of a
    namespace leaves it: no container has it, and no engine is about to move it into one.
    """

    whereabouts: Whereabouts
    link_up: bool = True
    differences: tuple[Difference, ...] = ()
    detail: str = ""
    forsaken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What a front door needs to hand a device over: which it is, and its interface's name in the host's namespace.

    ``interface`` is empty where none is to be moved: the container gets ``device_nodes`` then, files under ``/dev``.
    """

    id: str
    device: PciAddress | None
    interface: str
    device_nodes: tuple[str, ...] = ()


class Containers(Protocol):
    """Who runs the containers."""

    def living(self) -> frozenset[str] | None:
        """Return the attachments that containers hold at this moment; None when the engine does not answer."""
        ...


class Publisher(Protocol):
    """Who tells container engines of the devices that are driven by programs."""

    def publish(self) -> None:
        """Write down anew which of the host's devices such programs may have."""
        ...


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

    def make_way(self, port_id: str) -> None:
        """End the attachment that has a port, if the kernel shows that its container's namespace is no more.

        An engine that was killed tells nobody of the end of its containers. Waits up to two seconds for a namespace
        that is about to end; an attachment of which the kernel does not show so much stays.
        """
        ...

    def find(self, attachment: str) -> Lease | None:
        """Return the lease of an attachment."""
        ...
