"""``--nets``, as Zun's client writes it: key=value pairs with commas, one option for each interface."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final

from mooring.errors import InvalidRequest
from mooring.suggestions import suggest

_VERSIONS: Final = {"v4-fixed-ip": 4, "v6-fixed-ip": 6}
_KEYS: Final = ("network", "port", *_VERSIONS)


def parse_nets(texts: Iterable[str]) -> list[dict[str, str]]:
    """Return the interfaces in the API's words, in their order; raise InvalidRequest."""
    return [_parse_net(text) for text in texts]


def parse_pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Return KEY=VALUE options as a mapping; raise InvalidRequest for what is none, and for a key given twice."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise InvalidRequest(f"{option} {text}: write KEY=VALUE")
        if key in pairs:
            raise InvalidRequest(f"{option} {text}: {key} is given twice; leave one out")
        pairs[key] = value
    return pairs


def _parse_net(text: str) -> dict[str, str]:
    net = parse_pairs("--nets", text.split(","))
    for key in net:
        if key not in _KEYS:
            raise InvalidRequest(f"--nets {text}: {key} is not known; {suggest(key, _KEYS)}")
    if ("network" in net) == ("port" in net):
        raise InvalidRequest(f"--nets {text}: name either a port (port=UUID) or a network (network=NAME)")
    _check_addresses(text, net)
    return net


def _check_addresses(text: str, net: Mapping[str, str]) -> None:
    for key, version in _VERSIONS.items():
        if key not in net:
            continue
        if "port" in net:
            raise InvalidRequest(f"--nets {text}: {key} is for a network; a port has its addresses already")
        try:
            fits = ipaddress.ip_address(net[key]).version == version
        except ValueError:
            fits = False
        if not fits:
            raise InvalidRequest(f"--nets {text}: {net[key]} is no IPv{version} address")
