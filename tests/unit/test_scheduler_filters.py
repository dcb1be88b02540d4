"""Why hosts are turned away, as the container's owner reads it."""

from __future__ import annotations

import pytest
from scheduler_world import NOW, FakeHosts, container, scheduler, settings

from mooring.controller.scheduler import names
from mooring.controller.scheduler.filters import make_filters
from mooring.controller.scheduler.weighers import WEIGHERS
from mooring.errors import InvalidAlias, InvalidConfiguration, NoValidHost


@pytest.fixture
def hosts() -> FakeHosts:
    return FakeHosts()


def refusal(hosts: FakeHosts, wanted: object, **changes: object) -> str:
    with pytest.raises(NoValidHost) as refused:
        scheduler(hosts, **changes).place(wanted, NOW)  # type: ignore[arg-type]
    return str(refused.value)


def test_reasons_are_told_by_filter_with_counts(hosts: FakeHosts) -> None:
    full = hosts.add("a")
    full.taken |= set(hosts.add_card(full, 1, 14)[1:])
    hosts.add_card(hosts.add("b", silent_s=240), 1, 14)

    assert refusal(hosts, container("physnet1")) == (
        "no valid host: 2 hosts: 1 ComputeFilter (no report for 240 s), "
        "1 PciPassthroughFilter (0 of 14 VFs free on physnet1)"
    )


def test_devices_are_counted_over_all_hosts_that_have_none_free(hosts: FakeHosts) -> None:
    for name in ("a", "b"):
        host = hosts.add(name)
        host.taken |= set(hosts.add_card(host, 1, 7)[1:])

    assert refusal(hosts, container("physnet1")) == (
        "no valid host: 2 hosts: 2 PciPassthroughFilter (0 of 14 VFs free on physnet1)"
    )


def test_too_few_devices_are_told_with_how_many_are_wanted(hosts: FakeHosts) -> None:
    hosts.add_card(hosts.add("a"), 1, 1)

    assert "(1 of 1 VFs free on physnet1, 2 wanted)" in refusal(hosts, container("physnet1", "physnet1"))


def test_devices_on_different_hosts_are_told_to_be_so(hosts: FakeHosts) -> None:
    hosts.add_card(hosts.add("a"), 1, 2, physical_network="physnet1")
    hosts.add_card(hosts.add("b"), 1, 2, physical_network="physnet2")

    assert "(2 of 2 VFs free on physnet1 and 2 of 2 VFs free on physnet2, but not on one host)" in refusal(
        hosts, container("physnet1", "physnet2")
    )


def test_a_pf_and_a_vf_that_exclude_each_other_are_told(hosts: FakeHosts) -> None:
    hosts.add_card(hosts.add("a"), 1, 2)

    assert "(free devices serve each request, but not all at once)" in refusal(
        hosts, container("physnet1", ("physnet1", "direct-physical"))
    )


def test_a_numa_node_that_is_required_is_told(hosts: FakeHosts) -> None:
    host = hosts.add("a")
    for node in (0, 1):
        hosts.add_card(host, node + 1, 1, physical_network=None, numa_node=node, ids="8086:37c9", vf_driver="vfio-pci")

    assert "(free devices are not of one NUMA node)" in refusal(hosts, container(aliases=["strict", "strict"]))
    assert len(scheduler(hosts).place(container(aliases=["crypto", "crypto"]), NOW).picks) == 2


def test_devices_of_an_alias_are_named_by_their_ids(hosts: FakeHosts) -> None:
    hosts.add("a")

    assert "(0 of 0 VFs 8086:37c9 free for vfio-pci)" in refusal(hosts, container(aliases=["crypto"]))


def test_devices_are_looked_at_whatever_filters_are_enabled(hosts: FakeHosts) -> None:
    hosts.add("a")

    assert "1 PciPassthroughFilter (0 of 0 VFs free on physnet1)" in refusal(
        hosts, container("physnet1"), filters=("RuntimeFilter",)
    )


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"disabled": True}, "disabled"),
        ({"forced_down": True}, "forced down"),
        ({"silent_s": 181}, "no report for 181 s"),
    ],
)
def test_a_host_that_is_not_there_or_must_not_be_used_gets_nothing_whatever_filters_are_enabled(
    hosts: FakeHosts, host: dict[str, object], words: str
) -> None:
    hosts.add("a", **host)

    assert refusal(hosts, container(), filters=()) == f"no valid host: 1 host: 1 ComputeFilter ({words})"


def test_several_silent_hosts_are_told_with_the_shortest_silence(hosts: FakeHosts) -> None:
    hosts.add("a", silent_s=900)
    hosts.add("b", silent_s=200)

    assert "2 ComputeFilter (no report for 200 s or longer)" in refusal(hosts, container())


def test_a_host_that_reported_in_time_is_there(hosts: FakeHosts) -> None:
    hosts.add("a", silent_s=180)

    assert scheduler(hosts).place(container(), NOW).host.name == "a"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"availability_zone": "far"}, "1 AvailabilityZoneFilter (not in availability zone far)"),
        ({"runtime": "kata"}, "1 RuntimeFilter (no runtime kata)"),
        ({"hints": {"label:gpu": "a100"}}, "1 LabelFilter (without label gpu=a100)"),
        ({"hints": {"label": "gpu=a100"}}, "1 LabelFilter (without label gpu=a100)"),
        (
            {"cpu_policy": "dedicated"},
            "1 CpuSetFilter (dedicated processors are not served; ask for cpu_policy shared)",
        ),
        ({"cpu": 3.5}, "1 CPUFilter (3.5 processors asked, 3 free at most)"),
        ({"memory_mib": 2000}, "1 RamFilter (2000 MiB of memory asked, 1000 free at most)"),
        ({"disk_gib": 51}, "1 DiskFilter (51 GiB of disk asked, 50 free at most)"),
    ],
)
def test_a_host_that_lacks_what_is_asked_is_turned_away_with_the_reason(
    hosts: FakeHosts, spec: dict[str, object], words: str
) -> None:
    hosts.add("a", cpus=4, used_cpus=1, memory_mib=3000, used_memory_mib=2000, disk_gib=100, used_disk_gib=50)

    once = {"cpu_ratio": 1, "memory_ratio": 1, "disk_ratio": 1}

    assert refusal(hosts, container(**spec), **once) == f"no valid host: 1 host: {words}"


@pytest.mark.parametrize(
    "spec",
    [
        {"availability_zone": "near"},
        {"runtime": "kata"},
        {"hints": {"label:gpu": "a100", "other": 1}},
        {"hints": {"label": "gpu=a100"}},
        {"cpu_policy": "shared"},
        {"cpu": 4, "memory_mib": 3000, "disk_gib": 100},
    ],
)
def test_a_host_that_has_what_is_asked_is_found(hosts: FakeHosts, spec: dict[str, object]) -> None:
    hosts.add("other", cpus=1)
    hosts.add("a", availability_zone="near", runtimes=("runc", "kata"), labels={"gpu": "a100"}, memory_mib=3000)

    assert scheduler(hosts, cpu_ratio=1).place(container(**{"cpu": 2, **spec}), NOW).host.name == "a"


def test_a_host_may_promise_more_than_it_has_but_not_to_one_container(hosts: FakeHosts) -> None:
    hosts.add("a", cpus=4, used_cpus=60)

    assert scheduler(hosts, cpu_ratio=16).place(container(cpu=4), NOW).capacity.cpus == 64
    assert "5 processors asked, 4 free at most" in refusal(hosts, container(cpu=5), cpu_ratio=16)


def test_where_hosts_have_no_limit_none_is_kept_or_claimed(hosts: FakeHosts) -> None:
    hosts.add("a", cpus=1)

    placement = scheduler(hosts, filters=("ComputeFilter",)).place(container(cpu=100, memory_mib=10**9), NOW)

    assert placement.capacity.cpus == float("inf")


def test_only_what_a_filter_limits_is_claimed_within_a_limit(hosts: FakeHosts) -> None:
    hosts.add("a", memory_mib=1000)

    capacity = scheduler(hosts, filters=("RamFilter",), memory_ratio=1.5).place(container(), NOW).capacity

    assert (capacity.cpus, capacity.memory_mib) == (float("inf"), 1500)


def test_an_unknown_filter_or_weigher_is_refused_with_a_suggestion(hosts: FakeHosts) -> None:
    with pytest.raises(InvalidConfiguration, match=r"no filter is named PciFilter; did you mean \w+Filter\?"):
        scheduler(hosts, filters=("PciFilter",))
    with pytest.raises(InvalidConfiguration, match=r"no weigher is named spred; did you mean spread\?"):
        scheduler(hosts, multipliers={"spred": 2.0})


def test_every_name_that_a_configuration_may_use_is_there() -> None:
    assert tuple(each.name for each in make_filters(settings(filters=names.FILTERS))) == names.FILTERS
    assert WEIGHERS.keys() == names.MULTIPLIERS.keys()


def test_an_alias_that_was_removed_after_the_container_was_accepted_is_told(hosts: FakeHosts) -> None:
    hosts.add("a")

    with pytest.raises(InvalidAlias, match="PCI alias crypto: the administrator has removed it"):
        scheduler(hosts, aliases={}).place(container(aliases=["crypto"]), NOW)
