"""Virtual links of the running kernel, in a namespace of this test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_namespace import private_namespace
from virtual_links_contract import BRIDGE, MAC, NAME, PEER, VirtualLinksContract

from mooring.errors import KernelRefused
from mooring.host import links
from mooring.host.events import host_events
from mooring.host.kernel import Netdev
from mooring.host.routes import default_routes
from mooring.host.virtual_links import LinuxVirtualLinks
from mooring.pci.address import PciAddress
from mooring.pci.device import VirtualFunction

ADDRESS = PciAddress.parse("0000:01:10.0")
LOWER = "vf0"
CONTAINER = f"box-{os.getpid()}"
SECONDS = 30.0


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


class LinuxWorld:
    """A namespace with a veth pair in the place of a VF: sysfs is made up, the links are real."""

    def __init__(self, sysfs: Path, namespace: str) -> None:
        shown = sysfs / "bus/pci/devices" / str(ADDRESS) / "net" / LOWER
        shown.mkdir(parents=True)
        ip("link", "add", LOWER, "type", "veth", "peer", "wire")
        (shown / "ifindex").write_text(f"{links.index_of(LOWER)}\n")
        self.links = LinuxVirtualLinks(sysfs)
        self._namespace = namespace

    def vf(self) -> VirtualFunction:
        return VirtualFunction(
            address=ADDRESS,
            vendor_id="8086",
            product_id="10ca",
            numa_node=None,
            parent=PciAddress.parse("0000:01:00.0"),
            index=0,
            driver="igbvf",
            netdev=LOWER,
            elsewhere=False,
        )

    def lower(self) -> Netdev:
        return links.read_link(LOWER).netdev

    def make_foreign(self, name: str) -> None:
        ip("link", "add", name, "type", "bridge")

    def move_link_to_container(self, link: str, name: str) -> None:
        ip("netns", "add", CONTAINER)
        ip("link", "set", link, "netns", CONTAINER, "name", name)
        ip("-n", CONTAINER, "link", "set", name, "up")

    def move_link_to_host(self, name: str, link: str) -> None:
        ip("-n", CONTAINER, "link", "set", name, "down")
        ip("-n", CONTAINER, "link", "set", name, "netns", self._namespace, "name", link)

    def links_die(self) -> None:
        """End the container and await the death of its links, which the kernel leaves for later."""
        with host_events() as events:
            ip("netns", "delete", CONTAINER)
            while self.links.link(NAME) or links.read_link(LOWER).hears_all:
                events.wait(SECONDS)

    def ports_of(self, bridge: str) -> frozenset[str]:
        told = ip("-br", "link", "show", "master", bridge)
        return frozenset(line.split()[0].partition("@")[0] for line in told.splitlines())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LinuxWorld]:
    with private_namespace() as namespace:
        yield LinuxWorld(tmp_path, namespace)
    subprocess.run(["ip", "netns", "delete", CONTAINER], check=False, capture_output=True)


class TestLinuxVirtualLinks(VirtualLinksContract):
    def test_a_bridge_that_is_made_forwards_at_once(self, world: LinuxWorld) -> None:
        world.links.create_veth(NAME, PEER, mac=MAC, mtu=1500)
        world.links.plug_bridge(BRIDGE, NAME)
        told = ip("-d", "link", "show", BRIDGE)
        assert "stp_state 0" in told
        assert "forward_delay 0" in told

    def test_a_name_that_is_too_long_is_refused(self, world: LinuxWorld) -> None:
        with pytest.raises(KernelRefused):
            world.links.create_veth("a" * 16, PEER, mac=MAC, mtu=1500)
        assert world.links.link(PEER) is None


def test_a_default_route_over_an_interface_is_told(world: LinuxWorld) -> None:
    index = world.lower().index
    assert default_routes(index) == ()
    ip("link", "set", LOWER, "up")
    ip("link", "set", "wire", "up")
    ip("route", "add", "default", "dev", "wire", "metric", "1")
    ip("route", "add", "192.0.2.0/24", "dev", LOWER)
    assert default_routes(index) == ()
    ip("route", "add", "default", "dev", LOWER, "metric", "9")
    ip("-6", "route", "add", "default", "dev", LOWER)
    assert default_routes(index) == ("the IPv4 default route", "the IPv6 default route")


def test_one_of_several_next_hops_is_a_default_route(world: LinuxWorld) -> None:
    ip("link", "set", LOWER, "up")
    ip("link", "set", "wire", "up")
    ip("route", "add", "default", "nexthop", "dev", "wire", "nexthop", "dev", LOWER)
    assert default_routes(world.lower().index) == ("the IPv4 default route",)


def test_a_promiscuous_interface_hears_all(world: LinuxWorld) -> None:
    assert not links.read_link(LOWER).hears_all
    ip("link", "set", LOWER, "promisc", "on")
    assert links.read_link(LOWER).hears_all
    links.set_idle(world.lower().index)
    assert not links.read_link(LOWER).hears_all


def test_addresses_are_removed_but_the_link_local_ones(world: LinuxWorld) -> None:
    for address in ("192.0.2.9/24", "192.0.2.10/24", "169.254.7.7/16", "2001:db8::9/64"):
        ip("address", "add", address, "dev", LOWER)
    links.remove_addresses(world.lower().index)
    assert links.read_addresses(world.lower().index) == ()
    assert "169.254.7.7" in ip("address", "show", "dev", LOWER)
