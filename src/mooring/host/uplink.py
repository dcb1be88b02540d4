"""A PF's own interface, home again from a container that had it."""

from __future__ import annotations

from mooring.errors import DeviceGone, NotClean
from mooring.host import links
from mooring.host.failures import kernel_errors
from mooring.host.interfaces import read_interface
from mooring.host.kernel import Netdev
from mooring.host.sysfs import Sysfs
from mooring.pci.address import PciAddress


def restore_uplink(sysfs: Sysfs, pf: PciAddress, former: Netdev) -> None:
    """Give the interface its former name, MAC, MTU and state back; see Kernel.restore_uplink."""
    try:
        index = read_interface(sysfs, pf).netdev.index
    except DeviceGone as exc:
        where = "is in another network namespace" if sysfs.elsewhere(pf) else "is not there"
        raise NotClean(pf, f"its interface, formerly {former.name}, {where}") from exc
    with kernel_errors(f"restoring interface {former.name}", pf):
        links.set_idle(index)  # Linux before 6.2 renames none that is up, as the host's own network set-up may make it
        links.rename(index, former.name)
        links.remove_addresses(index)
        links.set_mac(index, former.mac)
        links.set_mtu(index, former.mtu)
        links.set_up(index, up=former.up)
    _verify(sysfs, pf, former)


def _verify(sysfs: Sysfs, pf: PciAddress, former: Netdev) -> None:
    link = read_interface(sysfs, pf)
    now = link.netdev
    wrong = [
        f"{field} is {getattr(now, field)}, not {getattr(former, field)}"
        for field in ("name", "mac", "mtu", "up")
        if getattr(now, field) != getattr(former, field)
    ]
    if link.hears_all:
        wrong.append("somebody made it promiscuous")
    with kernel_errors(f"reading the addresses of {now.name}", pf):
        wrong += [f"it has address {address}" for address in links.read_addresses(now.index)]
    if wrong:
        raise NotClean(pf, f"its interface does not read back as it was: {', '.join(wrong)}")
