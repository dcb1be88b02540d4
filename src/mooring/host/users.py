"""Who on this host uses a device that mooring did not lease."""

from __future__ import annotations

from mooring.errors import DeviceGone
from mooring.host import links
from mooring.host.failures import kernel_errors
from mooring.host.interfaces import read_interface
from mooring.host.kernel import DeviceUser, UserKind
from mooring.host.routes import default_routes
from mooring.host.sysfs import Sysfs
from mooring.pci.address import PciAddress


def user_of(sysfs: Sysfs, address: PciAddress) -> DeviceUser | None:
    """See Kernel.user_of."""
    if sysfs.elsewhere(address):
        return DeviceUser(kind=UserKind.NAMESPACE, words="another network namespace")
    try:
        link = read_interface(sysfs, address)
    except DeviceGone:
        if (driver := sysfs.driver(address)) is None:
            return None
        return DeviceUser(kind=UserKind.DRIVER, words=f"driver {driver}", marks=frozenset({driver}))
    return _user_of_interface(sysfs, address, link)


def _user_of_interface(sysfs: Sysfs, address: PciAddress, link: links.Link) -> DeviceUser | None:
    name, index = link.netdev.name, link.netdev.index
    if uppers := sysfs.uppers(address):
        words = f"{', '.join(uppers)} on top of its interface {name}"
        return DeviceUser(kind=UserKind.UPPER_INTERFACE, words=words)
    # A macvtap that went to a container leaves no other trace in this namespace.
    if link.hears_all:
        words = f"whatever made its interface {name} listen to all frames"
        return DeviceUser(kind=UserKind.LISTENER, words=words)
    with kernel_errors(f"reading the addresses and routes of {name}", address):
        if addresses := links.read_addresses(index):
            words = f"the host, with {', '.join(addresses)} on {name}"
            return DeviceUser(kind=UserKind.HOST, words=words, marks=frozenset(addresses))
        routes = default_routes(index)
    if not routes:
        return None
    words = f"the host, with {' and '.join(routes)} over {name}"
    return DeviceUser(kind=UserKind.HOST, words=words, marks=frozenset(routes))
