"""The wire between the guests: the PFs of one physical network, joined over a unix socket."""

from __future__ import annotations

from dataclasses import dataclass

RECONNECT_MS = 500


@dataclass(frozen=True, slots=True)
class Uplink:
    """One physical network; exactly two PFs are plugged into it, one per guest."""

    physical_network: str

    @property
    def socket(self) -> str:
        """The socket's name, relative to QEMU's working directory: a full path may exceed 107 bytes."""
        return f"{self.physical_network}.sock"

    def netdev(self, netdev_id: str, *, listen: bool) -> str:
        """The value of QEMU's ``-netdev`` for one end; either end may come first, and come back."""
        role = "server=on" if listen else f"server=off,reconnect-ms={RECONNECT_MS}"
        return f"stream,id={netdev_id},addr.type=unix,addr.path={self.socket},{role}"
