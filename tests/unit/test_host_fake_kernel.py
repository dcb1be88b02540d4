from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from kernel_contract import KernelContract

from mooring.errors import DeviceGone, KernelRefused
from mooring.host.kernel import VfCounters, VfSettings
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction, VirtualFunction
from mooring.testing.kernel import FakeKernel

PF = PciAddress.parse("0000:01:00.0")
MAC = "fa:16:3e:00:00:0a"


class FakeWorld:
    """The fake kernel as the contract's world: the fake's own hands, at one card."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.pf = self.kernel.add_pf(str(PF), "enp1s0").address
        self.kernel.add_pf("0000:02:00.0", "enp2s0")
        self.move_to_container = self.kernel.move_to_container
        self.container_dies = self.kernel.container_dies
        self.set_mac = self.kernel.set_mac
        self.add_address = self.kernel.add_address
        self.add_upper = self.kernel.add_upper
        self.bind_driver = self.kernel.bind_driver
        self.set_pf_up = self.kernel.set_pf_up
        self.set_vf_count = self.kernel.set_vf_count


class TestFakeKernel(KernelContract):
    @pytest.fixture
    def world(self) -> FakeWorld:
        return FakeWorld()


@pytest.fixture
def kernel() -> FakeKernel:
    kernel = FakeKernel()
    kernel.add_pf(str(PF), "enp1s0")
    return kernel


def card(kernel: FakeKernel) -> PhysicalFunction:
    device = kernel.find(PF)
    assert isinstance(device, PhysicalFunction)
    return device


def first(kernel: FakeKernel) -> VirtualFunction:
    return card(kernel).vfs[0]


def test_vfs_lie_where_the_cards_offset_and_stride_put_them(kernel: FakeKernel) -> None:
    assert [str(vf.address) for vf in card(kernel).vfs] == [
        "0000:01:10.0",
        "0000:01:10.2",
        "0000:01:10.4",
        "0000:01:10.6",
        "0000:01:11.0",
        "0000:01:11.2",
        "0000:01:11.4",
    ]


def test_a_reboot_makes_the_vfs_anew(kernel: FakeKernel) -> None:
    boot = kernel.boot_id()
    kernel.write_settings(first(kernel), VfSettings(mac=MAC, vlan=5))
    kernel.move_to_container(first(kernel), "eth0")
    kernel.reboot()
    assert kernel.boot_id() != boot
    assert not first(kernel).elsewhere
    assert kernel.read_settings(card(kernel))[0].vlan == 0


def test_an_interface_whose_name_is_taken_comes_back_under_its_number(kernel: FakeKernel) -> None:
    kernel.move_to_container(first(kernel), "enp1s0")
    kernel.container_dies(first(kernel))
    assert (first(kernel).netdev or "").startswith("dev")


def test_an_unplugged_vf_is_gone(kernel: FakeKernel) -> None:
    vf = first(kernel)
    kernel.unplug(vf)
    assert kernel.find(vf.address) is None
    with pytest.raises(DeviceGone):
        kernel.write_settings(vf, VfSettings(mac=MAC))


def test_a_pf_in_another_namespace_configures_nothing(kernel: FakeKernel) -> None:
    kernel.move_pf_away(card(kernel))
    assert card(kernel).netdev is None
    with pytest.raises(DeviceGone):
        kernel.read_settings(card(kernel))


def test_a_refused_call_changes_nothing(kernel: FakeKernel) -> None:
    vf, before = first(kernel), kernel.state()
    kernel.fail_call(1)
    with pytest.raises(KernelRefused):
        kernel.write_settings(vf, VfSettings(mac=MAC))
    assert kernel.state() == before


def test_a_call_whose_reply_is_lost_was_done(kernel: FakeKernel) -> None:
    vf, calls = first(kernel), kernel.calls
    kernel.fail_call(2, reply_lost=True)
    kernel.boot_id()
    with pytest.raises(KernelRefused):
        kernel.write_settings(vf, VfSettings(mac=MAC))
    assert kernel.read_settings(card(kernel))[0].mac == MAC
    assert kernel.calls > calls


def test_a_driver_may_lack_spoof_checking() -> None:
    kernel = FakeKernel()
    pf = kernel.add_pf(str(PF), "enp1s0", unsupported=frozenset({"spoof_check"}))
    assert kernel.read_settings(pf)[0].spoof_check is None
    assert kernel.write_settings(pf.vfs[0], VfSettings(mac=MAC, spoof_check=True)) == {"spoof_check"}


def test_a_card_that_counts_tells_what_it_counted() -> None:
    kernel = FakeKernel()
    pf = kernel.add_pf(str(PF), "enp1s0", vfs=2, driver="ice")
    kernel.count_traffic(pf.vfs[1], VfCounters(rx_packets=7))
    assert kernel.counters(pf) == {0: VfCounters(), 1: VfCounters(rx_packets=7)}


def test_several_changes_are_one_wake_up(kernel: FakeKernel) -> None:
    with kernel.events() as events:
        assert not events.wait(0)
        kernel.set_pf_up(card(kernel), up=False)
        kernel.unplug(first(kernel))
        assert events.wait(0)
        assert not events.wait(0)


def test_who_began_to_listen_later_hears_of_what_came_then(kernel: FakeKernel) -> None:
    kernel.set_pf_up(card(kernel), up=False)
    with kernel.events() as events:
        assert not events.wait(0)


def test_who_waits_is_woken(kernel: FakeKernel) -> None:
    with kernel.events() as events, ThreadPoolExecutor() as threads:
        waiting = threads.submit(events.wait, 60)
        kernel.set_vf_count(card(kernel), 0)
        assert waiting.result()


def test_vfs_that_a_program_holds_cannot_be_removed(kernel: FakeKernel) -> None:
    kernel.bind_vfio(first(kernel))
    kernel.open_vfio(first(kernel))
    with pytest.raises(KernelRefused, match="still at it"):
        kernel.resize(card(kernel), 0)
