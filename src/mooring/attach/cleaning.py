"""What clean means for a VF, and how it is made clean again."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import structlog

from mooring.attach.journal import Journal
from mooring.attach.types import Baseline
from mooring.host.kernel import VFIO, Kernel, LinkState, VfSettings
from mooring.pci.address import PciAddress
from mooring.pci.device import VirtualFunction

_NO_MAC = "00:00:00:00:00:00"

log = structlog.get_logger(__name__)


def interface_name(address: PciAddress) -> str:
    """Return the name a VF's interface has in the host's namespace.

    It follows from the address alone, fits IFNAMSIZ (15 characters) for every 32-bit domain, and never looks like a
    name that a container or the kernel's own numbering would use.
    """
    return f"vf{address.domain:04x}{address.bus:02x}{address.device:02x}{address.function:x}"


class Cleaner:
    """Records each VF's baseline when it is first seen in a boot, and restores it."""

    def __init__(self, *, kernel: Kernel, journal: Journal) -> None:
        self._kernel = kernel
        self._journal = journal

    def is_clean(self, vf: VirtualFunction, settings: VfSettings) -> bool:
        """Tell whether what the PF holds for a free VF is its baseline.

        A MAC that was never set reads as zeros on some drivers (igb, measured): that is clean too.
        """
        baseline = self._baseline(vf, settings)
        clean_macs = {baseline.settings.mac, baseline.first_mac, _NO_MAC}
        return settings.mac in clean_macs and replace(settings, mac=baseline.settings.mac) == baseline.settings

    def record(self, vf: VirtualFunction, settings: VfSettings) -> None:
        """Record the baseline of a VF that is seen for the first time in this boot."""
        boot_id = self._kernel.boot_id()
        if self._journal.baseline(vf.address, boot_id) is None:
            self._journal.record_baseline(vf.address, boot_id, self._baseline(vf, settings))

    def clean(self, vf: VirtualFunction, *, driver: str | None = None) -> None:
        """Bring a VF home to its network driver and restore its baseline, every attribute of it.

        ``driver`` is the one that it is to be kept bound to afterwards (None: its network driver). Raises
        KernelRefused, NotClean or DeviceGone when the VF does not read back as it was written.
        """
        if vf.driver in (VFIO, None):  # on the way to or from vfio-pci when mooring was killed, it has none
            self._kernel.release_vfio(vf, name=interface_name(vf.address))
        wanted = self._baseline(vf, VfSettings(mac=_NO_MAC)).settings
        missing = self._kernel.write_settings(vf, wanted)
        if missing:
            log.warning("vf.cannot-reset", device=str(vf.address), settings=sorted(missing))
        self._kernel.adopt_mac(vf, wanted.mac, name=interface_name(vf.address))
        if driver == VFIO:
            self._kernel.bind_vfio(vf)

    def _baseline(self, vf: VirtualFunction, seen: VfSettings) -> Baseline:
        """Return the VF's baseline as recorded, or as it would be from what is seen now."""
        boot_id = self._kernel.boot_id()
        known = self._journal.baseline(vf.address, boot_id)
        return known or Baseline(settings=_neutral(vf, seen, boot_id), first_mac=seen.mac)


def _neutral(vf: VirtualFunction, seen: VfSettings, boot_id: str) -> VfSettings:
    """Return the safe defaults, as far as the driver reports them, under a MAC that is no tenant's.

    The MAC is never the one seen: a VF driver may have made that up, and makes up another when it is bound again
    (igbvf), unless the PF was given one.
    """
    return VfSettings(
        mac=_own_mac(vf.address, boot_id),
        spoof_check=None if seen.spoof_check is None else True,
        trust=None if seen.trust is None else False,
        link_state=LinkState.AUTO,
    )


def _own_mac(address: PciAddress, boot_id: str) -> str:
    """Return a locally administered unicast MAC that stays the same for a VF throughout a boot (IEEE 802, U/L bit)."""
    tail = hashlib.sha256(f"{boot_id} {address}".encode()).digest()[:5]
    return ":".join(f"{byte:02x}" for byte in (0x06, *tail))
