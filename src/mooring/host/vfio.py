"""VFs and other devices for programs that drive them: bound to vfio-pci (Linux Documentation/driver-api/vfio.rst).

A VF keeps its queues and its mailbox as its last user left them, so it is reset on either way, and only while no driver
has it: to reset an igbvf that is bound and down never ends.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from mooring.errors import KernelRefused, NotClean
from mooring.host.failures import kernel_errors
from mooring.host.kernel import VFIO, DeviceUser, UserKind
from mooring.host.rebind import rebind, unbind
from mooring.host.sysfs import BRIDGE_CLASS, Sysfs
from mooring.pci.address import PciAddress

_NO_IOMMU = "boot with intel_iommu=on or amd_iommu=on, and see that the firmware has the IOMMU (VT-d, AMD-Vi) enabled"
_MODPROBE_SECONDS = 30


class Vfio:
    """The VFs under one sysfs root, and the groups that stand for them under /dev/vfio."""

    def __init__(self, sysfs: Sysfs, nodes: Path = Path("/dev/vfio")) -> None:
        self._sysfs, self._nodes = sysfs, nodes

    def bind(self, address: PciAddress) -> str:
        """Bind the VF to vfio-pci; see Kernel.bind_vfio."""
        node = self._own_group(address)
        if self._sysfs.driver(address) != VFIO:
            if not self._sysfs.has_driver(VFIO):
                _load(address)
            unbind(self._sysfs, address)
            self._reset(address)
            self._prefer(address, VFIO)
            with kernel_errors(f"binding {VFIO}", address):
                self._sysfs.bind_path(None).write_text(str(address))
        if (driver := self._sysfs.driver(address)) != VFIO:
            raise NotClean(address, f"it is bound to {driver} instead of {VFIO}; see the kernel's log")
        return str(node)

    def release(self, address: PciAddress) -> None:
        """Give the VF to its network driver; see Kernel.release_vfio."""
        self._refuse_open(address)
        self._prefer(address, "")
        unbind(self._sysfs, address)
        self._reset(address)
        rebind(self._sysfs, address, None)

    def node(self, address: PciAddress) -> str | None:
        """Return the node of a VF's group; see Kernel.vfio_group."""
        group = self._group(address)
        return str(self._nodes / group.name) if group and self._sysfs.driver(address) == VFIO else None

    def user_of(self, address: PciAddress) -> DeviceUser | None:
        """Tell who has the VF's group open; see Kernel.vfio_user. A group can be opened once."""
        node = self.node(address)
        if node is None:
            return None
        with kernel_errors("opening its IOMMU group", address):
            try:
                os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
            except OSError as exc:
                if exc.errno != errno.EBUSY:
                    raise
                return DeviceUser(kind=UserKind.PROGRAM, words=f"a program that has {node} open")
        return None

    def obstacle(self, address: PciAddress) -> str | None:
        """Tell in words what keeps a device from programs; see Kernel.vfio_obstacle."""
        driver = self._sysfs.driver(address)
        if driver != VFIO:
            has_it = f"driver {driver} has it" if driver else "no driver has it"
            return f"{has_it}; keep it on {VFIO} ('driverctl set-override {address} {VFIO}')"
        try:
            self._own_group(address)
        except KernelRefused as exc:
            return str(exc)
        user = self.user_of(address)
        return None if user is None else str(user)

    def _own_group(self, address: PciAddress) -> Path:
        """Return the node of the group, which a device must have for itself: who opens it drives all that is in it."""
        doing = f"giving it to programs by {VFIO}"
        group = self._group(address)
        if group is None:
            raise KernelRefused(doing, address, errno.EOPNOTSUPP, f"the host has no IOMMU for it: {_NO_IOMMU}")
        if others := [other.name for other in (group / "devices").iterdir() if _shares(other, address)]:
            hint = f"its IOMMU group {group.name} is also that of {', '.join(sorted(others))}; use another slot or card"
            raise KernelRefused(doing, address, errno.EBUSY, hint)
        return self._nodes / group.name

    def _group(self, address: PciAddress) -> Path | None:
        """Return the group's directory; the kernel's substitute where there is no IOMMU protects nobody."""
        link = self._sysfs.path(address) / "iommu_group"
        if not link.exists() or "noiommu" in _text(link / "name"):
            return None
        return link.resolve()

    def _refuse_open(self, address: PciAddress) -> None:
        """Raise KernelRefused while a program has the group: unbinding would wait for its end, and cannot be killed."""
        if (user := self.user_of(address)) is not None:
            hint = f"{user}; end it, or the container that it runs in"
            raise KernelRefused("taking it back", address, errno.EBUSY, hint)

    def _reset(self, address: PciAddress) -> None:
        if driver := self._sysfs.driver(address):
            raise NotClean(address, f"{driver} was bound to it in the meantime; what else manages it?")
        with kernel_errors("resetting its function", address):
            (self._sysfs.path(address) / "reset").write_text("1")

    def _prefer(self, address: PciAddress, driver: str) -> None:
        with kernel_errors(f"choosing driver {driver or 'of its own'}", address):
            (self._sysfs.path(address) / "driver_override").write_text(f"{driver}\n")


def _load(address: PciAddress) -> None:
    try:
        loaded = subprocess.run(
            ["modprobe", VFIO], check=False, capture_output=True, text=True, timeout=_MODPROBE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise _not_loaded(address, str(exc)) from exc
    if loaded.returncode != 0:
        raise _not_loaded(address, loaded.stderr.strip())


def _not_loaded(address: PciAddress, reason: str) -> KernelRefused:
    hint = f"modprobe {VFIO} says: {reason}; install that module, or load it at boot"
    return KernelRefused(f"loading {VFIO}", address, errno.ENODEV, hint)


def _shares(other: Path, address: PciAddress) -> bool:
    return other.name != str(address) and not _text(other / "class").startswith(BRIDGE_CLASS)


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
