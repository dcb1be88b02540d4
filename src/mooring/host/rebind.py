"""Taking a VF from its driver and giving it back: whatever namespace its interface was in, it comes back new."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mooring.errors import DeviceGone, NotClean
from mooring.host.failures import kernel_errors
from mooring.host.netlink import LinkEvents, link_events
from mooring.host.sysfs import Sysfs
from mooring.pci.address import PciAddress

_INTERFACE_SECONDS = 10.0
_ATTEMPTS = 2


def rebind(sysfs: Sysfs, address: PciAddress, driver: str | None) -> str:
    """Unbind the VF, bind it to ``driver`` (None: whichever fits) and return the name of its new interface.

    Raises NotClean when no driver takes the VF, or when no interface appears. Not for a VF of a virtual machine:
    unbinding vfio-pci would wait for that machine.
    """
    for _ in range(_ATTEMPTS):
        _unbind(sysfs, address)
        with link_events() as events:
            _bind(sysfs, address, driver)
            if name := _await_interface(sysfs, address, events):
                return name
    raise NotClean(address, f"no network interface appeared within {_INTERFACE_SECONDS:.0f} s of binding {driver}")


def _unbind(sysfs: Sysfs, address: PciAddress) -> None:
    if bound := sysfs.driver(address):
        with kernel_errors(f"unbinding {bound}", address):
            (sysfs.path(address) / "driver/unbind").write_text(str(address))


def _bind(sysfs: Sysfs, address: PciAddress, driver: str | None) -> None:
    path = sysfs.path(address)
    with suppress(DeviceGone), kernel_errors(f"binding {driver or 'a driver'}", address), _may_probe(path, driver):
        sysfs.bind_path(driver).write_text(str(address))
    # The kernel says ENODEV, or nothing at all, when no driver takes the device.
    if sysfs.driver(address) is None:
        if not path.exists():
            raise DeviceGone("binding its driver", address, "the VF left the host")
        remedy = "load its network driver, and see to sriov_drivers_autoprobe of its PF and the kernel's log"
        raise NotClean(address, f"no driver took it; {remedy}")


@contextmanager
def _may_probe(path: Path, driver: str | None) -> Iterator[None]:
    """Let the driver have the VF even where the operator keeps drivers from new VFs (sriov_drivers_autoprobe 0)."""
    override = path / "driver_override"
    if driver is None or override.read_text().strip() not in {"", "(null)"}:
        yield
        return
    override.write_text(driver)
    try:
        yield
    finally:
        override.write_text("\n")


def _await_interface(sysfs: Sysfs, address: PciAddress, events: LinkEvents) -> str | None:
    """Return the interface's name once it is registered: at once for most drivers, later for some."""
    deadline = time.monotonic() + _INTERFACE_SECONDS
    while (name := sysfs.interface(address)) is None and (left := deadline - time.monotonic()) > 0:
        events.wait(left)
    return name
