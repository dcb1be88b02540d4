"""An Intel 82576 in memory: what the igb and igbvf drivers keep, do and refuse (Linux drivers/net/ethernet/intel)."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mooring.host.failures import NetlinkError
from mooring.host.kernel import Netdev, VfCounters, VfSettings
from mooring.host.vf_info import VfAttribute
from mooring.pci.address import PciAddress

NO_MAC = "00:00:00:00:00:00"
_LINK_SPEED = 1000
MAX_VFS = 7  # one of eight stays the PF's own
_VF_OFFSET, _VF_STRIDE = 128, 2
_MAX_VLAN, _MAX_QOS = 4095, 7


@dataclass(slots=True, kw_only=True)
class FakeInterface:
    """A network interface, in ``namespace`` (None is the host's), with the default routes that lead over it."""

    name: str
    index: int
    mac: str
    mtu: int = 1500
    up: bool = False
    namespace: str | None = None
    addresses: tuple[str, ...] = ()
    uppers: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    promiscuous: bool = False

    def seen(self) -> Netdev:
        """Return the interface as the kernel reports it."""
        return Netdev(name=self.name, index=self.index, mac=self.mac, mtu=self.mtu, up=self.up, carrier=self.up)


@dataclass(slots=True, kw_only=True)
class FakeVf:
    """A VF: what the PF holds for it, and the interface that its own driver gave it.

    ``group`` is its IOMMU group, which a program has open while ``group_open``.
    """

    address: PciAddress
    driver: str | None
    settings: VfSettings
    mac_was_set: bool = False
    interface: FakeInterface | None = None
    group: int = 0
    group_open: bool = False
    counters: VfCounters = field(default_factory=VfCounters)

    def set_mac(self, mac: str) -> None:
        """Set the interface's own MAC, as root in its namespace can.

        Once the PF was given one, igb refuses every address that the VF asks for, even the same; it lets a trusted VF.
        """
        if self.interface is None:
            raise NetlinkError(errno.ENODEV)
        adopted = self.interface.mac == self.settings.mac == mac
        if self.mac_was_set and not self.settings.trust and not adopted:
            raise NetlinkError(errno.EADDRNOTAVAIL)
        self.interface.mac = mac
        self.settings = replace(self.settings, mac=mac)


@dataclass(slots=True, kw_only=True)
class FakePf:
    """A PF and its VFs by index; a mooring.host.settings.PfSide. ``unsupported`` names VfSettings fields."""

    address: PciAddress
    vendor_id: str
    product_id: str
    vf_product_id: str
    numa_node: int | None
    driver: str
    vf_driver: str
    interface: FakeInterface
    unsupported: frozenset[str]
    total_vfs: int
    vfs: dict[int, FakeVf] = field(default_factory=dict)

    def read(self) -> Mapping[int, VfSettings]:
        """Return what the PF holds for each VF."""
        return {index: vf.settings for index, vf in self.vfs.items()}

    def read_one(self, vf_index: int) -> VfSettings | None:
        """Return what the PF holds for a VF, or None when it has no such VF."""
        vf = self.vfs.get(vf_index)
        return vf.settings if vf else None

    def write(self, vf_index: int, kind: VfAttribute, wanted: VfSettings) -> None:
        """Set one attribute, or refuse it as igb does."""
        vf = self.vfs.get(vf_index)
        if vf is None:
            raise NetlinkError(errno.EINVAL)
        match kind:
            case VfAttribute.MAC:
                self._write_mac(vf, wanted.mac)
            case VfAttribute.VLAN:
                self._write_vlan(vf, wanted)
            case VfAttribute.RATE:
                self._write_rates(vf, wanted)
            case VfAttribute.SPOOF_CHECK:
                self._refuse_unsupported("spoof_check")
                vf.settings = replace(vf.settings, spoof_check=wanted.spoof_check)
            case VfAttribute.TRUST:
                self._refuse_unsupported("trust")
                vf.settings = replace(vf.settings, trust=wanted.trust)
            case VfAttribute.LINK_STATE:
                self._refuse_unsupported("link_state")
                vf.settings = replace(vf.settings, link_state=wanted.link_state)

    def vf_address(self, index: int) -> PciAddress:
        """Return where the card's VF with this index is: offset and stride count functions, over buses too."""
        own = self.address
        number = (own.bus << 8 | own.device << 3 | own.function) + _VF_OFFSET + _VF_STRIDE * index
        return PciAddress(own.domain, number >> 8, number >> 3 & 0x1F, number & 7)

    def _write_mac(self, vf: FakeVf, mac: str) -> None:
        if int(mac[:2], 16) & 1:
            raise NetlinkError(errno.EINVAL)
        vf.settings = replace(vf.settings, mac=mac)
        vf.mac_was_set = mac != NO_MAC

    def _write_vlan(self, vf: FakeVf, wanted: VfSettings) -> None:
        if wanted.service_tag:
            raise NetlinkError(errno.EPROTONOSUPPORT)
        if wanted.vlan > _MAX_VLAN or wanted.qos > _MAX_QOS:
            raise NetlinkError(errno.EINVAL)
        vf.settings = replace(vf.settings, vlan=wanted.vlan, qos=wanted.qos)

    def _write_rates(self, vf: FakeVf, wanted: VfSettings) -> None:
        """Limit the VF; without link there is no speed to measure the limit by, not even that of no limit."""
        if wanted.min_tx_rate and "min_tx_rate" in self.unsupported:
            raise NetlinkError(errno.EINVAL)
        if wanted.max_tx_rate > _LINK_SPEED or not self.interface.up:
            raise NetlinkError(errno.EINVAL)
        vf.settings = replace(vf.settings, min_tx_rate=wanted.min_tx_rate, max_tx_rate=wanted.max_tx_rate)

    def _refuse_unsupported(self, name: str) -> None:
        if name in self.unsupported:
            raise NetlinkError(errno.EOPNOTSUPP)
