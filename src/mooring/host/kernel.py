"""What mooring asks of a kernel: the protocol that LinuxKernel and the test fake both keep."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, PlainDevice, VirtualFunction

VFIO = "vfio-pci"
"""The driver that hands a device to a program instead of to the kernel's network stack."""
VFIO_NODE = "/dev/vfio/vfio"
"""The file that such a program opens beside that of the device's IOMMU group (Documentation/driver-api/vfio.rst)."""


class LinkState(StrEnum):
    """A VF's virtual link: follow the uplink, or be forced (IFLA_VF_LINK_STATE)."""

    AUTO = "auto"
    ENABLE = "enable"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True, kw_only=True)
class VfSettings:
    """What the PF holds for one of its VFs (IFLA_VFINFO_LIST, Linux include/uapi/linux/if_link.h).

    ``mac`` is lower case with colons; the PF shows the last address it accepted from either side. ``vlan`` 0 is
    untagged; ``service_tag`` says that the tag is an 802.1ad one instead of 802.1Q. Rates are in Mbit/s, 0 is
    unlimited. ``spoof_check`` and ``trust`` are None where the driver does not report them.
    """

    mac: str
    vlan: int = 0
    qos: int = 0
    service_tag: bool = False
    spoof_check: bool | None = True
    trust: bool | None = False
    min_tx_rate: int = 0
    max_tx_rate: int = 0
    link_state: LinkState = LinkState.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class VfCounters:
    """What a PF has counted for one of its VFs since the VF was made (IFLA_VF_STATS).

    Received and sent are as the VF sees them. A driver that does not count one of these leaves it 0.
    """

    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    broadcast: int = 0
    multicast: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Netdev:
    """A network interface in the daemon's own namespace. ``mtu`` is in bytes, ``mac`` lower case with colons."""

    name: str
    index: int
    mac: str
    mtu: int
    up: bool
    carrier: bool


class UserKind(StrEnum):
    """What shows that somebody uses a device."""

    NAMESPACE = "namespace"
    DRIVER = "driver"
    UPPER_INTERFACE = "upper-interface"
    LISTENER = "listener"
    HOST = "host"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUser:
    """Who uses a device; ``words`` say it, with names that may change.

    ``marks`` tell one from others of its kind for as long as it uses the device: a driver's name, or each IP address or
    route. What bears no such mark has none.
    """

    kind: UserKind
    words: str
    marks: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.words


class HostEvents(Protocol):
    """A wake-up for whoever looks after the host's devices. What changed is for the listener to look up."""

    def wait(self, seconds: float) -> bool:
        """Return True after a change of an interface or a PCI device, False when ``seconds`` pass without one.

        A change since the last wait, or since the listening began, counts too. All that is pending becomes one True.
        """
        ...


class Kernel(Protocol):
    """The host's devices. Every write is verified by reading back.

    All methods raise KernelRefused (with the errno) when the kernel or a driver says no, and DeviceGone when the
    device has left in the meantime.
    """

    def boot_id(self) -> str:
        """Return the identity of this boot (/proc/sys/kernel/random/boot_id)."""
        ...

    def physical_functions(self) -> tuple[PhysicalFunction, ...]:
        """Return every SR-IOV network card with the VFs it shows now, ordered by address."""
        ...

    def plain_devices(self) -> tuple[PlainDevice, ...]:
        """Return every device that is for programs, ordered by address: without SR-IOV, or a VF of no network card."""
        ...

    def find(self, address: PciAddress) -> PciDevice | None:
        """Return the device at an address as it is now: a PF, a VF, a PlainDevice, or None."""
        ...

    def read_settings(self, pf: PhysicalFunction) -> Mapping[int, VfSettings]:
        """Return what the PF holds for each of its VFs, by VF index, in one dump."""
        ...

    def write_settings(self, vf: VirtualFunction, wanted: VfSettings) -> frozenset[str]:
        """Make the PF hold ``wanted`` for the VF, touching only what differs.

        Each attribute is attempted even when another fails. Returns the names of the VfSettings fields that
        differ but that the driver cannot set; raises KernelRefused for a refusal of a supported attribute and
        NotClean when the read-back still differs in a supported one.
        """
        ...

    def counters(self, pf: PhysicalFunction) -> Mapping[int, VfCounters]:
        """Return what the PF has counted for each of its VFs, by VF index.

        Empty where the PF's driver is not known to count: the kernel then answers zeros, which would be taken for a
        quiet VF.
        """
        ...

    def resize(self, pf: PhysicalFunction, vfs: int) -> PhysicalFunction:
        """Make the PF show this many VFs, and return it as it is then.

        All its VFs are made anew, with the drivers' defaults, unless it has this many already: those in containers
        vanish there. Takes up to 30 s for every 16 VFs, twice when there were others. Raises KernelRefused with the
        errno and a remedy: ERANGE, when the card cannot have so many, leaves its VFs as they are; ETIMEDOUT tells that
        the kernel is still at it. Raises NotClean when the card shows another number afterwards.
        """
        ...

    def events(self) -> AbstractContextManager[HostEvents]:
        """Listen to changes of interfaces and PCI devices, from now on."""
        ...

    def adopt_mac(self, vf: VirtualFunction, mac: str, *, name: str) -> Netdev:
        """Make the VF's own driver take over the MAC that the PF holds for it, in that driver's way.

        Afterwards the interface is down, in the daemon's namespace (wherever it was before), called ``name``, with
        default MTU and this MAC. Raises NotClean when interface and PF do not agree on the MAC in the end.
        """
        ...

    def netdev(self, device: PhysicalFunction | VirtualFunction) -> Netdev | None:
        """Return the device's interface in the daemon's namespace, or None."""
        ...

    def set_mtu(self, device: PhysicalFunction | VirtualFunction, mtu: int) -> None:
        """Set the MTU of the device's interface."""
        ...

    def set_up(self, vf: VirtualFunction, *, up: bool) -> None:
        """Set the VF's interface administratively up or down."""
        ...

    def user_of(self, device: VirtualFunction | PhysicalFunction) -> DeviceUser | None:
        """Tell what on this host uses a device that mooring did not lease, or None when nothing does.

        For example: driver vfio-pci, another network namespace, an upper device (bond, bridge, macvtap), an IP address
        on its interface, or a default route over it.
        """
        ...

    def bind_vfio(self, vf: VirtualFunction) -> str:
        """Reset the VF and bind it to vfio-pci, for a program to drive it; return its group's node, ``/dev/vfio/12``.

        Its interface is gone afterwards. Raises KernelRefused where the host has no IOMMU (EOPNOTSUPP), or where the VF
        shares its IOMMU group with another device (EBUSY). A VF that is bound already stays as it is.
        """
        ...

    def release_vfio(self, vf: VirtualFunction, *, name: str) -> Netdev:
        """Take the VF from vfio-pci, reset it and bind its network driver; its interface is down and called ``name``.

        Raises KernelRefused (EBUSY) at once while a process has the group open, instead of waiting for its end.
        """
        ...

    def vfio_group(self, device: VirtualFunction | PlainDevice) -> str | None:
        """Return the node of a device's group, or None when it is not bound to vfio-pci. It may change with a boot."""
        ...

    def vfio_obstacle(self, device: PlainDevice) -> str | None:
        """Tell in words what keeps a device from being given to a program, or None when nothing does.

        That is another driver than vfio-pci, a host without an IOMMU, a device that shares its group with others, or a
        program that has it open. Opens the group for an instant: not to be asked of a device that a container has.
        """
        ...

    def vfio_user(self, vf: VirtualFunction) -> DeviceUser | None:
        """Tell who has the group of a VF open that is bound to vfio-pci, or None when nobody has.

        Opens it for an instant, in which a program could not: not to be asked of a VF that is leased.
        """
        ...

    def restore_uplink(self, pf: PhysicalFunction, former: Netdev) -> None:
        """Give the PF's interface, home again under whatever name, the former name, MAC, MTU and state back.

        It hears its own frames only and has no IP address afterwards. Raises NotClean while it is in another network
        namespace, and when it does not read back.
        """
        ...
