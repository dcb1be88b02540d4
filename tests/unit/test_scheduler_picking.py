"""Devices of one host for all requests of a container: exact where there is a way, and near where there is a choice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.container.model import ClaimedDevice
from mooring.controller.scheduler.picking import Locality, Picks, card, locality, pick
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind, DeviceRequest, NumaPolicy

Free = Mapping[str, Sequence[ClaimedDevice]]


def pf(bus: int, *, node: int | None = 0) -> ClaimedDevice:
    return ClaimedDevice(
        row=bus * 100, address=PciAddress(0, bus, 0, 0), parent=None, vendor_info="8086:1572", numa_node=node
    )


def vf(bus: int, number: int, *, node: int | None = 0) -> ClaimedDevice:
    return ClaimedDevice(
        row=bus * 100 + number,
        address=PciAddress(0, bus, 2, number),
        parent=PciAddress(0, bus, 0, 0),
        vendor_info="8086:154c",
        numa_node=node,
    )


def wish(name: str, kind: DeviceKind = DeviceKind.VF, policy: NumaPolicy = NumaPolicy.LEGACY) -> DeviceRequest:
    return DeviceRequest(id=name, kind=kind, numa_policy=policy)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[DeviceRequest], Free]:
    """A few requests, and for each the devices that fit, of a host with a few small cards."""
    pfs, vfs = [], []
    for bus in range(1, draw(st.integers(1, 3)) + 1):
        node = draw(st.sampled_from([0, 1, None]))
        pfs.append(pf(bus, node=node))
        vfs += [vf(bus, number, node=node) for number in range(draw(st.integers(0, 2)))]
    requests, free = [], {}
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from([DeviceKind.VF, DeviceKind.VF, DeviceKind.PF]))
        request = wish(f"r{number}", kind, draw(st.sampled_from([NumaPolicy.LEGACY, NumaPolicy.REQUIRED])))
        fitting = pfs if kind is DeviceKind.PF else vfs
        free[request.id] = [device for device in fitting if draw(st.integers(0, 3))]
        requests.append(request)
    return requests, free


def ways(requests: Sequence[DeviceRequest], free: Free) -> Iterator[Picks]:
    """All ways there are, by trying every combination."""
    for devices in itertools.product(*(free[request.id] for request in requests)):
        picks = {request.id: device for request, device in zip(requests, devices, strict=True)}
        if is_valid(requests, picks):
            yield picks


def is_valid(requests: Sequence[DeviceRequest], picks: Picks) -> bool:
    addresses = [device.address for device in picks.values()]
    strict = {picks[each.id].numa_node for each in requests if each.numa_policy is NumaPolicy.REQUIRED}
    return (
        len(set(addresses)) == len(addresses)
        and not any(device.parent in addresses for device in picks.values())
        and len(strict) <= 1
        and None not in strict
    )


@given(scenes())
@settings(deadline=None)
def test_all_requests_are_served_if_there_is_any_way_and_as_near_to_each_other_as_can_be(
    scene: tuple[list[DeviceRequest], Free],
) -> None:
    requests, free = scene
    possible = list(ways(requests, free))

    picks = pick(requests, free)

    if picks is None:
        assert possible == []
    else:
        assert picks in possible
        assert locality(picks) == max(map(locality, possible))


@given(scenes(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_devices_changes_which_are_picked_but_not_whether_or_how_near(
    scene: tuple[list[DeviceRequest], Free], random: Random
) -> None:
    requests, free = scene
    shuffled = {name: random.sample(devices, len(devices)) for name, devices in free.items()}

    one, other = pick(requests, free), pick(requests, shuffled)

    assert (one is None) == (other is None)
    assert one is None or other is None or locality(one) == locality(other)


@given(scenes())
@settings(deadline=None)
def test_devices_of_a_card_beyond_the_number_of_requests_change_nothing(
    scene: tuple[list[DeviceRequest], Free],
) -> None:
    # The database may leave them out.
    requests, free = scene
    fewer = {
        name: [device for _, alike in by_card(devices) for device in list(alike)[: len(requests)]]
        for name, devices in free.items()
    }

    one, other = pick(requests, free), pick(requests, fewer)

    assert (one is None) == (other is None)
    assert one is None or other is None or locality(one) == locality(other)


def by_card(devices: Sequence[ClaimedDevice]) -> Iterator[tuple[PciAddress, Iterator[ClaimedDevice]]]:
    return itertools.groupby(sorted(devices, key=lambda device: str(card(device))), key=card)


def test_a_pf_is_taken_whose_vfs_nobody_else_needs() -> None:
    requests = [wish("whole", DeviceKind.PF), wish("a"), wish("b")]
    vfs = [vf(1, 0), vf(1, 1)]

    picks = pick(requests, {"whole": [pf(1), pf(2)], "a": vfs, "b": vfs})

    assert picks is not None
    assert picks["whole"] == pf(2)


def test_a_pf_and_a_vf_of_the_only_card_cannot_both_be_had() -> None:
    assert pick([wish("whole", DeviceKind.PF), wish("a")], {"whole": [pf(1)], "a": [vf(1, 0)]}) is None


def test_a_request_that_any_device_serves_leaves_the_rare_one_to_whom_it_alone_serves() -> None:
    picks = pick([wish("any"), wish("rare")], {"any": [vf(1, 0), vf(1, 1)], "rare": [vf(1, 0)]})

    assert picks == {"any": vf(1, 1), "rare": vf(1, 0)}


def test_several_vfs_come_from_one_card_rather_than_from_two() -> None:
    devices = [vf(1, 0), vf(2, 0), vf(2, 1)]

    picks = pick([wish("a"), wish("b")], {"a": devices, "b": devices})

    assert picks is not None
    assert locality(picks) is Locality.CARD


def test_vfs_of_two_networks_come_from_one_numa_node_where_they_can() -> None:
    near, far = vf(2, 0, node=1), vf(1, 0, node=0)

    picks = pick([wish("a"), wish("b")], {"a": [far, near], "b": [vf(3, 0, node=1)]})

    assert picks is not None
    assert picks["a"] == near
    assert locality(picks) is Locality.NUMA_NODE


@pytest.mark.parametrize("policy", [NumaPolicy.LEGACY, NumaPolicy.PREFERRED, NumaPolicy.SOCKET])
def test_devices_of_two_nodes_do_unless_one_node_is_required(policy: NumaPolicy) -> None:
    free = {"a": [vf(1, 0, node=0)], "b": [vf(2, 0, node=1)]}

    assert pick([wish("a", policy=policy), wish("b", policy=policy)], free) is not None
    assert pick([wish(name, policy=NumaPolicy.REQUIRED) for name in "ab"], free) is None


def test_a_required_node_must_be_known() -> None:
    assert pick([wish("a", policy=NumaPolicy.REQUIRED)], {"a": [vf(1, 0, node=None)]}) is None


def test_a_container_without_requests_is_served_without_devices() -> None:
    assert pick([], {}) == {}


def test_many_pfs_that_are_alike_are_not_tried_in_all_orders() -> None:
    # 24 alike cards have 24! orders; a request that nobody can serve must not lead through them.
    pfs, vfs = [pf(bus) for bus in range(1, 25)], [vf(bus, 0) for bus in range(1, 25)]
    whole = [wish(f"p{number}", DeviceKind.PF) for number in range(20)]
    parts = [wish(f"v{number}") for number in range(5)]

    assert pick([*whole, *parts], {w.id: pfs for w in whole} | {w.id: vfs for w in parts}) is None
    assert pick([*whole, *parts[:4]], {w.id: pfs for w in whole} | {w.id: vfs for w in parts}) is not None
