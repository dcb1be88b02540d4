"""VirtualLinks in memory, in one world with the cards that they stand on."""

from __future__ import annotations

import errno

from mooring.errors import KernelRefused, NotClean
from mooring.host.failures import NetlinkError, kernel_errors
from mooring.host.kernel import Netdev
from mooring.pci.device import VirtualFunction
from mooring.testing.calls import CountedCalls, counted
from mooring.testing.changes import change
from mooring.testing.igb import FakeInterface
from mooring.testing.lending import LendingHands
from mooring.testing.links import FakeLink

_MIN_MTU, _MAX_MTU = 68, 9216  # igbvf's


class FakeVirtualLinks(CountedCalls, LendingHands):
    """VirtualLinks, kept by a FakeHost."""

    def __init__(self) -> None:
        CountedCalls.__init__(self)
        LendingHands.__init__(self)

    @counted
    @change
    def create_veth(self, name: str, peer: str, *, mac: str, mtu: int) -> None:
        """Make a pair with both ends on the host."""
        for taken in (name, peer):
            self._make_way(taken, "veth")
        host = self._make(FakeLink(kind="veth", name=name, index=0, mac=self._fresh_mac(), mtu=mtu, up=True))
        host.peer = self._make(FakeLink(kind="veth", name=peer, index=0, mac=mac, mtu=mtu, peer=host))

    @counted
    @change
    def create_macvtap(self, vf: VirtualFunction, name: str, *, mac: str, mtu: int) -> None:
        """Make a macvtap on the VF's interface, which has no room for a second one."""
        lower = self._interface(vf)
        self._make_way(name, "macvtap")
        if lower.mac != mac:
            raise NotClean(vf.address, f"its interface {lower.name} has MAC {lower.mac}, not {mac}")
        with kernel_errors(f"making macvtap {name}", vf.address):
            if self._links.above(lower):
                raise NetlinkError(errno.EINVAL)
        self._set_mtu(lower, mtu, vf.address)
        lower.up = True
        self._make(FakeLink(kind="macvtap", name=name, index=0, mac=mac, mtu=mtu, lower=lower))

    @counted
    def link(self, name: str) -> Netdev | None:
        """Return the interface with this name on the host, or None."""
        return next(
            (found.seen() for found in self._interfaces() if (found.namespace, found.name) == (None, name)), None
        )

    @counted
    @change
    def delete_link(self, name: str) -> None:
        """Delete a veth pair or a macvtap."""
        self._make_way(name, "veth", "macvtap")

    @counted
    @change
    def plug_bridge(self, bridge: str, name: str) -> None:
        """Make the interface a port of a bridge, which is made where there is none."""
        port, switch = self._link(name), self._links.find(bridge)
        if switch is None or switch.kind != "bridge":
            self._make_way(bridge)
            self._make(FakeLink(kind="bridge", name=bridge, index=0, mac=self._fresh_mac(), up=True))
        port.master, port.up = bridge, True

    def _make(self, link: FakeLink) -> FakeLink:
        link.index = next(self._indexes)
        return self._add_link(link)

    def _make_way(self, name: str, *kinds: str) -> None:
        """Delete the link of one of these kinds that has the name; refuse any other interface's."""
        if name not in self._names(None):
            return
        link = self._links.find(name)
        if link is None or link.kind not in kinds:
            raise KernelRefused(f"replacing interface {name}", name, errno.EEXIST, "mooring did not make it")
        self._links.delete(link)

    @staticmethod
    def _set_mtu(interface: FakeInterface, mtu: int, device: object) -> None:
        if not _MIN_MTU <= mtu <= _MAX_MTU:
            raise KernelRefused(f"setting MTU {mtu}", device, errno.EINVAL)
        interface.mtu = mtu
