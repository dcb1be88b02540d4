"""Where containers go, and with which devices."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from scheduler_world import NOW, FakeHosts, container, scheduler

from mooring.container.model import InterfacePhase
from mooring.errors import NoValidHost
from mooring.pci.requests import DeviceKind


@pytest.fixture
def hosts() -> FakeHosts:
    return FakeHosts()


def with_cards(hosts: FakeHosts, count: int, vfs: int = 7) -> None:
    for number in range(count):
        hosts.add_card(hosts.add(f"h{number}"), 1, vfs)


def fill(hosts: FakeHosts, count: int, wanted: object, **changes: object) -> Counter[str]:
    """Place containers one after the other; return how many came to each host."""
    places: Counter[str] = Counter()
    for seed in range(count):
        placement = scheduler(hosts, seed=seed, **changes).place(wanted, NOW)  # type: ignore[arg-type]
        hosts.claim(placement, wanted.spec)  # type: ignore[attr-defined]
        places[placement.host.name] += 1
    return places


def test_every_vf_is_given_out_before_the_first_refusal(hosts: FakeHosts) -> None:
    with_cards(hosts, 2)

    assert fill(hosts, 14, container("physnet1")) == {"h0": 7, "h1": 7}
    with pytest.raises(NoValidHost, match=r"0 of 14 VFs free on physnet1"):
        scheduler(hosts).place(container("physnet1"), NOW)


def test_spreading_spreads(hosts: FakeHosts) -> None:
    with_cards(hosts, 3)

    assert fill(hosts, 6, container("physnet1")) == {"h0": 2, "h1": 2, "h2": 2}
    assert fill(hosts, 6, container(memory_mib=64)) == {"h0": 2, "h1": 2, "h2": 2}


def test_packing_packs(hosts: FakeHosts) -> None:
    with_cards(hosts, 3)

    assert sorted(fill(hosts, 8, container("physnet1"), multipliers={"spread": -1}).values()) == [1, 7]


def test_containers_without_devices_keep_off_the_hosts_that_have_some(hosts: FakeHosts) -> None:
    with_cards(hosts, 2)
    hosts.add("plain", used_cpus=8, used_memory_mib=512)

    assert fill(hosts, 4, container(memory_mib=64)) == {"plain": 4}


def test_a_host_is_preferred_where_several_vfs_are_of_one_card(hosts: FakeHosts) -> None:
    for name, nodes in (("apart", (0, 1)), ("node", (0, 0))):
        host = hosts.add(name)
        for bus, node in enumerate(nodes, start=1):
            hosts.add_card(host, bus, 1, numa_node=node)
    wanted = container("physnet1", "physnet1")

    assert scheduler(hosts).place(wanted, NOW).host.name == "node"
    hosts.add_card(hosts.add("card"), 1, 2)
    assert scheduler(hosts).place(wanted, NOW).host.name == "card"


def test_the_requested_host_is_the_one(hosts: FakeHosts) -> None:
    with_cards(hosts, 3)

    wanted = container("physnet1")
    asked = replace(wanted, spec=wanted.spec.model_copy(update={"host": "h1"}))
    assert fill(hosts, 5, asked) == {"h1": 5}
    with pytest.raises(NoValidHost, match="1 host: 1 PciPassthroughFilter"):
        fill(hosts, 5, asked)


def test_no_host_at_all_has_a_sentence_of_its_own(hosts: FakeHosts) -> None:
    with pytest.raises(NoValidHost, match="no valid host: there is no host yet; a host is there as soon as"):
        scheduler(hosts).place(container(), NOW)


def test_a_requested_host_that_does_not_exist_is_told(hosts: FakeHosts) -> None:
    with_cards(hosts, 1)
    wanted = container()

    with pytest.raises(NoValidHost, match="there is no host elsewhere"):
        scheduler(hosts).place(replace(wanted, spec=wanted.spec.model_copy(update={"host": "elsewhere"})), NOW)


def test_physical_networks_are_told_apart_by_case(hosts: FakeHosts) -> None:
    with_cards(hosts, 1)

    with pytest.raises(NoValidHost, match="0 of 0 VFs free on PhysNet1"):
        scheduler(hosts).place(container("PhysNet1"), NOW)


def test_a_vf_is_for_direct_and_macvtap_and_a_pf_for_direct_physical(hosts: FakeHosts) -> None:
    host = hosts.add("a")
    hosts.add_card(host, 1, 3)
    hosts.add_card(host, 2, 0)
    wanted = container("physnet1", ("physnet1", "macvtap"), ("physnet1", "direct-physical"), ("physnet1", "normal"))

    picks = scheduler(hosts).place(wanted, NOW).picks

    kinds = {device.claimed.row: device.kind for device in host.devices}
    assert {name: kinds[device.row] for name, device in picks.items()} == {
        "if0": DeviceKind.VF,
        "if1": DeviceKind.VF,
        "if2": DeviceKind.PF,
    }


def test_a_pf_of_which_a_vf_is_in_use_is_not_given_out_nor_a_vf_of_a_pf_that_is(hosts: FakeHosts) -> None:
    host = hosts.add("a")
    pf, vf, _ = hosts.add_card(host, 1, 2)

    host.taken = {vf}
    with pytest.raises(NoValidHost, match="0 of 1 PFs free on physnet1"):
        scheduler(hosts).place(container(("physnet1", "direct-physical")), NOW)
    host.taken = {pf}
    with pytest.raises(NoValidHost, match="0 of 2 VFs free on physnet1"):
        scheduler(hosts).place(container("physnet1"), NOW)


def test_a_trusted_port_gets_a_device_that_may_be_trusted(hosts: FakeHosts) -> None:
    host = hosts.add("a")
    hosts.add_card(host, 1, 1)

    with pytest.raises(NoValidHost, match="0 of 0 trusted VFs free on physnet1"):
        scheduler(hosts).place(container("physnet1", trusted=True), NOW)
    _, vf = hosts.add_card(host, 2, 1, trusted=True)
    assert scheduler(hosts).place(container("physnet1", trusted=True), NOW).picks["if0"].row == vf


def test_hosts_that_refused_the_container_are_left_out_and_told_with_their_reason(hosts: FakeHosts) -> None:
    with_cards(hosts, 2)
    once = container("physnet1", tried={"h0": "VF 0000:01:02.1 is not clean"})
    twice = replace(once, tried={**once.tried, "h1": "port could not be bound"})

    assert fill(hosts, 7, once) == {"h1": 7}
    with pytest.raises(NoValidHost, match=r"2 hosts: 1 Pci.* physnet1\), 1 tried \(VF 0000:01:02.1 is not clean\)"):
        scheduler(hosts).place(once, NOW)
    with pytest.raises(NoValidHost, match=r"2 tried \(port could not be bound; VF 0000:01:02.1 is not clean\)"):
        scheduler(hosts).place(twice, NOW)


def test_a_host_where_others_were_faster_can_be_left_out(hosts: FakeHosts) -> None:
    with_cards(hosts, 2)

    assert scheduler(hosts).place(container("physnet1"), NOW, exclude={"h0"}).host.name == "h1"
    with pytest.raises(NoValidHost, match=r"2 hosts: 2 tried \(others were faster\)"):
        scheduler(hosts).place(container("physnet1"), NOW, exclude={"h0", "h1"})


def test_controllers_at_the_same_moment_seldom_think_of_the_same_device(hosts: FakeHosts) -> None:
    with_cards(hosts, 1, vfs=64)

    rows = {scheduler(hosts, seed=seed).place(container("physnet1"), NOW).picks["if0"].row for seed in range(16)}

    assert len(rows) > 10


def test_a_port_that_comes_later_gets_a_device_of_the_containers_host(hosts: FakeHosts) -> None:
    with_cards(hosts, 3)
    placement = scheduler(hosts).place(container("physnet1"), NOW)
    wanted = container("physnet1", "physnet1", host=placement.host.name, cpu=1000)
    first = replace(wanted.interfaces[0], device=placement.picks["if0"], phase=InterfacePhase.BOUND)
    hosts.claim(placement, wanted.spec)

    again = scheduler(hosts).place(replace(wanted, interfaces=(first, wanted.interfaces[1])), NOW)

    assert again.host.name == placement.host.name
    assert again.picks.keys() == {"if1"}
    assert again.capacity.cpus == float("inf")


@pytest.mark.parametrize("count", [1, 24, 25, 26, 27, 60, 300])
def test_every_host_is_found_however_many_there_are(hosts: FakeHosts, count: int) -> None:
    for number in range(count):
        hosts.add(f"h{number}")
    rare = [hosts.all[odd] for odd in {0, count // 2, count - 1}]
    for each in rare:
        facts = each.host.facts.model_copy(update={"availability_zone": "rare"})
        each.host = replace(each.host, facts=facts)

    found = {
        scheduler(hosts, seed=seed).place(container(availability_zone="rare"), NOW).host.name for seed in range(60)
    }

    assert found == {each.host.name for each in rare}


def test_finding_a_host_among_many_takes_few_queries_and_looks_at_few_hosts(hosts: FakeHosts) -> None:
    with_cards(hosts, 2000, vfs=1)
    hosts.queries = 0

    scheduler(hosts).place(container("physnet1"), NOW)

    assert hosts.queries == 1


def test_a_host_that_becomes_free_while_reasons_are_gathered_is_taken(hosts: FakeHosts) -> None:
    host = hosts.add("a")
    rows = set(hosts.add_card(host, 1, 1)[1:])
    host.taken |= rows
    look = hosts.candidates

    def look_and_free(*args: object, **kwargs: object) -> object:
        if not kwargs["with_room"]:
            host.taken.clear()
        return look(*args, **kwargs)  # type: ignore[arg-type]

    hosts.candidates = look_and_free  # type: ignore[assignment]

    assert scheduler(hosts).place(container("physnet1"), NOW).picks["if0"].row in rows
