"""The only door through which the kernel's errors enter mooring."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mooring.errors import DeviceGone, KernelRefused

_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOENT})

_HINTS = {
    errno.EAGAIN: "the driver is still busy with an earlier change; try again",
    errno.EBUSY: "the driver is still busy with an earlier change; try again",
    errno.EADDRNOTAVAIL: "the VF's driver has not adopted the MAC that the PF holds, and may not choose another",
    errno.EEXIST: "another interface has this name; rename or remove it",
    errno.EPERM: "mooring needs root, or CAP_NET_ADMIN and a writable /sys",
    errno.EACCES: "mooring needs root, or CAP_NET_ADMIN and a writable /sys",
    errno.EROFS: "mooring needs root, or CAP_NET_ADMIN and a writable /sys",
    errno.EINVAL: "the driver does not take this value",
    errno.ERANGE: "the driver does not take this value",
}


class NetlinkError(OSError):
    """A refusal over netlink; ``reason`` is the kernel's own sentence where it gives one, else empty."""

    def __init__(self, error: int, reason: str = "") -> None:
        super().__init__(error, reason)
        self.reason = reason


@contextmanager
def kernel_errors(doing: str, device: object, remedies: Mapping[int, str] = _HINTS) -> Iterator[None]:
    """Turn an OSError of the body into KernelRefused, or DeviceGone when the device is not there any more.

    ``remedies`` say by errno what to do, where the usual advice would not fit.
    """
    try:
        yield
    except OSError as exc:
        error = exc.errno or errno.EIO
        reason = exc.reason if isinstance(exc, NetlinkError) else ""
        if error in _GONE:
            raise DeviceGone(doing, device, reason or remedies.get(error, "it is not there any more")) from exc
        raise KernelRefused(doing, device, error, reason or remedies.get(error) or _HINTS.get(error, "")) from exc
