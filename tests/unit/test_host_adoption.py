from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mooring.errors import KernelRefused, NotClean
from mooring.host import adoption, links
from mooring.host.failures import NetlinkError
from mooring.host.kernel import Netdev
from mooring.host.links import Link
from mooring.host.sysfs import Sysfs
from mooring.pci.address import PciAddress
from mooring.pci.device import VirtualFunction

MAC = "fa:16:3e:00:00:0a"
ADDRESS = PciAddress.parse("0000:01:10.0")
ENODEV, EAGAIN, EPERM = 19, 11, 1


@dataclass
class OneLink:
    """The only interface of a host, with somebody else who may rename it or delay its MAC."""

    interfaces: Path
    name: str = "eth0"
    mac: str = "02:00:00:00:00:01"
    renamed_meanwhile: list[str] = field(default_factory=list)
    mac_errors: list[int] = field(default_factory=list)
    hears_all: bool = False

    def __post_init__(self) -> None:
        (self.interfaces / self.name).mkdir(parents=True)

    def index_of(self, name: str) -> int:
        if self.renamed_meanwhile:
            self.rename(7, self.renamed_meanwhile.pop(0))
        if name != self.name:
            raise NetlinkError(ENODEV)
        return 7

    def rename(self, _: int, name: str) -> None:
        (self.interfaces / self.name).rename(self.interfaces / name)
        self.name = name

    def set_mac(self, _: int, mac: str) -> None:
        if self.mac_errors:
            raise NetlinkError(self.mac_errors.pop(0))
        self.mac = mac

    def read_link(self, _: int) -> Link:
        netdev = Netdev(name=self.name, index=7, mac=self.mac, mtu=1500, up=False, carrier=False)
        return Link(netdev=netdev, hears_all=self.hears_all)


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OneLink:
    link = OneLink(tmp_path / "bus/pci/devices" / str(ADDRESS) / "net")
    for name in ("index_of", "rename", "set_mac", "read_link"):
        monkeypatch.setattr(links, name, getattr(link, name))
    monkeypatch.setattr(links, "set_idle", lambda _: None)
    monkeypatch.setattr(links, "set_mtu", lambda *_: None)
    return link


def adopt(root: Path) -> Netdev:
    vf = VirtualFunction(
        address=ADDRESS,
        vendor_id="15b3",
        product_id="1018",
        numa_node=None,
        parent=PciAddress.parse("0000:01:00.0"),
        index=0,
        driver="mlx5_core",
        netdev="eth0",
        elsewhere=False,
    )
    return adoption.adopt(Sysfs(root), vf, MAC, "vf0")


def test_a_driver_that_is_still_resetting_is_asked_again(tmp_path: Path, link: OneLink) -> None:
    link.mac_errors = [EAGAIN, EAGAIN]
    assert (adopt(tmp_path).mac, link.name) == (MAC, "vf0")


@pytest.mark.parametrize("where", ["here", "in a container"])
def test_an_interface_with_a_macvtap_on_it_is_made_anew(
    tmp_path: Path, link: OneLink, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    rebound: list[object] = []
    monkeypatch.setattr(adoption, "rebind", lambda *given: rebound.append(given))
    if where == "here":
        (link.interfaces / "eth0" / "upper_tap0").mkdir()
    else:
        link.hears_all = True
    adopt(tmp_path)
    assert len(rebound) == 1


def test_an_interface_that_is_renamed_meanwhile_is_looked_up_again(
    tmp_path: Path, link: OneLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "_set_mac", lambda *_: True)
    link.renamed_meanwhile = ["enp1s0v0"]
    assert adopt(tmp_path).name == "vf0"


def test_an_interface_that_is_renamed_for_ever_is_not_clean(
    tmp_path: Path, link: OneLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "_set_mac", lambda *_: True)
    link.renamed_meanwhile = [f"name{n}" for n in range(9)]
    with pytest.raises(NotClean, match="what else manages it"):
        adopt(tmp_path)


def test_a_name_that_is_refused_is_told_at_once(tmp_path: Path, link: OneLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "_set_mac", lambda *_: True)

    def refuse(*_: object) -> None:
        raise NetlinkError(EPERM)

    monkeypatch.setattr(links, "rename", refuse)
    with pytest.raises(KernelRefused, match="CAP_NET_ADMIN"):
        adopt(tmp_path)
    assert link.name == "eth0"
