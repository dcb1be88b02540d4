"""A container as the service keeps it: what is wanted, what is seen, and which ports and devices it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mooring.container.spec import ContainerSpec
from mooring.container.states import Status, TaskState, Verb
from mooring.neutron.model import EgressLimits, IpAddress, Network, Port, Subnet
from mooring.pci.address import PciAddress


class InterfacePhase(StrEnum):
    """How far a port of a container has come. Each is written before the work that leads to the next begins."""

    ASKED = "asked"
    """In the database: no other container gets the port. Nothing is written in Neutron yet."""
    RESERVED = "reserved"
    """Neutron's port bears the container's id (and was made, where a network was asked for)."""
    CLAIMED = "claimed"
    """A host has been chosen, and a device of it where the port takes one."""
    BOUND = "bound"
    """Neutron has bound the port on that host, to that device. The node may be told."""
    LEAVING = "leaving"
    """The node is being told to take it out of the container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDevice:
    """A device of a host that is a container's. ``row`` is its number in the database.

    ``vendor_info`` is as in ``pci_vendor_info``; ``parent`` the PF of a VF, None for a PF or another device.
    """

    row: int
    address: PciAddress
    parent: PciAddress | None
    vendor_info: str
    physical_network: str | None = None
    numa_node: int | None = None
    vf_driver: str | None = None
    mac: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One network interface of a container: a port.

    ``id`` ties port and device together (Nova and Zun: request id). ``port_id`` is None until a port has been made for
    a network. ``preserve`` says that the user gave the port: it is unbound at the end, otherwise it is deleted.
    ``addresses`` are those asked for of a port that is to be made. ``physical_network`` and ``trusted`` are what its
    device must have; a ``normal`` port takes none. ``port`` is as Neutron last answered, ``former`` as the user had
    left it, ``limits`` what its QoS policy allowed when it was bound.
    """

    id: str
    network_id: str
    vnic_type: str
    port_id: str | None = None
    preserve: bool = True
    phase: InterfacePhase = InterfacePhase.ASKED
    addresses: tuple[IpAddress, ...] = ()
    security_groups: tuple[str, ...] = ()
    physical_network: str | None = None
    trusted: bool = False
    network: Network | None = None
    subnets: tuple[Subnet, ...] = ()
    port: Port | None = None
    former: Port | None = None
    limits: EgressLimits = field(default_factory=EgressLimits)
    device: ClaimedDevice | None = None

    @property
    def takes_device(self) -> bool:
        """Tell whether the port is made present by a VF or a PF."""
        return self.vnic_type != "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasClaim:
    """A device that a container has by an alias of ``[pci] alias``, for a program and without a port.

    ``id`` ties it to its device, as an interface's does.
    """

    id: str
    alias: str
    device: ClaimedDevice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the container's node is told to do. A larger ``number`` is a later one; only the last counts."""

    number: int
    verb: Verb
    arguments: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container with all that belongs to it: one row and its children, always written together.

    ``revision`` is what a writer must have seen. ``host`` is where it was placed, kept until the node has confirmed
    that nothing is left there. ``operation`` is for the node as soon as ``is_given``; ``done`` is the number of the
    last one that it has confirmed. ``action`` is the request that ``operation`` serves. ``is_going`` says that it is to
    be deleted. ``tried`` are hosts that refused it, with the reason. ``due_at`` is when a controller must look at it,
    None when there is nothing for one to do. ``runtime_id`` is Docker's, ``command`` and ``entrypoint`` are what Docker
    runs it with: the image's, where its owner asked for none. Times are UTC.
    """

    uuid: str
    project_id: str
    user_id: str
    spec: ContainerSpec
    created_at: datetime
    revision: int = 0
    row: int = 0
    status: Status = Status.CREATING
    status_reason: str | None = None
    status_detail: str | None = None
    task_state: TaskState | None = None
    host: str | None = None
    interfaces: tuple[Interface, ...] = ()
    aliases: tuple[AliasClaim, ...] = ()
    operation: Operation = Operation(number=1, verb=Verb.CREATE)
    is_given: bool = False
    done: int = 0
    action: str | None = None
    is_going: bool = False
    tried: Mapping[str, str] = field(default_factory=dict)
    due_at: datetime | None = None
    runtime_id: str | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    started_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def devices(self) -> tuple[ClaimedDevice, ...]:
        """The devices that it holds."""
        held = (*(interface.device for interface in self.interfaces), *(claim.device for claim in self.aliases))
        return tuple(device for device in held if device is not None)

    @property
    def is_awaited(self) -> bool:
        """Tell whether the node has yet to confirm what it was told."""
        return self.is_given and self.done < self.operation.number
