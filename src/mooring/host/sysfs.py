# A rescan reads some thousand small files, and a Path costs more than such a read.
# ruff: noqa: PTH110, PTH115, PTH123, PTH208
"""PCI network devices as sysfs shows them (Linux Documentation/ABI/testing/sysfs-bus-pci, sysfs-class-net).

Everything is read anew at each call: sysfs is the truth, and it changes behind our back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from mooring.errors import InvalidPciAddress
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, PlainDevice, VirtualFunction

log = structlog.get_logger(__name__)

_NETWORK_CLASS = "0x02"
BRIDGE_CLASS = "0x06"
_VIRTFN = "virtfn"
# A VF's or sub-function's representor stands beside the PF's own interface (Linux devlink, phys_port_name).
_REPRESENTOR = re.compile(r"(c\d+)?pf\d+(vf|sf)\d+")
_LOOKS = 3
_ROUTING_IDS = 1 << 16  # bus, device and function; a VF's may wrap


class Sysfs:
    """The PCI devices under one sysfs root."""

    def __init__(self, root: Path) -> None:
        self._pci = str(root / "bus/pci")
        self._devices = f"{self._pci}/devices"
        self._interfaces = str(root / "class/net")
        self._skipped: dict[str, str] = {}

    def path(self, address: PciAddress) -> Path:
        """Return the directory of a device."""
        return Path(self._devices, str(address))

    def bind_path(self, driver: str | None) -> Path:
        """Return the file that binds a device to this driver, or to whichever fits."""
        return Path(self._pci, "drivers", driver, "bind") if driver else Path(self._pci, "drivers_probe")

    def has_driver(self, driver: str) -> bool:
        """Tell whether a driver is loaded, or built in."""
        return os.path.exists(f"{self._pci}/drivers/{driver}")

    def physical_functions(self) -> tuple[PhysicalFunction, ...]:
        """Return every SR-IOV network card that can be read; a broken one is left out, and the log says why."""
        found = []
        vf_names: set[str] = set()
        at_home = self._at_home()
        for name in sorted(os.listdir(self._devices)):  # a PF comes before its VFs, so that they need not be opened
            path = f"{self._devices}/{name}"
            if name in vf_names or not os.path.exists(f"{path}/sriov_totalvfs"):
                continue
            try:
                if _read(path, "class").startswith(_NETWORK_CLASS):
                    virtfns = sorted(_virtfns(path))
                    found.append(self._physical_function(PciAddress.parse(name), virtfns, at_home))
                    vf_names.update(vf for _, vf in virtfns)
                self._skipped.pop(name, None)
            except (OSError, ValueError, InvalidPciAddress) as exc:
                self._skip(name, str(exc))
        return tuple(sorted(found, key=lambda pf: pf.address))

    def plain_devices(self) -> tuple[PlainDevice, ...]:
        """Return every device that is for programs, ordered by address, as far as they can be read."""
        found = []
        for name in os.listdir(self._devices):
            path = f"{self._devices}/{name}"
            with suppress(OSError, ValueError, InvalidPciAddress):
                if _is_for_programs(path):
                    found.append(_plain_device(path, PciAddress.parse(name)))
        return tuple(sorted(found, key=lambda device: device.address))

    def exists(self, address: PciAddress) -> bool:
        """Tell whether there is a device at an address."""
        return os.path.exists(f"{self._devices}/{address}")

    def find(self, address: PciAddress) -> PciDevice | None:
        """Return the device as it is now, or None when there is none."""
        path = f"{self._devices}/{address}"
        try:
            if parent := _link_name(path, "physfn"):
                return self._virtual_function(PciAddress.parse(parent), address)
            if os.path.exists(f"{path}/sriov_totalvfs"):
                return self._physical_function(address, sorted(_virtfns(path)), {})
            return _plain_device(path, address)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def interface(self, address: PciAddress) -> str | None:
        """Return the name of the device's interface in the daemon's network namespace."""
        return _interfaces(f"{self._devices}/{address}")[0]

    def elsewhere(self, address: PciAddress) -> bool:
        """Tell whether the device's interface is in another network namespace."""
        name, has_interface = _interfaces(f"{self._devices}/{address}")
        return has_interface and name is None

    def interface_index(self, address: PciAddress) -> int | None:
        """Return the index of that interface, read below the device: its name may pass to another device meanwhile."""
        for _ in range(_LOOKS):
            interface = self.interface(address)
            if interface is None:
                break
            try:
                return int(_read(f"{self._devices}/{address}/net/{interface}", "ifindex"))
            except OSError:  # renamed, or leaving: one that leaves answers EINVAL
                continue
        return None

    def driver(self, address: PciAddress) -> str | None:
        """Return the name of the driver that the device is bound to."""
        return _link_name(f"{self._devices}/{address}", "driver")

    def uppers(self, address: PciAddress) -> tuple[str, ...]:
        """Return the interfaces stacked on the device's: bonds, bridges, VLANs, macvtaps."""
        names = (self.path(address) / "net").glob("*/upper_*")
        return tuple(sorted(name.name.removeprefix("upper_") for name in names))

    def _at_home(self) -> Mapping[str, str | None]:
        """Return the interfaces of this namespace by their devices, None for a device with several.

        To ask each link for its device takes a third of the time that it takes to ask each device for its links.
        """
        found: dict[str, str | None] = {}
        for name in os.listdir(self._interfaces):
            with suppress(OSError):  # it left, or it is no interface, but bonding_masters
                device = os.readlink(f"{self._interfaces}/{name}").rsplit("/", 3)[-3]
                found[device] = None if device in found else name
        return found

    def _physical_function(
        self, address: PciAddress, virtfns: Sequence[tuple[int, str]], at_home: Mapping[str, str | None]
    ) -> PhysicalFunction:
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
            vfs=tuple(
                _vf(f"{self._devices}/{name}", name, index, family, at_home.get(name)) for index, name in virtfns
            ),
        )

    def _virtual_function(self, parent: PciAddress, address: PciAddress) -> VirtualFunction | None:
        path, name = f"{self._devices}/{parent}", str(address)
        index = _expected_index(path, parent, address)
        if index is None or _link_name(path, f"{_VIRTFN}{index}") != name:
            index = next((index for index, vf in _virtfns(path) if vf == name), None)
        return None if index is None else _vf(f"{self._devices}/{name}", name, index, _Family.read(path, parent), None)

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


def _vf(path: str, name: str, index: int, family: _Family, at_home: str | None) -> VirtualFunction:
    netdev, has_interface = (at_home, True) if at_home else _interfaces(path)
    return VirtualFunction(
        address=PciAddress.parse(name),
        vendor_id=family.vendor_id,
        product_id=family.vf_product_id,
        numa_node=family.numa_node,
        parent=family.parent,
        index=index,
        driver=_link_name(path, "driver"),
        netdev=netdev,
        elsewhere=has_interface and netdev is None,
    )


def _is_for_programs(path: str) -> bool:
    """Tell whether a device is none of a network card with SR-IOV, no other PF and no bridge."""
    kind = _read(path, "class")
    if kind.startswith(BRIDGE_CLASS) or os.path.exists(f"{path}/sriov_totalvfs"):
        return False
    return not (kind.startswith(_NETWORK_CLASS) and os.path.exists(f"{path}/physfn"))


def _plain_device(path: str, address: PciAddress) -> PlainDevice:
    return PlainDevice(
        address=address,
        vendor_id=_hex_id(_read(path, "vendor")),
        product_id=_hex_id(_read(path, "device")),
        numa_node=_numa_node(path),
        driver=_link_name(path, "driver"),
        parent=PciAddress.parse(parent) if (parent := _link_name(path, "physfn")) else None,
    )


def _expected_index(path: str, parent: PciAddress, address: PciAddress) -> int | None:
    """Compute a VF's index from its place (Linux drivers/pci/iov.c, pci_iov_virtfn_bus); some platforms move VFs."""
    distance = (_routing_id(address) - _routing_id(parent) - int(_read_or(path, "sriov_offset", "0"))) % _ROUTING_IDS
    index, rest = divmod(distance, max(int(_read_or(path, "sriov_stride", "1")), 1))
    return None if rest else index


def _routing_id(address: PciAddress) -> int:
    return address.bus << 8 | address.device << 3 | address.function


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
