"""A kernel in memory: it remembers what it is told, and refuses what Linux refuses."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from mooring.errors import KernelRefused, NotClean
from mooring.host.failures import kernel_errors
from mooring.host.kernel import Netdev, VfSettings
from mooring.host.settings import verify_adopted, write_settings
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, VirtualFunction
from mooring.testing.host import FakeHost, seen

_P = ParamSpec("_P")
_R = TypeVar("_R")
_MIN_MTU, _MAX_MTU = 68, 9216


@dataclass(frozen=True, slots=True)
class _Failure:
    call: int
    reply_lost: bool
    error: int


def _call(method: Callable[Concatenate[FakeKernel, _P], _R]) -> Callable[Concatenate[FakeKernel, _P], _R]:
    """Count a call of the protocol, and let it fail when it is that call's turn."""

    @wraps(method)
    def counted(self: FakeKernel, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self.lock:
            self.calls += 1
            failure = self.failure if self.failure and self.failure.call == self.calls else None
            if failure and not failure.reply_lost:
                raise KernelRefused(method.__name__, "the fake kernel", failure.error)
            answer = method(self, *args, **kwargs)
            if failure:
                raise KernelRefused(method.__name__, "the fake kernel", failure.error, "it was done all the same")
            return answer

    return counted


class FakeKernel(FakeHost):
    """Kernel, kept by a FakeHost. ``calls`` counts the calls of the protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self.calls = 0
        self.failure: _Failure | None = None

    def fail_call(self, n: int, *, reply_lost: bool = False, error: int = errno.EIO) -> None:
        """Let the n-th call from now fail: refused, or done with the reply lost."""
        self.failure = _Failure(self.calls + n, reply_lost, error)

    @_call
    def boot_id(self) -> str:
        """Return the identity of this boot."""
        return f"00000000-0000-4000-8000-{self._boots:012d}"

    @_call
    def physical_functions(self) -> tuple[PhysicalFunction, ...]:
        """Return every card, ordered by address."""
        return tuple(seen(pf) for _, pf in sorted(self._pfs.items()))

    @_call
    def find(self, address: PciAddress) -> PciDevice | None:
        """Return the device at an address as it is now."""
        return self._find(address)

    @_call
    def read_settings(self, pf: PhysicalFunction) -> Mapping[int, VfSettings]:
        """Return what the PF holds for each of its VFs."""
        return self._pf_side(pf.address).read()

    @_call
    def write_settings(self, vf: VirtualFunction, wanted: VfSettings) -> frozenset[str]:
        """Make the PF hold ``wanted`` for the VF."""
        return write_settings(self._pf_side(vf.parent), vf, wanted)

    @_call
    def adopt_mac(self, vf: VirtualFunction, mac: str, *, name: str) -> Netdev:
        """Rebind the VF's driver, which then takes the PF's MAC, and rename the new interface."""
        pf, fake = self._card(vf)
        if fake.driver and fake.interface is None:
            raise NotClean(vf.address, f"its driver {fake.driver} shows no network interface")
        interface = self._bind(pf, fake, pf.vf_driver)
        with kernel_errors(f"renaming interface {interface.name} to {name}", vf.address):
            self._rename(interface, name)
        verify_adopted(vf, interface.seen(), fake.settings, mac)
        return interface.seen()

    @_call
    def netdev(self, device: PhysicalFunction | VirtualFunction) -> Netdev | None:
        """Return the device's interface in the host's namespace, or None."""
        pf = self._pfs.get(device.parent if isinstance(device, VirtualFunction) else device.address)
        if pf is None:
            return None
        if isinstance(device, PhysicalFunction):
            return pf.interface.seen() if pf.interface.namespace is None else None
        fake = pf.vfs.get(device.index)
        interface = fake.interface if fake else None
        return interface.seen() if interface and interface.namespace is None else None

    @_call
    def set_mtu(self, vf: VirtualFunction, mtu: int) -> None:
        """Set the MTU; igbvf takes 68 to 9216 bytes."""
        interface = self._interface(vf)
        if not _MIN_MTU <= mtu <= _MAX_MTU:
            raise KernelRefused(f"setting MTU {mtu}", vf.address, errno.EINVAL)
        interface.mtu = mtu

    @_call
    def set_up(self, vf: VirtualFunction, *, up: bool) -> None:
        """Set the interface administratively up or down."""
        self._interface(vf).up = up

    @_call
    def user_of(self, vf: VirtualFunction) -> str | None:
        """Tell in words what on this host uses the VF."""
        _, fake = self._card(vf)
        interface = fake.interface
        if interface is None:
            return f"driver {fake.driver}" if fake.driver else None
        if interface.namespace is not None:
            return "another network namespace"
        if interface.uppers:
            return f"{', '.join(interface.uppers)} on top of its interface {interface.name}"
        if interface.addresses:
            return f"the host, with {', '.join(interface.addresses)} on {interface.name}"
        return None
