"""What keeps a VF from programs: read from a sysfs of files. The rest is in the contract, on cards."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mooring.errors import KernelRefused
from mooring.host.sysfs import Sysfs
from mooring.host.vfio import Vfio
from mooring.pci.address import PciAddress

VF = PciAddress.parse("0000:01:10.0")


class Tree:
    """One VF, in the IOMMU group 12 if it is given one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._group = root / "kernel/iommu_groups/12"
        self.vfio = Vfio(Sysfs(root))
        self._device(str(VF), "0x020000")

    def protect(self, name: str | None = None, *, others: dict[str, str] | None = None) -> None:
        (self._group / "devices").mkdir(parents=True)
        if name:
            (self._group / "name").write_text(f"{name}\n")
        (self._root / "bus/pci/devices" / str(VF) / "iommu_group").symlink_to(self._group)
        for address, kind in {str(VF): "0x020000", **(others or {})}.items():
            (self._group / "devices" / address).symlink_to(self._device(address, kind))

    def bind(self, driver: str) -> None:
        (self._root / "bus/pci/devices" / str(VF) / "driver").symlink_to(self._root / "bus/pci/drivers" / driver)

    def _device(self, address: str, kind: str) -> Path:
        path = self._root / "bus/pci/devices" / address
        path.mkdir(parents=True, exist_ok=True)
        (path / "class").write_text(f"{kind}\n")
        return path


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def refused(tree: Tree) -> KernelRefused:
    with pytest.raises(KernelRefused) as refusal:
        tree.vfio.bind(VF)
    return refusal.value


def test_a_host_without_iommu_is_told_how_to_get_one(tree: Tree) -> None:
    assert refused(tree).errno == errno.EOPNOTSUPP
    assert "intel_iommu=on or amd_iommu=on" in str(refused(tree))


def test_the_kernels_substitute_for_an_iommu_protects_nobody(tree: Tree) -> None:
    tree.protect("vfio-noiommu")
    assert refused(tree).errno == errno.EOPNOTSUPP


def test_a_vf_that_shares_its_group_is_refused_naming_the_others(tree: Tree) -> None:
    tree.protect(others={"0000:01:10.2": "0x020000"})
    assert refused(tree).errno == errno.EBUSY
    assert "0000:01:10.2" in str(refused(tree))


def test_a_bridge_in_the_group_is_no_other_device(tree: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tree.protect(others={"0000:00:01.0": "0x060400"})
    modprobe = tmp_path / "modprobe"
    modprobe.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    modprobe.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "modprobe vfio-pci says: no such module" in str(refused(tree))


def test_a_host_without_modprobe_says_so(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.protect()
    monkeypatch.setenv("PATH", "/nowhere")
    assert "modprobe" in str(refused(tree))


@pytest.mark.parametrize(
    ("driver", "others", "words"),
    [
        (None, {}, "no driver has it; keep it on vfio-pci ('driverctl set-override 0000:01:10.0 vfio-pci')"),
        ("nvme", {}, "driver nvme has it; keep it on vfio-pci"),
        ("vfio-pci", {"0000:01:10.1": "0x040300"}, "its IOMMU group 12 is also that of 0000:01:10.1"),
        ("vfio-pci", {}, None),
    ],
)
def test_what_keeps_a_device_from_programs_is_told(
    tree: Tree, tmp_path: Path, driver: str | None, others: dict[str, str], words: str | None
) -> None:
    tree.protect(others=others)
    (tmp_path / "vfio").mkdir()
    (tmp_path / "vfio/12").touch()
    if driver:
        tree.bind(driver)

    obstacle = Vfio(Sysfs(tmp_path), tmp_path / "vfio").obstacle(VF)

    assert (obstacle is None) if words is None else (words in str(obstacle))


def test_without_an_iommu_a_device_is_kept_from_programs(tree: Tree) -> None:
    tree.bind("vfio-pci")
    assert "intel_iommu=on" in str(tree.vfio.obstacle(VF))


def test_a_vf_that_is_not_bound_has_no_node(tree: Tree) -> None:
    tree.protect()
    assert tree.vfio.node(VF) is None
