# A rescan reads some thousand small files, and a Path costs more than such a read.
# ruff: noqa: PTH110, PTH115, PTH119, PTH123, PTH208
"""PCI network devices as sysfs shows them (Linux Documentation/ABI/testing/sysfs-bus-pci, sysfs-class-net).

Everything is read anew at each call: sysfs is the truth, and it changes behind our back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from mooring.errors import InvalidPciAddress
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, VirtualFunction

log = structlog.get_logger(__name__)

_NETWORK_CLASS = "0x02"
_VIRTFN = "virtfn"
# A VF's or sub-function's representor stands beside the PF's own interface (Linux devlink, phys_port_name).
_REPRESENTOR = re.compile(r"(c\d+)?pf\d+(vf|sf)\d+")


class Sysfs:
    """The PCI devices under one sysfs root."""

    def __init__(self, root: Path) -> None:
        self._pci = str(root / "bus/pci")
        self._devices = f"{self._pci}/devices"
        self._skipped: dict[str, str] = {}

    def path(self, address: PciAddress) -> Path:
        """Return the directory of a device."""
        return Path(self._devices, str(address))

    def bind_path(self, driver: str | None) -> Path:
        """Return the file that binds a device to this driver, or to whichever fits."""
        return Path(self._pci, "drivers", driver, "bind") if driver else Path(self._pci, "drivers_probe")

    def physical_functions(self) -> tuple[PhysicalFunction, ...]:
        """Return every SR-IOV network card that can be read; a broken one is left out, and the log says why."""
        found = []
        vf_names: set[str] = set()
        for name in sorted(os.listdir(self._devices)):  # a PF comes before its VFs, so that they need not be opened
            path = f"{self._devices}/{name}"
            if name in vf_names or not os.path.exists(f"{path}/sriov_totalvfs"):
                continue
            try:
                if _read(path, "class").startswith(_NETWORK_CLASS):
                    found.append(self._physical_function(PciAddress.parse(name)))
                    vf_names.update(str(vf.address) for vf in found[-1].vfs)
                self._skipped.pop(name, None)
            except (OSError, ValueError, InvalidPciAddress) as exc:
                self._skip(name, str(exc))
        return tuple(sorted(found, key=lambda pf: pf.address))

    def find(self, address: PciAddress) -> PciDevice | None:
        """Return the device as it is now, or None when there is none."""
        path = f"{self._devices}/{address}"
        try:
            if parent := _link_name(path, "physfn"):
                return self._virtual_function(PciAddress.parse(parent), address)
            if os.path.exists(f"{path}/sriov_totalvfs"):
                return self._physical_function(address)
            return PciDevice(
                address=address,
                vendor_id=_hex_id(_read(path, "vendor")),
                product_id=_hex_id(_read(path, "device")),
                numa_node=_numa_node(path),
            )
        except (FileNotFoundError, NotADirectoryError):
            return None

    def interface(self, address: PciAddress) -> str | None:
        """Return the name of the device's interface in the daemon's network namespace."""
        return _interfaces(f"{self._devices}/{address}")[0]

    def driver(self, address: PciAddress) -> str | None:
        """Return the name of the driver that the device is bound to."""
        return _link_name(f"{self._devices}/{address}", "driver")

    def uppers(self, address: PciAddress) -> tuple[str, ...]:
        """Return the interfaces stacked on the device's: bonds, bridges, VLANs, macvtaps."""
        names = (self.path(address) / "net").glob("*/upper_*")
        return tuple(sorted(name.name.removeprefix("upper_") for name in names))

    def _physical_function(self, address: PciAddress) -> PhysicalFunction:
        path = f"{self._devices}/{address}"
        family = _Family.read(path, address)
        return PhysicalFunction(
            address=address,
            vendor_id=family.vendor_id,
            product_id=_hex_id(_read(path, "device")),
            numa_node=family.numa_node,
            netdev=_interfaces(path)[0],
            driver=_link_name(path, "driver"),
            total_vfs=int(_read(path, "sriov_totalvfs")),
            vfs=tuple(_vf(f"{self._devices}/{vf}", index, family) for index, vf in sorted(_virtfns(path))),
        )

    def _virtual_function(self, parent: PciAddress, address: PciAddress) -> VirtualFunction | None:
        path = f"{self._devices}/{parent}"
        index = next((index for index, vf in _virtfns(path) if vf == str(address)), None)
        return None if index is None else _vf(f"{self._devices}/{address}", index, _Family.read(path, parent))

    def _skip(self, name: str, reason: str) -> None:
        if self._skipped.get(name) != reason:  # once, not at every rescan
            log.warning("a card with SR-IOV cannot be read and is left out", device=name, reason=reason)
            self._skipped[name] = reason


@dataclass(frozen=True, slots=True)
class _Family:
    """What a PF's VFs have in common: Linux gives them its vendor, one product id and its place (drivers/pci/iov.c)."""

    parent: PciAddress
    vendor_id: str
    vf_product_id: str
    numa_node: int | None

    @classmethod
    def read(cls, path: str, parent: PciAddress) -> _Family:
        product_id = _hex_id(_read(path, "sriov_vf_device"))
        return cls(parent, _hex_id(_read(path, "vendor")), product_id, _numa_node(path))


def _vf(path: str, index: int, family: _Family) -> VirtualFunction:
    netdev, has_interface = _interfaces(path)
    return VirtualFunction(
        address=PciAddress.parse(os.path.basename(path)),
        vendor_id=family.vendor_id,
        product_id=family.vf_product_id,
        numa_node=family.numa_node,
        parent=family.parent,
        index=index,
        driver=_link_name(path, "driver"),
        netdev=netdev,
        elsewhere=has_interface and netdev is None,
    )


def _virtfns(path: str) -> Iterator[tuple[int, str]]:
    for entry in os.listdir(path):
        if entry.startswith(_VIRTFN) and (target := _link_name(path, entry)):
            yield int(entry.removeprefix(_VIRTFN)), target


def _interfaces(path: str) -> tuple[str | None, bool]:
    """Return the device's own interface in this namespace, and whether it has one in any."""
    try:
        names = os.listdir(f"{path}/net")
    except FileNotFoundError:
        return None, False
    if len(names) > 1:  # a dual-port card with one function, or a card in switchdev mode
        names = sorted(names, key=lambda name: _port_order(f"{path}/net/{name}"))
    return (names[0] if names else None), True


def _port_order(path: str) -> tuple[bool, int, str]:
    representor = _REPRESENTOR.fullmatch(_read_or(path, "phys_port_name", "")) is not None
    return representor, int(_read_or(path, "dev_port", "0")), path


def _numa_node(path: str) -> int | None:
    node = int(_read_or(path, "numa_node", "-1"))
    return None if node < 0 else node


def _hex_id(text: str) -> str:
    return f"{int(text, 16):04x}"


def _link_name(path: str, link: str) -> str | None:
    """Return the last part of a symbolic link's target: sysfs names a relation's other end that way."""
    try:
        return os.readlink(f"{path}/{link}").rpartition("/")[2]
    except FileNotFoundError:
        return None


def _read(path: str, name: str) -> str:
    with open(f"{path}/{name}") as file:
        return file.read().strip()


def _read_or(path: str, name: str, default: str) -> str:
    try:
        return _read(path, name)
    except OSError:  # phys_port_name answers EOPNOTSUPP where the driver has none
        return default
