"""An address to listen on, as an option."""

from __future__ import annotations

from typing import Final

from oslo_config import types

_PORTS: Final = range(1, 1 << 16)


class ListenAddress(types.String):
    """oslo.config's type of an option that is ``address:port``, ``[IPv6 address]:port`` or empty."""

    def __init__(self) -> None:
        super().__init__(type_name="address:port value")

    def __call__(self, value: object) -> str:
        """Return the text; raise ValueError when it names no place to listen."""
        text: str = super().__call__(value)
        if text:
            split_listen_address(text)
        return text


def split_listen_address(text: str) -> tuple[str, int]:
    """Return address and port; raise ValueError when the text has not both."""
    address, _, port = text.rpartition(":")
    bracketed = address.startswith("[") and address.endswith("]")
    if not address or (":" in address and not bracketed) or not (port.isdecimal() and int(port) in _PORTS):
        raise ValueError("it is not address:port; write, for example, 127.0.0.1:9709 or [::1]:9709")
    return address[1:-1] if bracketed else address, int(port)
