"""How a VF's driver takes over the MAC address that the PF holds for the VF.

A driver reads that address when it is bound. Most drivers also accept the same address set on the interface, which is
quicker; igbvf does not (the igb PF refuses every address the VF asks for once it has been given one).
"""

from __future__ import annotations

import errno
import time

from mooring.errors import DeviceGone, NotClean
from mooring.host import links
from mooring.host.failures import NetlinkError, kernel_errors
from mooring.host.kernel import Netdev
from mooring.host.rebind import rebind
from mooring.host.sysfs import Sysfs
from mooring.pci.device import VirtualFunction

_DEFAULT_MTU = 1500  # ETH_DATA_LEN, what a fresh Ethernet interface has
_ACCEPT_MAC = frozenset({"mlx5_core", "iavf", "i40evf", "ixgbevf", "bnxt_en"})
_RESETTING = frozenset({errno.EAGAIN, errno.EBUSY})
_RESET_SECONDS, _RESET_PAUSE = 2.0, 0.05
_RENAME_ATTEMPTS = 3


def adopt(sysfs: Sysfs, vf: VirtualFunction, mac: str, name: str) -> Netdev:
    """Return the VF's interface, new or reset: down, called ``name``, with default MTU. The caller verifies its MAC."""
    if vf.driver and not vf.netdev and not vf.elsewhere:
        raise NotClean(vf.address, f"its driver {vf.driver} shows no network interface; bind its network driver again")
    if vf.driver not in _ACCEPT_MAC or vf.netdev is None or not _set_mac(sysfs, vf, vf.netdev, mac):
        rebind(sysfs, vf.address, vf.driver)
    return take_name(sysfs, vf, name)


def _set_mac(sysfs: Sysfs, vf: VirtualFunction, interface: str, mac: str) -> bool:
    """Set the MAC on the interface itself; False when the driver would not have it in time.

    Also when something still stands on the interface, which goes only with it: a macvtap, wherever that is.
    """
    with kernel_errors(f"resetting interface {interface}", vf.address):
        index = links.index_of(interface)
        links.set_idle(index)
        links.set_mtu(index, _DEFAULT_MTU)
        if sysfs.uppers(vf.address) or links.read_link(index).hears_all:
            return False
    deadline = time.monotonic() + _RESET_SECONDS
    while time.monotonic() < deadline:
        try:
            links.set_mac(index, mac)
        except NetlinkError as exc:
            if exc.errno not in _RESETTING:
                return False
        else:
            return True
        # iavf learns of the PF's address by a message that no event announces.
        time.sleep(_RESET_PAUSE)
    return False


def take_name(sysfs: Sysfs, vf: VirtualFunction, name: str) -> Netdev:
    """Give the interface its name, again when somebody else (udev) was quicker."""
    for _ in range(_RENAME_ATTEMPTS):
        interface = sysfs.interface(vf.address)
        if interface is None:
            break
        try:
            netdev = _rename(vf, interface, name)
        except DeviceGone:  # it had another name by then
            continue
        if netdev.name == name and not netdev.up:
            return netdev
    raise NotClean(vf.address, f"its interface does not stay down with the name {name}; what else manages it?")


def _rename(vf: VirtualFunction, interface: str, name: str) -> Netdev:
    with kernel_errors(f"renaming interface {interface} to {name}", vf.address):
        index = links.index_of(interface)
        try:
            links.rename(index, name)
        except NetlinkError as exc:
            if exc.errno != errno.EBUSY:
                raise
            links.set_idle(index)
            links.rename(index, name)
        return links.read_link(index).netdev
