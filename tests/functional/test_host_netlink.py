"""Our use of rtnetlink against the running kernel, on an interface of this test's own."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator

import pytest
from pyroute2.netlink.rtnl.iprsocket import IPRSocket

from mooring.errors import DeviceGone, KernelRefused
from mooring.host import links
from mooring.host.failures import NetlinkError, kernel_errors

THREADS = 4
NAME = f"nl{os.getpid()}"


@pytest.fixture
def index() -> Iterator[int]:
    made = subprocess.run(
        ["ip", "link", "add", NAME, "type", "veth", "peer", f"{NAME}p"], check=False, capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"no veth interfaces here: {made.stderr.strip()}")
    number = links.index_of(NAME)
    yield number
    subprocess.run(["ip", "link", "delete", f"{NAME}p"], check=False, capture_output=True)


def test_an_interface_reads_back_as_it_was_set(index: int) -> None:
    links.set_mac(index, "02:00:00:00:00:42")
    links.set_mtu(index, 1400)
    links.set_up(index, up=True)
    netdev = links.read_link(NAME).netdev
    assert (netdev.index, netdev.mac, netdev.mtu, netdev.up) == (index, "02:00:00:00:00:42", 1400, True)
    links.set_idle(index)
    assert not links.read_link(NAME).netdev.up


def test_an_interface_keeps_its_index_when_it_is_renamed(index: int) -> None:
    links.rename(index, f"{NAME}x")
    assert links.read_link(index).netdev.name == f"{NAME}x"
    with pytest.raises(NetlinkError) as error:
        links.index_of(NAME)
    assert error.value.errno == errno.ENODEV


def test_an_interface_is_given_the_name_that_was_its_alternative_one(index: int) -> None:
    for alternative in (f"{NAME}x", f"{NAME}y"):
        subprocess.run(["ip", "link", "property", "add", "dev", NAME, "altname", alternative], check=True)
    links.rename(index, f"{NAME}x")
    assert links.read_link(index).netdev.name == f"{NAME}x"
    assert links.index_of(f"{NAME}y") == index


def test_a_name_that_is_taken_is_refused_with_what_to_do(index: int) -> None:
    with (
        pytest.raises(KernelRefused, match="another interface has this name") as refusal,
        kernel_errors("renaming", NAME),
    ):
        links.rename(index, f"{NAME}p")
    assert refusal.value.errno == errno.EEXIST


def test_the_kernels_own_words_are_passed_on(index: int) -> None:
    with pytest.raises(NetlinkError) as error:
        links.set_mtu(index, 10)
    assert error.value.reason


def test_an_interface_that_is_not_there_is_gone() -> None:
    with pytest.raises(DeviceGone), kernel_errors("reading", "nothing"):
        links.read_link("nosuchinterface")


def test_addresses_are_read_but_the_link_local_ones(index: int) -> None:
    for address in ("192.0.2.9/24", "169.254.7.7/16", "2001:db8::9/64"):
        subprocess.run(["ip", "address", "add", address, "dev", NAME], check=True)
    links.set_up(index, up=True)
    assert set(links.read_addresses(index)) == {"192.0.2.9", "2001:db8::9"}


def test_sockets_are_kept_for_whoever_asks_next(index: int) -> None:
    ask_from_threads(index)
    before = open_files()
    for _ in range(5):
        ask_from_threads(index)
    assert open_files() <= before + THREADS


def test_a_request_that_was_broken_off_leaves_no_answer_for_the_next(
    index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    links.set_mtu(index, 1400)
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(IPRSocket, "get", interrupt)
        with pytest.raises(KeyboardInterrupt):
            links.set_mtu(index, 1300)
    assert links.read_link(index).netdev.index == index
    assert open_files() <= before


def test_an_interface_without_vfs_has_no_settings_and_no_counters(index: int) -> None:
    pf = links.PfInterface(index)
    assert (pf.read(), pf.read_one(0), pf.read_counters()) == ({}, None, {})


def test_the_vfs_of_an_interface_that_left_are_an_error(index: int) -> None:
    pf = links.PfInterface(index)
    subprocess.run(["ip", "link", "delete", NAME], check=True)
    with pytest.raises(NetlinkError) as error:
        pf.read()
    assert error.value.errno == errno.ENODEV


def interrupt(_: IPRSocket) -> None:
    raise KeyboardInterrupt


def ask_from_threads(index: int) -> None:
    wrong: list[int] = []

    def ask() -> None:
        wrong.extend(number for _ in range(100) if (number := links.read_link(index).netdev.index) != index)

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208
