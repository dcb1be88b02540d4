"""Virtual interfaces of this host."""

from __future__ import annotations

import errno
from pathlib import Path

from mooring.errors import DeviceGone, KernelRefused, NotClean
from mooring.host import links
from mooring.host.failures import kernel_errors
from mooring.host.interfaces import read_interface
from mooring.host.kernel import Netdev
from mooring.host.sysfs import Sysfs
from mooring.pci.device import VirtualFunction

_MACVLAN_MODE_PASSTHRU = 8  # Linux include/uapi/linux/if_link.h


class LinuxVirtualLinks:
    """VirtualLinks, kept by rtnetlink. Stateless, so it may be shared between threads."""

    def __init__(self, sysfs_root: Path = Path("/sys")) -> None:
        self._sysfs = Sysfs(sysfs_root)

    def create_veth(self, name: str, peer: str, *, mac: str, mtu: int) -> None:
        """Make a pair, both ends on the host."""
        for taken in (name, peer):
            _make_way(taken, "veth")
        other_end = [("IFLA_IFNAME", peer), ("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu)]
        with kernel_errors(f"making a pair with {peer}", name):
            links.create("veth", name, [("VETH_INFO_PEER", {"attrs": other_end})], up=True, IFLA_MTU=mtu)

    def create_macvtap(self, vf: VirtualFunction, name: str, *, mac: str, mtu: int) -> None:
        """Make a macvtap that has the VF for itself, which hears all frames from now on."""
        lower = read_interface(self._sysfs, vf.address).netdev
        _make_way(name, "macvtap")
        if lower.mac != mac:
            raise NotClean(vf.address, f"its interface {lower.name} has MAC {lower.mac}, not {mac}")
        with kernel_errors(f"making macvtap {name} on {lower.name}", vf.address):
            links.set_mtu(lower.index, mtu)
            links.set_up(lower.index, up=True)
            mode = [("IFLA_MACVTAP_MODE", _MACVLAN_MODE_PASSTHRU)]
            links.create("macvtap", name, mode, IFLA_LINK=lower.index, IFLA_MTU=mtu)

    def link(self, name: str) -> Netdev | None:
        """Return the interface with this name, or None."""
        found = _find(name)
        return found.netdev if found else None

    def delete_link(self, name: str) -> None:
        """Delete a veth pair or a macvtap."""
        _make_way(name, "veth", "macvtap")

    def plug_bridge(self, bridge: str, name: str) -> None:
        """Make the interface, which is set up, a port of the bridge, which is made where there is none."""
        switch = _find(bridge)
        with kernel_errors(f"plugging {name} into bridge {bridge}", name):
            if switch is None or switch.kind != "bridge":
                _make_way(bridge)
                links.create("bridge", bridge, [("IFLA_BR_STP_STATE", 0), ("IFLA_BR_FORWARD_DELAY", 0)], up=True)
            port = links.index_of(name)
            links.set_master(port, links.index_of(bridge))
            links.set_up(port, up=True)


def _make_way(name: str, *kinds: str) -> None:
    """Delete the interface with this name if it is of one of these kinds; refuse any other."""
    found = _find(name)
    if found is None:
        return
    if found.kind not in kinds:
        what = f"a {found.kind} interface" if found.kind else "a device's interface"
        raise KernelRefused("making way", name, errno.EEXIST, f"{what} has this name, which mooring did not make")
    try:
        with kernel_errors("deleting the interface", name):
            links.delete(found.netdev.index)
    except DeviceGone:  # its container, its other end or what it stood on was quicker
        return


def _find(name: str) -> links.Link | None:
    try:
        with kernel_errors("looking at the interface", name):
            return links.read_link(name)
    except DeviceGone:
        return None
