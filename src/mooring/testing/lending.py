"""The hands for what is lent in other ways than a VF's own interface: virtual links, VFs for programs, whole PFs."""

from __future__ import annotations

import errno

from mooring.errors import DeviceGone, KernelRefused
from mooring.host.failures import NetlinkError, kernel_errors
from mooring.host.kernel import VFIO, Netdev
from mooring.pci.device import PhysicalFunction, PlainDevice, VirtualFunction
from mooring.testing.changes import change
from mooring.testing.hands import Hands
from mooring.testing.igb import FakeInterface, FakePf
from mooring.testing.links import FakeLink


class LendingHands(Hands):
    """A FakeHost with hands, and what dockerd, tenants and their programs do to what mooring lent them."""

    @change
    def make_link(self, name: str, *, kind: str = "dummy") -> None:
        """Make a link that mooring has nothing to do with."""
        self._add_link(FakeLink(name=name, index=next(self._indexes), mac=self._fresh_mac(), kind=kind))

    def links_in(self, container: str) -> tuple[Netdev, ...]:
        """Return the virtual links in a container."""
        return tuple(link.seen() for link in self._links if link.namespace == container)

    def ports_of(self, bridge: str) -> frozenset[str]:
        """Return the names of a bridge's ports."""
        return frozenset(link.name for link in self._links if link.master == bridge)

    @change
    def move_link_to_container(self, link: str, name: str, *, container: str = "box") -> None:
        """Move a virtual link into a container's namespace, as dockerd does."""
        moved = self._link(link)
        if name in self._names(container):
            raise KernelRefused(f"moving it to {container} as {name}", link, errno.EEXIST)
        moved.namespace, moved.name, moved.up, moved.addresses = container, name, True, ()

    @change
    def move_link_to_host(self, name: str, link: str, *, container: str = "box") -> None:
        """Move a virtual link back under this name, as dockerd does when it ends a container in good order."""
        moved = self._link(name, container)
        with kernel_errors(f"moving it to the host as {link}", name):
            self._rename(moved, link)
        moved.namespace, moved.up, moved.addresses = None, False, ()

    @change
    def links_die(self, container: str = "box") -> None:
        """End a container: its virtual links die, and the other ends of its pairs with them."""
        self._links.die(container)

    def open_vfio(self, vf: VirtualFunction) -> None:
        """Let a program open the VF's group; it can be opened once."""
        _, fake = self._card(vf)
        with kernel_errors("opening its group", vf.address):
            if fake.driver != VFIO:
                raise NetlinkError(errno.ENOENT)
            if fake.group_open:
                raise NetlinkError(errno.EBUSY)
        fake.group_open = True

    def open_device(self, device: PlainDevice) -> None:
        """Let a program open the group of a device without SR-IOV."""
        self._opened.add(device.address)

    def close_vfio(self, vf: VirtualFunction) -> None:
        """Let the program end."""
        self._card(vf)[1].group_open = False

    @change
    def move_pf_to_container(self, pf: PhysicalFunction, name: str, *, container: str = "box") -> None:
        """Move the PF's interface into a container's namespace, as dockerd does."""
        uplink = self._uplink(pf)
        uplink.namespace, uplink.name, uplink.up, uplink.addresses, uplink.routes = container, name, True, (), ()

    @change
    def change_pf(
        self, pf: PhysicalFunction, *, mac: str | None = None, mtu: int | None = None, promiscuous: bool = False
    ) -> None:
        """Change the PF's interface, as root in its namespace can."""
        uplink = self._card_at(pf).interface
        uplink.mac, uplink.mtu, uplink.promiscuous = mac or uplink.mac, mtu or uplink.mtu, promiscuous

    @change
    def pf_comes_home(self, pf: PhysicalFunction, name: str) -> None:
        """Bring the PF's interface back under this name, as dockerd does when it ends a container in good order."""
        uplink = self._card_at(pf).interface
        with kernel_errors(f"moving it to the host as {name}", pf.address):
            self._rename(uplink, name)
        uplink.namespace, uplink.up, uplink.addresses = None, False, ()

    @change
    def pf_container_dies(self, pf: PhysicalFunction) -> None:
        """End the container around the PF: its interface comes back with the tenant's name, MAC and MTU."""
        uplink = self._card_at(pf).interface
        if uplink.namespace is not None:
            self._links.die(uplink.namespace)
        self._falls_home(uplink)

    def add_route(self, pf: PhysicalFunction, route: str = "the IPv4 default route") -> None:
        """Lead a default route over the PF's interface."""
        self._uplink(pf).routes += (route,)

    @change
    def add_pf_upper(self, pf: PhysicalFunction, name: str) -> None:
        """Put a bond, a bridge or a VLAN on the PF's interface."""
        self._uplink(pf).uppers += (name,)

    def add_pf_address(self, pf: PhysicalFunction, address: str) -> None:
        """Give the PF's interface an IP address."""
        self._uplink(pf).addresses += (address,)

    def _uplink(self, pf: PhysicalFunction) -> FakeInterface:
        uplink = self._card_at(pf).interface
        if uplink.namespace is not None:
            raise DeviceGone("reading its interface", pf.address, "it has none in the host's network namespace")
        return uplink

    def _card_at(self, pf: PhysicalFunction) -> FakePf:
        if (card := self._pfs.get(pf.address)) is None:
            raise DeviceGone("looking at the PF", pf.address, "it has left the host")
        return card

    def _link(self, name: str, namespace: str | None = None) -> FakeLink:
        found = self._links.find(name, namespace)
        if found is None:
            raise DeviceGone("looking at the interface", name, "it is not there any more")
        return found

    def _add_link(self, link: FakeLink) -> FakeLink:
        with kernel_errors("making the interface", link.name):
            if link.name in self._names(link.namespace):
                raise NetlinkError(errno.EEXIST)
        return self._links.add(link)
