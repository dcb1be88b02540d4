"""Picking devices of one host for all that a container requests. Pure.

A PF and a VF of it cannot both be had. Requests whose NUMA policy is ``required`` get devices of one NUMA node, and one
that is known. All else is preference: devices of one card (a PF or its VFs), or at least of one NUMA node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from functools import partial

from mooring.container.model import ClaimedDevice
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind, DeviceRequest, NumaPolicy

Free = Mapping[str, Sequence[ClaimedDevice]]
"""The devices that could serve a request, by its id; the first are preferred."""

Picks = Mapping[str, ClaimedDevice]
"""The device of each request, by its id."""

_Allows = Callable[[DeviceRequest, ClaimedDevice], bool]


class Locality(IntEnum):
    """How near the devices of a container are to each other."""

    APART = 0
    NUMA_NODE = 1
    CARD = 2


def pick(requests: Sequence[DeviceRequest], free: Free) -> Picks | None:
    """Return a device for each request, as near to each other as can be; None where there is no way to serve all."""
    if len(requests) == 1:
        (wish,) = requests
        return next(({wish.id: dev} for dev in free[wish.id] if _is_near(dev.numa_node, wish, dev)), None)
    for allows in _places(requests, free):
        options = {wish.id: [device for device in free[wish.id] if allows(wish, device)] for wish in requests}
        if all(options.values()):
            picks = _Assignment(requests, options).find()
            if picks is not None:
                return picks
    return None


def card(device: ClaimedDevice) -> PciAddress:
    """Return the address of the PF that a device is, or is a VF of."""
    return device.parent or device.address


def locality(picks: Picks) -> Locality:
    """Tell how near to each other devices are."""
    if len({card(device) for device in picks.values()}) <= 1:
        return Locality.CARD
    nodes = {device.numa_node for device in picks.values()}
    return Locality.NUMA_NODE if len(nodes) == 1 and None not in nodes else Locality.APART


def _places(requests: Sequence[DeviceRequest], free: Free) -> Iterator[_Allows]:
    """Yield what to restrict the devices to, the best first: cards, NUMA nodes, and at last the whole host."""
    devices = [device for wish in requests for device in free[wish.id]]
    cards = dict.fromkeys(map(card, devices))
    nodes = dict.fromkeys(device.numa_node for device in devices if device.numa_node is not None)
    is_strict = any(wish.numa_policy is NumaPolicy.REQUIRED for wish in requests)
    yield from (partial(_of_card, address) for address in cards)
    yield from (partial(_of_node, node) for node in nodes)
    yield from (partial(_is_near, node) for node in nodes) if is_strict else (partial(_is_near, None),)


def _of_card(address: PciAddress, wish: DeviceRequest, device: ClaimedDevice) -> bool:
    return card(device) == address and _is_near(device.numa_node, wish, device)


def _of_node(node: int, _: DeviceRequest, device: ClaimedDevice) -> bool:
    return device.numa_node == node


def _is_near(node: int | None, wish: DeviceRequest, device: ClaimedDevice) -> bool:
    """Tell whether a device will do for a request, given the node for those that mind (None is none)."""
    return wish.numa_policy is not NumaPolicy.REQUIRED or (node is not None and device.numa_node == node)


class _Assignment:
    """A search for one device for each request, all different, and no PF together with a VF of it.

    Requests for PFs are tried in all ways that differ (two PFs that could serve the same requests, and whose VFs could
    serve the same, are alike); for each way the rest is a matching, which has an exact and fast solution.
    """

    def __init__(self, requests: Sequence[DeviceRequest], options: Mapping[str, Sequence[ClaimedDevice]]) -> None:
        self._options = options
        self._whole = [wish.id for wish in requests if wish.kind is DeviceKind.PF]
        self._rest = [wish.id for wish in requests if wish.kind is not DeviceKind.PF]
        self._uses = self._look_up_uses() if self._whole else {}
        self._failed: set[tuple[int, frozenset[tuple[object, int]]]] = set()

    def find(self) -> Picks | None:
        """Return the picks, or None when there are none."""
        return self._with_pfs({})

    def _with_pfs(self, taken: Mapping[str, ClaimedDevice]) -> Picks | None:
        """Go on from PFs that are taken for the first requests for one."""
        if len(taken) == len(self._whole):
            return self._with_rest(taken)
        state = len(taken), frozenset(Counter(self._uses[pf.address] for pf in taken.values()).items())
        if state in self._failed:
            return None
        wish = self._whole[len(taken)]
        addresses = {pf.address for pf in taken.values()}
        # A PF whose VFs nobody here could use is given away first.
        for pf in sorted(self._options[wish], key=self._vfs_in_demand):
            if pf.address not in addresses:
                picks = self._with_pfs({**taken, wish: pf})
                if picks is not None:
                    return picks
        self._failed.add(state)
        return None

    def _vfs_in_demand(self, pf: ClaimedDevice) -> int:
        return len(self._uses[pf.address][1])

    def _with_rest(self, taken: Mapping[str, ClaimedDevice]) -> Picks | None:
        """Match the other requests with what the PFs that are taken leave."""
        blocked = {pf.address for pf in taken.values()}
        holders: dict[PciAddress, str] = {}
        matched: dict[str, ClaimedDevice] = {}

        def serve(wish: str, seen: set[PciAddress]) -> bool:
            for device in self._options[wish]:
                if device.address in seen or card(device) in blocked:
                    continue
                seen.add(device.address)
                holder = holders.get(device.address)
                if holder is None or serve(holder, seen):
                    holders[device.address], matched[wish] = wish, device
                    return True
            return False

        return {**taken, **matched} if all(serve(wish, set()) for wish in self._rest) else None

    def _look_up_uses(self) -> Mapping[PciAddress, tuple[frozenset[str], tuple[tuple[str, ...], ...]]]:
        """Return by PF the requests that it could serve itself, and for each of its VFs those that this could."""
        users: dict[PciAddress, list[str]] = {}
        parents: dict[PciAddress, PciAddress | None] = {}
        for wish, devices in self._options.items():
            for device in devices:
                users.setdefault(device.address, []).append(wish)
                parents[device.address] = device.parent
        vfs: dict[PciAddress, list[tuple[str, ...]]] = {}
        for address, parent in parents.items():
            if parent is not None:
                vfs.setdefault(parent, []).append(tuple(users[address]))
        return {
            address: (frozenset(users[address]), tuple(sorted(vfs.get(address, ()))))
            for address, parent in parents.items()
            if parent is None
        }
