"""mooring doctor on cards and the device spec: each check, well and not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.cli.doctor import cards
from mooring.cli.doctor.verdicts import Verdict
from mooring.pci.device import PhysicalFunction
from mooring.pci.device_spec import DeviceSpec
from mooring.testing.kernel import FakeKernel

SPEC = '{"devname": "enp1s0", "physical_network": "physnet1"}'


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


def specs(*texts: str) -> tuple[DeviceSpec, ...]:
    return DeviceSpec.parse_all(texts or [SPEC])


def add(kernel: FakeKernel, *, vfs: int = 7, netdev: str = "enp1s0", bus: int = 1) -> PhysicalFunction:
    return kernel.add_pf(f"0000:{bus:02x}:00.0", netdev, vfs=vfs)


def test_an_entry_that_fits_says_how_much_and_one_that_does_not_names_the_cards(kernel: FakeKernel) -> None:
    add(kernel, vfs=3)
    wanted = specs(SPEC, '{"devname": "enp9s0", "physical_network": "physnet1"}')

    fits, misses = cards.specs_match(kernel.physical_functions(), wanted)

    assert fits.is_well
    assert "1 PFs and 3 VFs" in fits.told
    assert "enp9s0" in misses.told
    assert "enp1s0 0000:01:00.0 8086:10c9" in misses.remedy


def test_only_admitted_cards_are_looked_at(kernel: FakeKernel) -> None:
    ours = add(kernel)
    add(kernel, netdev="enp2s0", bus=2)

    assert cards.admitted_cards(kernel.physical_functions(), specs()) == (ours,)


def test_a_card_is_admitted_by_one_of_its_vfs(kernel: FakeKernel) -> None:
    pf = add(kernel)
    by_product = specs('{"product_id": "10ca", "physical_network": "physnet1"}')

    assert cards.admitted_cards([pf], by_product) == (pf,)


def test_a_card_without_vfs_is_told_with_the_command_that_makes_them(kernel: FakeKernel) -> None:
    without, with_vfs = add(kernel, vfs=0), add(kernel, vfs=2, netdev="enp2s0", bus=2)

    bad, good = cards.vfs_present([without, with_vfs], lends_cards=False)

    assert bad.remedy == "mooring pci set-numvfs enp1s0 7"
    assert good.is_well
    assert good.told == "2 of 7"


def test_a_card_that_is_lent_as_a_whole_needs_no_vfs(kernel: FakeKernel) -> None:
    (verdict,) = cards.vfs_present([add(kernel, vfs=0)], lends_cards=True)

    assert verdict.is_well


def link(kernel: FakeKernel, pf: PhysicalFunction) -> Verdict:
    (verdict,) = cards.links_up([pf], kernel)
    return verdict


def test_a_card_that_is_up_is_well_and_one_that_is_down_or_away_is_not(kernel: FakeKernel) -> None:
    pf = add(kernel)
    assert link(kernel, pf).is_well

    kernel.set_pf_up(pf, up=False)
    assert link(kernel, pf).remedy.startswith("ip link set enp1s0 up")

    kernel.move_pf_away(pf)
    assert "no interface" in link(kernel, pf).told


def test_the_served_physical_networks_are_named(kernel: FakeKernel) -> None:
    del kernel
    served = cards.networks_served({"physnet2": ("enp2s0", "enp3s0"), "physnet1": ("enp1s0",)})
    assert served.is_well
    assert served.told == "physnet1: enp1s0; physnet2: enp2s0, enp3s0"
    assert not cards.networks_served({}).is_well


@pytest.mark.parametrize(
    ("groups", "needed", "is_well"), [(True, True, True), (False, False, True), (False, True, False)]
)
def test_an_iommu_is_needed_for_programs_only(tmp_path: Path, *, groups: bool, needed: bool, is_well: bool) -> None:
    (tmp_path / "sys/kernel/iommu_groups").mkdir(parents=True)
    if groups:
        (tmp_path / "sys/kernel/iommu_groups/0").mkdir()

    assert cards.iommu(tmp_path, needed=needed).is_well is is_well


def test_vfio_pci_is_loaded_can_be_loaded_or_is_not_there(tmp_path: Path) -> None:
    def verdict(*, needed: bool = True) -> Verdict:
        return cards.vfio(tmp_path, needed=needed, release="6.1")

    assert verdict(needed=False).is_well
    assert "no such module" in verdict().told

    modules = tmp_path / "lib/modules/6.1"
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text("kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n")
    assert verdict().remedy.startswith("modprobe vfio-pci")

    (tmp_path / "sys/bus/pci/drivers/vfio-pci").mkdir(parents=True)
    assert verdict().is_well
