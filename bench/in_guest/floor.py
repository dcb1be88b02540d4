"""The least that Linux asks for a VF with a given MAC and VLAN: the two writes, and igbvf's way to adopt the MAC.

Spoken to the kernel directly, without mooring: messages are packed beforehand and sent on one open socket, nothing is
looked up, checked or read back. Sources: Linux include/uapi/linux/if_link.h, rtnetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path

from bench.in_guest.clock import Stopwatch

_RTM_SETLINK, _REQUEST_ACK = 19, 0x5
_NET_NS_FD, _VFINFO_LIST, _VF_INFO, _VF_MAC, _VF_VLAN = 28, 22, 1, 1, 2
_HEADER, _LINK, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=HH")
_ERROR_OFFSET = _HEADER.size
_DRIVER = Path("/sys/bus/pci/drivers/igbvf")


class Floor:
    """One VF, by its PF's interface, its index and its address. Each step is a sample of its own."""

    def __init__(self, watch: Stopwatch, *, pf: str, index: int, address: str) -> None:
        self._watch = watch
        self._pf = socket.if_nametoindex(pf)
        self._index = index
        self._address = address
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    def attach(self, *, mac: str, vlan: int) -> None:
        """Make the VF what a container needs."""
        packed_mac = struct.pack("=I32s", self._index, bytes.fromhex(mac.replace(":", "")))
        messages = [
            self._vf_message(_VF_VLAN, struct.pack("=III", self._index, vlan, 0)),
            self._vf_message(_VF_MAC, packed_mac),
        ]
        with self._watch.timing("floor: VF attributes"):
            for message in messages:
                self._send(message)
        with self._watch.timing("floor: unbind the VF's driver"):
            (_DRIVER / "unbind").write_text(self._address)
        with self._watch.timing("floor: bind it again"):
            (_DRIVER / "bind").write_text(self._address)

    def move(self, namespace: int) -> None:
        """Move the VF's interface into a network namespace, given as an open file."""
        (interface,) = Path("/sys/bus/pci/devices", self._address, "net").iterdir()
        link = _LINK.pack(0, 0, socket.if_nametoindex(interface.name), 0, 0)
        message = _message(link + _attribute(_NET_NS_FD, struct.pack("=i", namespace)))
        with self._watch.timing("floor: move to a namespace"):
            self._send(message)

    def _vf_message(self, kind: int, payload: bytes) -> bytes:
        nested = _attribute(_VFINFO_LIST, _attribute(_VF_INFO, _attribute(kind, payload)))
        return _message(_LINK.pack(0, 0, self._pf, 0, 0) + nested)

    def _send(self, message: bytes) -> None:
        self._socket.send(message)
        (code,) = struct.unpack_from("=i", self._socket.recv(4096), _ERROR_OFFSET)
        if code:
            raise OSError(-code, f"the kernel refused: {errno.errorcode.get(-code, code)}")


def _message(body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), _RTM_SETLINK, _REQUEST_ACK, 1, 0) + body


def _attribute(kind: int, payload: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)
