"""A device's interface, found by where the device is: its name may pass to another device between two looks."""

from __future__ import annotations

from mooring.errors import DeviceGone
from mooring.host import links
from mooring.host.failures import kernel_errors
from mooring.host.sysfs import Sysfs
from mooring.pci.address import PciAddress


def read_interface(sysfs: Sysfs, address: PciAddress) -> links.Link:
    """Read the interface that a device has in the daemon's namespace; raise DeviceGone when it has none there."""
    with kernel_errors("reading its interface", address):
        return links.read_link(interface_index(sysfs, address))


def interface_index(sysfs: Sysfs, address: PciAddress) -> int:
    """Return that interface's index; raise DeviceGone when there is none."""
    index = sysfs.interface_index(address)
    if index is None:
        raise DeviceGone("looking up its interface", address, "it has none in the host's namespace, or no driver")
    return index
