"""The text form of a PCI address."""

import pytest

from mooring.errors import InvalidPciAddress
from mooring.pci.address import PciAddress


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0000:3b:02.1", PciAddress(0, 0x3B, 2, 1)),
        ("0000:3B:1F.7", PciAddress(0, 0x3B, 0x1F, 7)),
        ("10000:e1:00.0", PciAddress(0x10000, 0xE1, 0, 0)),
    ],
)
def test_an_address_is_domain_bus_device_and_function(text: str, address: PciAddress) -> None:
    assert PciAddress.parse(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "3b:02.1", "0000:3b:02.8", "0000:3b:20.0", "0000:3b:02", " 0000:3b:02.1", "0000:3b:02.1\n", "../0000:3b:02.1"],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidPciAddress, match=r"for example 0000:3b:02\.1"):
        PciAddress.parse(text)


def test_addresses_sort_by_value() -> None:
    texts = ["10000:00:00.0", "0000:0b:00.0", "0000:0a:10.1", "0000:0a:10.0"]

    assert [str(address) for address in sorted(map(PciAddress.parse, texts))] == texts[::-1]
