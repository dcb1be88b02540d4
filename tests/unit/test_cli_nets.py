"""``--nets`` and its like, as Zun's users write them."""

from __future__ import annotations

import pytest

from mooring.cli.service.nets import parse_nets, parse_pairs
from mooring.errors import InvalidRequest


def test_interfaces_keep_their_order_and_become_the_apis_words() -> None:
    assert parse_nets(["port=p1", "network=mgmt,v4-fixed-ip=192.0.2.20,v6-fixed-ip=2001:db8::1"]) == [
        {"port": "p1"},
        {"network": "mgmt", "v4-fixed-ip": "192.0.2.20", "v6-fixed-ip": "2001:db8::1"},
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p1", "write KEY=VALUE"),
        ("prot=p1", "prot is not known; did you mean port?"),
        ("port=p1,network=n1", "name either a port (port=UUID) or a network (network=NAME)"),
        ("v4-fixed-ip=192.0.2.1", "name either a port"),
        ("port=p1,port=p2", "port is given twice"),
        ("port=p1,v4-fixed-ip=192.0.2.1", "a port has its addresses already"),
        ("network=n1,v4-fixed-ip=2001:db8::1", "2001:db8::1 is no IPv4 address"),
        ("network=n1,v6-fixed-ip=somewhere", "somewhere is no IPv6 address"),
    ],
)
def test_what_names_no_interface_is_refused_with_a_remedy(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_nets([text])

    assert str(refused.value).startswith("--nets ")
    assert words in str(refused.value)


def test_a_value_may_hold_what_separates_keys_from_values() -> None:
    assert parse_pairs("--hint", ["pci_passthrough:alias=qat:2", "query=a=b"]) == {
        "pci_passthrough:alias": "qat:2",
        "query": "a=b",
    }
