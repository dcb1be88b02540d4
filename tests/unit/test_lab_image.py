"""The pure parts of making a guest."""

from __future__ import annotations

import tarfile
from pathlib import Path

from lab.drives import GuestFile, node_requirements, write_tar_drive
from lab.image import RELEASES
from lab.image.initramfs import load_order
from lab.uplink import Uplink

MODULES_DEP = """\
kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko kernel/lib/crc16.ko
kernel/fs/jbd2/jbd2.ko:
kernel/fs/mbcache.ko:
kernel/lib/crc16.ko:
kernel/drivers/block/virtio_blk.ko:
kernel/drivers/net/x.ko: kernel/fs/mbcache.ko
"""


def test_modules_are_loaded_after_all_they_need_and_only_once() -> None:
    assert load_order(MODULES_DEP, ("virtio_blk", "ext4", "x", "built_in")) == [
        "kernel/drivers/block/virtio_blk.ko",
        "kernel/lib/crc16.ko",
        "kernel/fs/mbcache.ko",
        "kernel/fs/jbd2/jbd2.ko",
        "kernel/fs/ext4/ext4.ko",
        "kernel/drivers/net/x.ko",
    ]


def test_a_node_installs_the_project_and_its_node_extra_only() -> None:
    pyproject = '[project]\ndependencies = ["a>=1"]\n[project.optional-dependencies]\nnode = ["b"]\ndev = ["c"]\n'
    assert node_requirements(pyproject) == ("a>=1", "b")


def test_a_tar_drive_holds_the_files_of_root_in_whole_sectors(tmp_path: Path) -> None:
    drive = tmp_path / "drive.tar"
    write_tar_drive(drive, [GuestFile(path="root/.ssh/authorized_keys", content="key\n", mode=0o600)])
    assert drive.stat().st_size % 512 == 0
    with tarfile.open(drive) as tar:
        (entry,) = tar.getmembers()
    assert (entry.name, entry.mode, entry.uid, entry.gid) == ("root/.ssh/authorized_keys", 0o600, 0, 0)


def test_the_ends_of_an_uplink_name_one_socket_and_only_one_listens() -> None:
    uplink = Uplink("physnet1")
    ends = {listen: uplink.netdev("n", listen=listen).split(",") for listen in (True, False)}
    assert "addr.path=physnet1.sock" in ends[True]
    assert "addr.path=physnet1.sock" in ends[False]
    assert ("server=on" in ends[True], "server=off" in ends[False]) == (True, True)


def test_a_release_that_has_the_kernel_itself_needs_one_suite() -> None:
    assert RELEASES["trixie"].suites == ("trixie",)
    assert RELEASES["bookworm"].suites == ("bookworm", "bookworm-backports")
