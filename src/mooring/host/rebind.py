"""Taking a VF from its driver and giving it back: whatever namespace its interface was in, it comes back new."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mooring.errors import DeviceGone, NotClean
from mooring.host.events import host_events
from mooring.host.failures import kernel_errors
from mooring.host.sysfs import Sysfs
from mooring.pci.address import PciAddress

_INTERFACE_SECONDS = 10.0
_ATTEMPTS = 2


def rebind(sysfs: Sysfs, address: PciAddress, driver: str | None) -> None:
    """Unbind the VF, bind it to ``driver`` (None: whichever fits) and wait for its new interface.

    Raises NotClean when no driver takes the VF, or when no interface appears. Not for a VF of a virtual machine:
    unbinding vfio-pci would wait for that machine.
    """
    for _ in range(_ATTEMPTS):
        unbind(sysfs, address)
        _bind(sysfs, address, driver)
        if sysfs.interface(address) or _interface_appears(sysfs, address):
            return
    raise NotClean(address, f"no network interface appeared within {_INTERFACE_SECONDS:.0f} s of binding {driver}")


def unbind(sysfs: Sysfs, address: PciAddress) -> None:
    """Take the VF from its driver, if it has one; its interface is gone, wherever it was."""
    if bound := sysfs.driver(address):
        with kernel_errors(f"unbinding {bound}", address):
            (sysfs.path(address) / "driver/unbind").write_text(str(address))


def _bind(sysfs: Sysfs, address: PciAddress, driver: str | None) -> None:
    path = sysfs.path(address)
    _probe(sysfs, address, driver)
    if driver and sysfs.driver(address) is None and path.exists():
        with _override(path, driver):
            _probe(sysfs, address, driver)
    if sysfs.driver(address) is None:
        if not path.exists():
            raise DeviceGone("binding its driver", address, "the VF left the host")
        remedy = "load its network driver, and see to sriov_drivers_autoprobe of its PF and the kernel's log"
        raise NotClean(address, f"no driver took it; {remedy}")


def _probe(sysfs: Sysfs, address: PciAddress, driver: str | None) -> None:
    """Offer the device to its driver. The kernel says ENODEV, or nothing at all, when no driver takes it."""
    with suppress(DeviceGone), kernel_errors(f"binding {driver or 'a driver'}", address):
        sysfs.bind_path(driver).write_text(str(address))


@contextmanager
def _override(path: Path, driver: str) -> Iterator[None]:
    """Let the driver have the VF even where the operator keeps drivers from new VFs (sriov_drivers_autoprobe 0)."""
    override = path / "driver_override"
    if override.read_text().strip() not in {"", "(null)"}:
        yield
        return
    override.write_text(driver)
    try:
        yield
    finally:
        override.write_text("\n")


def _interface_appears(sysfs: Sysfs, address: PciAddress) -> bool:
    """Wait until the interface is registered; most drivers have done so when they are bound."""
    deadline = time.monotonic() + _INTERFACE_SECONDS
    with host_events() as events:
        while not (appeared := sysfs.interface(address) is not None) and (left := deadline - time.monotonic()) > 0:
            events.wait(left)
    return appeared
