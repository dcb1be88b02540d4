"""What mooring asks of the host for ports that are no VF's interface: links that it makes, and where it plugs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mooring.host.kernel import Netdev
from mooring.pci.device import VirtualFunction


class VirtualLinks(Protocol):
    """Interfaces that mooring makes and deletes, in the daemon's own network namespace.

    Names have at most 15 characters (IFNAMSIZ). Whatever is made replaces what an earlier attempt left under that name.
    A link dies with the namespace that it is in, and a macvtap with the interface below it, too.

    All methods raise KernelRefused: with EEXIST where an interface that mooring would not have made has the name.
    """

    def create_veth(self, name: str, peer: str, *, mac: str, mtu: int) -> None:
        """Make a pair: ``name`` stays on the host and is up, ``peer`` goes to the container and has the MAC."""
        ...

    def create_macvtap(self, vf: VirtualFunction, name: str, *, mac: str, mtu: int) -> None:
        """Make a macvtap over the whole VF (mode passthru), and set the VF's interface up, with the same MTU.

        It has the MAC of the VF's interface, which must have adopted it: NotClean if that is not ``mac``. Raises
        DeviceGone when the VF has no interface in the daemon's namespace.
        """
        ...

    def link(self, name: str) -> Netdev | None:
        """Return the interface with this name, or None."""
        ...

    def delete_link(self, name: str) -> None:
        """Delete a veth pair, by either end, or a macvtap; one that is not there is a success."""
        ...

    def plug_bridge(self, bridge: str, name: str) -> None:
        """Make the interface a port of a Linux bridge; the bridge is made, up and without STP, where there is none."""
        ...


class Switch(Protocol):
    """The ports of this host's Open vSwitch. Every method raises SwitchRefused."""

    def plug(self, bridge: str, name: str, external_ids: Mapping[str, str]) -> None:
        """Make the interface a port of the bridge, with these external ids alone, instead of what it was there."""
        ...

    def unplug(self, name: str) -> None:
        """Take the port from whichever bridge has it; one that is not there is a success."""
        ...

    def plugged(self) -> Mapping[str, str]:
        """Return the ``iface-id`` (Neutron's port) of each interface that has one, by the interface's name."""
        ...
