"""The fake kernel, held to what is promised of virtual links, VFs for programs and whole PFs."""

from __future__ import annotations

import errno

import pytest
from lending_contract import LendingContract
from test_host_fake_kernel import PF, FakeWorld, card, first
from virtual_links_contract import VirtualLinksContract

from mooring.errors import KernelRefused
from mooring.host.kernel import Netdev
from mooring.pci.device import VirtualFunction
from mooring.testing.kernel import FakeKernel

MAC = "fa:16:3e:00:00:0a"


class FakeLendingWorld(FakeWorld):
    """The fake kernel as both contracts' world."""

    def __init__(self) -> None:
        super().__init__()
        self.links = self.kernel
        self.open_vfio = self.kernel.open_vfio
        self.close_vfio = self.kernel.close_vfio
        self.move_link_to_container = self.kernel.move_link_to_container
        self.move_link_to_host = self.kernel.move_link_to_host
        self.links_die = self.kernel.links_die
        self.ports_of = self.kernel.ports_of
        self.make_foreign = self.kernel.make_link
        self.move_pf_to_container = self.kernel.move_pf_to_container
        self.change_pf = self.kernel.change_pf
        self.pf_comes_home = self.kernel.pf_comes_home
        self.pf_container_dies = self.kernel.pf_container_dies
        self.add_pf_address = self.kernel.add_pf_address
        self.add_pf_upper = self.kernel.add_pf_upper
        self.add_route = self.kernel.add_route

    def vf(self) -> VirtualFunction:
        return first(self.kernel)

    def lower(self) -> Netdev:
        netdev = self.kernel.netdev(self.vf())
        assert netdev is not None
        return netdev


@pytest.fixture
def world() -> FakeLendingWorld:
    return FakeLendingWorld()


class TestFakeLending(LendingContract):
    pass


class TestFakeVirtualLinks(VirtualLinksContract):
    pass


@pytest.fixture
def kernel() -> FakeKernel:
    kernel = FakeKernel()
    kernel.add_pf(str(PF), "enp1s0")
    return kernel


def test_a_host_without_iommu_gives_no_vf_to_programs(kernel: FakeKernel) -> None:
    kernel.iommu = False
    with pytest.raises(KernelRefused) as refusal:
        kernel.bind_vfio(first(kernel))
    assert refusal.value.errno == errno.EOPNOTSUPP


def test_a_group_is_opened_once(kernel: FakeKernel) -> None:
    kernel.bind_vfio(first(kernel))
    kernel.open_vfio(first(kernel))
    with pytest.raises(KernelRefused) as refusal:
        kernel.open_vfio(first(kernel))
    assert refusal.value.errno == errno.EBUSY


def test_groups_are_numbered_anew_at_a_boot(kernel: FakeKernel) -> None:
    before = kernel.bind_vfio(first(kernel))
    kernel.reboot()
    assert kernel.bind_vfio(first(kernel)) != before


def test_a_reboot_brings_pfs_home_and_ends_links(kernel: FakeKernel) -> None:
    before = kernel.netdev(card(kernel))
    kernel.create_veth("v0", "v1", mac=MAC, mtu=1500)
    kernel.move_pf_to_container(card(kernel), "eth0")
    kernel.reboot()
    assert kernel.netdev(card(kernel)) == before
    assert kernel.link("v0") is None


def test_a_vf_that_is_unplugged_takes_its_macvtap_along(kernel: FakeKernel) -> None:
    lower = kernel.netdev(first(kernel))
    assert lower is not None
    kernel.create_macvtap(first(kernel), "tap0", mac=lower.mac, mtu=1500)
    kernel.move_link_to_container("tap0", "eth0")
    assert [link.name for link in kernel.links_in("box")] == ["eth0"]
    kernel.unplug(first(kernel))
    assert kernel.links_in("box") == ()


@pytest.mark.parametrize("change", ["link", "driver", "pf"])
def test_what_may_be_left_behind_is_part_of_the_state(kernel: FakeKernel, change: str) -> None:
    before = kernel.state()
    match change:
        case "link":
            kernel.create_veth("v0", "v1", mac=MAC, mtu=1500)
        case "driver":
            kernel.bind_vfio(first(kernel))
        case "pf":
            kernel.change_pf(card(kernel), mtu=1400)
    assert kernel.state() != before
