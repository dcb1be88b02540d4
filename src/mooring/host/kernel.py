"""What mooring asks of a kernel: the protocol that LinuxKernel and the test fake both keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, VirtualFunction


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
class Netdev:
    """A network interface in the daemon's own namespace. ``mtu`` is in bytes, ``mac`` lower case with colons."""

    name: str
    index: int
    mac: str
    mtu: int
    up: bool
    carrier: bool


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

    def find(self, address: PciAddress) -> PciDevice | None:
        """Return the device at an address as it is now: a PF, a VF, some other PciDevice, or None."""
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

    def adopt_mac(self, vf: VirtualFunction, mac: str, *, name: str) -> Netdev:
        """Make the VF's own driver take over the MAC that the PF holds for it, in that driver's way.

        Afterwards the interface is down, in the daemon's namespace (wherever it was before), called ``name``, with
        default MTU and this MAC. Raises NotClean when interface and PF do not agree on the MAC in the end.
        """
        ...

    def netdev(self, device: PhysicalFunction | VirtualFunction) -> Netdev | None:
        """Return the device's interface in the daemon's namespace, or None."""
        ...

    def set_mtu(self, vf: VirtualFunction, mtu: int) -> None:
        """Set the MTU of the VF's interface."""
        ...

    def set_up(self, vf: VirtualFunction, *, up: bool) -> None:
        """Set the VF's interface administratively up or down."""
        ...

    def user_of(self, vf: VirtualFunction) -> str | None:
        """Tell in words what on this host uses a VF that mooring did not lease, or None when nothing does.

        For example: driver vfio-pci, another network namespace, an upper device (bond, bridge, macvtap), or an IP
        address on its interface.
        """
        ...
