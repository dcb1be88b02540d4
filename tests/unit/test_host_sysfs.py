from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mooring.host.sysfs import Sysfs
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction, PlainDevice, VirtualFunction

PF = "0000:01:00.0"
VF0, VF1 = "0000:01:10.0", "0000:01:10.2"


class Tree:
    """A sysfs tree, as far as mooring reads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.devices = root / "bus/pci/devices"
        self.devices.mkdir(parents=True)
        (root / "class/net").mkdir(parents=True)

    def device(self, address: str, **files: str) -> Path:
        path = self.devices / address
        path.mkdir()
        defaults = {"class": "0x020000", "vendor": "0x8086", "device": "0x10c9", "numa_node": "-1"}
        for name, content in {**defaults, **files}.items():
            (path / name).write_text(content + "\n")
        return path

    def bind(self, address: str, driver: str, *interfaces: str) -> None:
        target = self.root / "bus/pci/drivers" / driver
        target.mkdir(parents=True, exist_ok=True)
        (self.devices / address / "driver").symlink_to(target)
        for interface in interfaces:
            (self.devices / address / "net" / interface).mkdir(parents=True)
            (self.root / "class/net" / interface).symlink_to(f"../../bus/pci/devices/{address}/net/{interface}")

    def card(self, address: str, *vfs: str, **files: str) -> None:
        path = self.device(address, **{"sriov_totalvfs": "7", "sriov_vf_device": "10ca", **files})
        for index, vf in enumerate(vfs):
            (self.device(vf, device="0xffff") / "physfn").symlink_to(f"../{address}")
            (path / f"virtfn{index}").symlink_to(f"../{vf}")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def find_vf(tree: Tree, address: str = VF0) -> VirtualFunction:
    device = Sysfs(tree.root).find(PciAddress.parse(address))
    assert isinstance(device, VirtualFunction)
    return device


def only_card(tree: Tree) -> PhysicalFunction:
    (card,) = Sysfs(tree.root).physical_functions()
    return card


def test_a_card_is_read_with_its_vfs(tree: Tree) -> None:
    tree.card(PF, VF0, VF1, numa_node="1")
    tree.bind(PF, "igb", "enp1s0")
    tree.bind(VF0, "igbvf", "eth0")
    card = only_card(tree)
    assert (card.netdev, card.driver, card.numa_node, card.total_vfs) == ("enp1s0", "igb", 1, 7)
    assert card.vendor_info == "8086:10c9"
    assert card.vfs == (
        VirtualFunction(
            address=PciAddress.parse(VF0),
            vendor_id="8086",
            product_id="10ca",
            numa_node=1,
            parent=PciAddress.parse(PF),
            index=0,
            driver="igbvf",
            netdev="eth0",
            elsewhere=False,
        ),
        VirtualFunction(
            address=PciAddress.parse(VF1),
            vendor_id="8086",
            product_id="10ca",
            numa_node=1,
            parent=PciAddress.parse(PF),
            index=1,
            driver=None,
            netdev=None,
            elsewhere=False,
        ),
    )


def test_an_interface_that_is_not_listed_among_this_namespaces_is_looked_for_at_its_device(tree: Tree) -> None:
    tree.card(PF, VF0, VF1)
    for vf, interface in ((VF0, "eth0"), (VF1, "eth1")):
        tree.bind(vf, "igbvf", interface)
    (tree.root / "class/net/eth1").unlink()
    (tree.root / "class/net/bonding_masters").touch()
    (tree.root / "class/net/lo").symlink_to("../../devices/virtual/net/lo")
    assert [vf.netdev for vf in only_card(tree).vfs] == ["eth0", "eth1"]


def test_a_vf_with_two_interfaces_has_the_first_ports(tree: Tree) -> None:
    tree.card(PF, VF0)
    tree.bind(VF0, "mlx4_core", "b_first", "a_second")
    for interface, dev_port in (("b_first", "0"), ("a_second", "1")):
        (tree.devices / VF0 / "net" / interface / "dev_port").write_text(dev_port)
    assert [vf.netdev for vf in only_card(tree).vfs] == ["b_first"]


def test_an_unknown_numa_node_is_none(tree: Tree) -> None:
    tree.card(PF)
    assert only_card(tree).numa_node is None


def test_an_empty_net_directory_means_another_namespace(tree: Tree) -> None:
    tree.card(PF, VF0)
    tree.bind(VF0, "igbvf")
    (tree.devices / VF0 / "net").mkdir()
    assert (find_vf(tree).netdev, find_vf(tree).elsewhere) == (None, True)


def test_a_vf_bound_to_vfio_is_not_elsewhere(tree: Tree) -> None:
    tree.card(PF, VF0)
    tree.bind(VF0, "vfio-pci")
    assert (find_vf(tree).driver, find_vf(tree).elsewhere) == ("vfio-pci", False)


def test_the_tenth_vf_comes_after_the_second(tree: Tree) -> None:
    vfs = [f"0000:01:{10 + n // 8:02x}.{n % 8}" for n in range(12)]
    tree.card(PF, *vfs)
    assert [vf.index for vf in only_card(tree).vfs] == list(range(12))


def test_vfs_may_lie_before_their_pf_and_on_another_bus(tree: Tree) -> None:
    tree.card("0000:05:00.0", "0000:02:10.0", "0000:06:10.0")
    assert [str(vf.address) for vf in only_card(tree).vfs] == ["0000:02:10.0", "0000:06:10.0"]


def test_domains_have_up_to_32_bits_and_cards_are_ordered_by_address(tree: Tree) -> None:
    tree.card("10000:01:00.0", "10000:01:10.0")
    tree.card("2000:01:00.0")
    assert [str(card.address) for card in Sysfs(tree.root).physical_functions()] == ["2000:01:00.0", "10000:01:00.0"]
    assert find_vf(tree, "10000:01:10.0").parent == PciAddress.parse("10000:01:00.0")


def test_devices_that_are_no_network_cards_are_left_out(tree: Tree) -> None:
    tree.card("0000:03:00.0", **{"class": "0x010802"})
    tree.device("0000:04:00.0")
    assert Sysfs(tree.root).physical_functions() == ()


def test_a_broken_card_is_left_out_with_one_reason_in_the_log(tree: Tree) -> None:
    tree.card(PF)
    tree.card("0000:02:00.0", sriov_totalvfs="")
    sysfs = Sysfs(tree.root)
    with capture_logs() as logs:
        assert [str(card.address) for card in sysfs.physical_functions()] == [PF]
        sysfs.physical_functions()
    assert [(entry["device"], entry["log_level"]) for entry in logs] == [("0000:02:00.0", "warning")]
    assert logs[0]["reason"]


def test_of_several_interfaces_the_uplink_of_the_first_port_is_the_cards(tree: Tree) -> None:
    tree.card(PF)
    tree.bind(PF, "mlx5_core", "a_representor", "b_second", "c_first")
    for interface, port_name, dev_port in (
        ("a_representor", "pf0vf0", "0"),
        ("b_second", "p1", "1"),
        ("c_first", "p0", "0"),
    ):
        (tree.devices / PF / "net" / interface / "phys_port_name").write_text(port_name)
        (tree.devices / PF / "net" / interface / "dev_port").write_text(dev_port)
    assert only_card(tree).netdev == "c_first"


def test_a_card_whose_interface_is_in_another_namespace_has_none(tree: Tree) -> None:
    tree.card(PF)
    tree.bind(PF, "igb")
    (tree.devices / PF / "net").mkdir()
    assert only_card(tree).netdev is None


def test_the_index_of_an_interface_is_read_below_its_device(tree: Tree) -> None:
    tree.card(PF)
    sysfs, address = Sysfs(tree.root), PciAddress.parse(PF)
    assert sysfs.interface_index(address) is None
    tree.bind(PF, "igb", "enp1s0")
    assert sysfs.interface_index(address) is None  # it is on its way out
    (tree.devices / PF / "net/enp1s0/ifindex").write_text("12\n")
    assert sysfs.interface_index(address) == 12


@pytest.mark.parametrize(
    ("offset", "stride"),
    [("128", "2"), ("127", "2"), ("128", "4"), ("0", "0")],
    ids=["where the card says", "between two", "elsewhere", "no VFs when it was read"],
)
def test_a_vf_is_known_by_its_pfs_link_wherever_it_lies(tree: Tree, offset: str, stride: str) -> None:
    tree.card(PF, VF0, VF1, sriov_offset=offset, sriov_stride=stride)
    assert [find_vf(tree, address).index for address in (VF0, VF1)] == [0, 1]


def test_a_vf_is_found_without_a_look_at_its_siblings(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.card(PF, VF0, VF1, sriov_offset="128", sriov_stride="2")
    tree.bind(VF1, "igbvf", "eth1")
    looked_at: list[str] = []
    really = os.listdir

    def listed(path: str) -> list[str]:
        looked_at.append(path)
        return really(path)

    monkeypatch.setattr(os, "listdir", listed)
    assert find_vf(tree, VF1).index == 1
    assert looked_at == [str(tree.devices / VF1 / "net")]


def test_a_plain_device_is_found_for_what_it_is(tree: Tree) -> None:
    tree.device("0000:04:00.0", vendor="0x1af4", device="0x1000")
    address = PciAddress.parse("0000:04:00.0")
    assert Sysfs(tree.root).find(address) == PlainDevice(
        address=address, vendor_id="1af4", product_id="1000", numa_node=None, driver=None
    )


def test_plain_devices_are_of_no_network_card_and_no_bridges(tree: Tree) -> None:
    tree.card(PF, VF0)
    tree.device("0000:03:00.0", **{"class": "0x0b4000"}, sriov_totalvfs="16")
    (tree.device("0000:03:01.0", **{"class": "0x0b4000"}, device="0x37c9") / "physfn").symlink_to("../0000:03:00.0")
    tree.device("0000:00:01.0", **{"class": "0x060400"})
    tree.device("0000:05:00.0", **{"class": "0x030200"}, vendor="0x10de", device="0x20b0", numa_node="1")
    tree.bind("0000:05:00.0", "vfio-pci")
    tree.device("0000:04:00.0", **{"class": "0x010802"})
    (tree.device("0000:06:00.0") / "vendor").unlink()

    accelerator, disk, gpu = Sysfs(tree.root).plain_devices()

    assert (str(accelerator.address), str(accelerator.parent)) == ("0000:03:01.0", "0000:03:00.0")
    assert (disk.parent, gpu.parent) == (None, None)
    assert (str(disk.address), disk.driver) == ("0000:04:00.0", None)
    assert (str(gpu.address), gpu.vendor_info, gpu.driver, gpu.numa_node) == (
        "0000:05:00.0",
        "10de:20b0",
        "vfio-pci",
        1,
    )


def test_nothing_is_found_where_nothing_is(tree: Tree) -> None:
    assert Sysfs(tree.root).find(PciAddress.parse(PF)) is None


def test_a_vf_that_left_its_card_is_not_found(tree: Tree) -> None:
    tree.card(PF, VF0)
    (tree.devices / PF / "virtfn0").unlink()
    assert Sysfs(tree.root).find(PciAddress.parse(VF0)) is None


def test_interfaces_on_top_are_told(tree: Tree) -> None:
    tree.card(PF, VF0)
    tree.bind(VF0, "igbvf", "eth0")
    for upper in ("bond0", "macvtap3"):
        (tree.devices / VF0 / "net/eth0" / f"upper_{upper}").symlink_to("nowhere")
    assert Sysfs(tree.root).uppers(PciAddress.parse(VF0)) == ("bond0", "macvtap3")
