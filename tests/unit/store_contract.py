"""What the service's database does, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from store_world import (
    LONG_AGO,
    NOW,
    PF,
    RIVALS,
    WHOLE,
    WISH,
    action_of,
    add,
    added,
    candidates,
    claim,
    container,
    free,
    interface,
    new_id,
    note_host,
    owners,
    pf,
    race,
    resized,
    vf,
)

from mooring.container.model import AliasClaim, Container, InterfacePhase, Operation
from mooring.container.spec import Mount
from mooring.container.states import Status, TaskState, Verb
from mooring.db.api import Capacity, ContainerQuery, Event, Store
from mooring.errors import (
    ActionNotFound,
    ClaimLost,
    ContainerNotFound,
    HostNotFound,
    InvalidRequest,
    NameTaken,
    NoRoom,
    OperationRefused,
    Outdated,
    PortBusy,
    QuotaExceeded,
)
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind, DeviceRequest, ProductSpec
from mooring.rpc.messages import DeviceState

LATER = NOW + timedelta(minutes=1)
OTHER_PF = PciAddress.parse("0000:af:00.0")


class ContainerContract:
    """Containers, kept whole."""

    def test_a_container_is_read_back_as_it_was_written(self, store: Store) -> None:
        written = added(
            store,
            name="wëb ",
            interfaces=(interface(), interface("i2", vnic_type="normal")),
            command=("sh", "-c", "true"),
            environment={"A": "b\n\0"},
            hints={"pci_passthrough:alias": "qat:2", "deep": [1, {"x": None}]},
            mounts=(Mount(destination="/etc/x", content="QQ==" * 50_000),),
        )

        assert store.container(written.uuid) == written
        assert written.row > 0

    def test_an_unknown_container_is_none(self, store: Store) -> None:
        assert store.container(new_id()) is None

    def test_a_change_is_kept_with_a_new_revision(self, store: Store) -> None:
        first = added(store)
        changed = replace(
            first,
            status=Status.RUNNING,
            task_state=TaskState.STARTING,
            operation=Operation(number=7, verb=Verb.STOP, arguments={"timeout": 5, "force": True}),
            tried={"node1": "busy"},
            due_at=LATER,
        )

        saved = store.save(changed)

        assert saved == replace(changed, revision=first.revision + 1)
        assert store.container(first.uuid) == saved

    def test_who_saw_an_older_container_cannot_write_it(self, store: Store) -> None:
        seen = added(store)
        store.save(replace(seen, status_detail="first"))

        for attempt in (store.save, store.remove, lambda it: claim(store, it)):
            note_host(store)
            with pytest.raises(Outdated, match=seen.uuid):
                attempt(replace(seen, status_detail="second"))

        kept = store.container(seen.uuid)
        assert kept is not None
        assert (kept.status_detail, kept.host) == ("first", None)

    def test_a_removed_container_is_gone_with_all_that_was_its(self, store: Store) -> None:
        port = new_id()
        removed = added(store, interfaces=(interface(port=port),))

        store.remove(removed)

        assert store.container(removed.uuid) is None
        assert store.actions(removed.uuid) == ()
        assert added(store, interfaces=(interface(port=port),)).row != removed.row
        with pytest.raises(Outdated):
            store.save(removed)

    def test_a_container_is_found_by_uuid_and_by_name_within_a_project(self, store: Store) -> None:
        mine, twin = added(store, name="web"), added(store, name="web")
        others = added(store, project="p2", name="web")

        assert store.find_containers("web", "p1") == (mine, twin)
        assert store.find_containers("web", None) == (mine, twin, others)
        assert store.find_containers(others.uuid, "p1") == ()
        assert store.find_containers(others.uuid, None) == (others,)
        assert store.find_containers("Web", None) == ()
        assert store.find_containers("web ", None) == ()

    def test_the_containers_of_a_host_are_those_that_were_placed_there(self, store: Store) -> None:
        note_host(store)
        note_host(store, "node2")
        here, _ = claim(store, added(store)), claim(store, added(store), host="node2")
        added(store)

        assert store.wanted_on("node1") == (here,)
        assert store.wanted_on("node3") == ()

    def test_what_no_database_can_hold_is_the_callers_mistake(self, store: Store) -> None:
        for name in ("x" * 256, "nul\0"):
            try:
                add(store, container(name=name))
            except InvalidRequest:
                continue
            assert store.find_containers(name, None)


class ListContract:
    """Lists of containers."""

    def test_containers_come_page_by_page_in_the_order_of_their_creation(self, store: Store) -> None:
        every = [added(store).uuid for _ in range(5)]

        pages, marker = [], None
        while page := store.containers(ContainerQuery(marker=marker, limit=2)):
            pages.append([each.uuid for each in page])
            marker = page[-1].uuid

        assert pages == [every[:2], every[2:4], every[4:]]
        backwards = store.containers(ContainerQuery(descending=True, marker=every[2]))
        assert [each.uuid for each in backwards] == [every[1], every[0]]

    @pytest.mark.parametrize("key", ["host", "task_state", "name", "memory", "auto_remove"])
    @pytest.mark.parametrize("descending", [False, True])
    def test_pages_neither_repeat_nor_skip_whatever_they_are_sorted_by(
        self, store: Store, key: str, *, descending: bool
    ) -> None:
        note_host(store)
        every = {added(store, name=name, memory_mib=64).uuid for name in "abab"}
        every.add(claim(store, added(store, auto_remove=True)).uuid)

        seen: list[str] = []
        while page := store.containers(
            ContainerQuery(sort_key=key, descending=descending, limit=2, marker=seen[-1] if seen else None)
        ):
            seen += [each.uuid for each in page]

        assert len(seen) == len(every)
        assert set(seen) == every

    def test_filters_are_exact(self, store: Store) -> None:
        note_host(store)
        one = claim(store, added(store, name="one", memory_mib=64, image="a", auto_remove=True))
        two = added(store, project="p2", name="two")

        def found(project: str | None = None, **filters: str | int | bool) -> set[str]:
            return {each.uuid for each in store.containers(ContainerQuery(project_id=project, filters=filters))}

        assert found() == {one.uuid, two.uuid}
        assert found("p2") == {two.uuid}
        assert found(name="one", memory=64, image="a", host="node1", auto_remove=True) == {one.uuid}
        assert found(user_id="u1", status="Creating", uuid=two.uuid) == {two.uuid}
        assert found(name="ONE") == found(auto_remove="yes") == found(memory="64") == found(memory=10**30) == set()

    def test_what_containers_are_not_found_by_is_said(self, store: Store) -> None:
        with pytest.raises(InvalidRequest, match="colour"):
            store.containers(ContainerQuery(filters={"colour": "red"}))
        with pytest.raises(ContainerNotFound):
            store.containers(ContainerQuery(marker=new_id()))


class PortContract:
    """A port is one container's."""

    def test_a_port_of_another_container_is_refused_and_nothing_is_written(self, store: Store) -> None:
        holder = added(store, interfaces=(interface(port="port-1"),))
        late = container(interfaces=(interface(port=new_id()), interface("i2", port="port-1")))

        with pytest.raises(PortBusy, match=f"port-1 .*{holder.uuid}"):
            add(store, late)

        assert store.container(late.uuid) is None
        again = replace(late, interfaces=late.interfaces[:1])
        assert add(store, again).interfaces == again.interfaces

    def test_a_port_that_comes_later_is_reserved_and_one_that_goes_is_free(self, store: Store) -> None:
        first, second = added(store), added(store)
        first = store.save(replace(first, interfaces=(interface(port="port-1"),)))

        with pytest.raises(PortBusy, match=first.uuid):
            store.save(replace(second, interfaces=(interface(port="port-1"),)))
        store.save(replace(first, interfaces=()))

        taken = store.save(replace(second, interfaces=(interface(port="port-1"),)))
        assert store.container(second.uuid) == taken

    def test_a_port_that_is_to_be_made_is_no_ones_yet(self, store: Store) -> None:
        unmade = replace(interface(), port_id=None)

        made = added(store, interfaces=(unmade, replace(unmade, id="i2")))

        assert store.save(replace(made, interfaces=(interface(), interface("i2")))).revision == made.revision + 1


class DueContract:
    """Work for controllers."""

    def test_the_container_that_has_waited_longest_is_taken_once(self, store: Store) -> None:
        late, early = (store.save(replace(added(store), due_at=when)) for when in (NOW, NOW - timedelta(1)))
        store.save(replace(added(store), due_at=LATER))
        added(store)

        taken = [store.take_due(NOW, LATER) for _ in range(3)]

        assert taken == [replace(early, due_at=LATER), replace(late, due_at=LATER), None]
        assert store.container(early.uuid) == replace(early, due_at=LATER)

    def test_what_a_dead_controller_took_is_due_again(self, store: Store) -> None:
        store.save(replace(added(store), due_at=NOW))
        assert store.take_due(NOW, LATER) is not None

        assert store.take_due(LATER, LATER + timedelta(minutes=1)) is not None

    def test_who_took_a_container_can_save_it(self, store: Store) -> None:
        due = store.save(replace(added(store), due_at=NOW))
        taken = store.take_due(NOW, LATER)
        assert taken is not None

        saved = store.save(replace(taken, due_at=None))

        assert (saved.revision, store.take_due(LATER, LATER)) == (due.revision + 1, None)

    def test_containers_of_hosts_that_are_silent_or_down_are_told_until_they_are_unknown(self, store: Store) -> None:
        note_host(store, "alive", now=LATER)
        note_host(store, "silent", now=NOW)
        note_host(store, "down", now=LATER)
        _, lost, down = (claim(store, added(store), host=host) for host in ("alive", "silent", "down"))
        added(store)
        store.set_host("down", forced_down=True)

        assert store.placed_on_silent_hosts(LATER) == (lost, down)
        store.save(replace(lost, status=Status.UNKNOWN))
        assert store.placed_on_silent_hosts(LATER) == (down,)


class ClaimContract:
    """All of a claim or nothing of it."""

    def test_a_claim_places_a_container_with_its_devices(self, store: Store) -> None:
        note_host(store, devices=[vf(0), vf(1)])
        first, second = free(store)
        ours = added(store, interfaces=(interface("i1"), interface("i2")))

        claimed = claim(store, ours, first, second)

        assert [each.device for each in claimed.interfaces] == [first, second]
        assert (claimed.host, claimed.revision) == ("node1", ours.revision + 1)
        assert store.container(ours.uuid) == claimed
        assert set(owners(store).values()) == {ours.uuid}
        assert [device.request for device in store.devices("node1")] == ["i1", "i2"]
        assert free(store) == []

    def test_a_device_is_as_its_host_described_it(self, store: Store) -> None:
        note_host(store, devices=[vf(3, trusted=True, numa_node=1)])

        (device,) = free(store)

        assert str(device.address) == "0000:3b:02.3"
        assert device.parent == PF
        assert device.vendor_info == "8086:154c"
        assert (device.physical_network, device.numa_node, device.vf_driver) == ("physnet1", 1, None)

    def test_one_device_that_is_taken_spoils_the_whole_claim(self, store: Store) -> None:
        note_host(store, devices=[vf(0), vf(1)])
        first, second = free(store)
        claim(store, added(store, interfaces=(interface(),)), second)
        ours = added(store, interfaces=(interface("i1"), interface("i2")))

        with pytest.raises(ClaimLost, match=r"0000:3b:02\.1 of host node1"):
            claim(store, ours, first, second)

        assert store.container(ours.uuid) == ours
        assert owners(store)[str(first.address)] is None
        assert free(store) == [first]

    def test_a_pf_and_its_vfs_exclude_each_other(self, store: Store) -> None:
        note_host(store, devices=[pf(), vf(0), vf(1)])
        (whole,), (first, second) = free(store, WHOLE), free(store)

        holder = claim(store, added(store, interfaces=(interface(),)), first)
        with pytest.raises(ClaimLost):
            claim(store, added(store, interfaces=(interface(),)), whole)
        assert (free(store, WHOLE), free(store)) == ([], [second])
        assert [device.is_blocked for device in store.devices("node1")] == [True, False, False]

        store.remove(holder)
        claim(store, added(store, interfaces=(interface(),)), whole)
        with pytest.raises(ClaimLost):
            claim(store, added(store, interfaces=(interface(),)), second)
        assert free(store) == []
        assert [device.is_blocked for device in store.devices("node1")] == [False, True, True]

    def test_a_container_cannot_have_a_pf_and_a_vf_of_it(self, store: Store) -> None:
        note_host(store, devices=[pf(), vf(0)])
        both = added(store, interfaces=(interface("i1"), interface("i2")))

        for order in ((free(store, WHOLE) + free(store)), (free(store) + free(store, WHOLE))):
            with pytest.raises(ClaimLost):
                claim(store, both, *order)
        assert set(owners(store).values()) == {None}

    def test_another_cards_vfs_do_not_block_a_pf(self, store: Store) -> None:
        note_host(store, devices=[pf(), vf(0, parent=OTHER_PF)])
        note_host(store, "node2", devices=[vf(0)])
        claim(store, added(store, interfaces=(interface(),)), *free(store))
        claim(store, added(store, interfaces=(interface(),)), *free(store, host="node2"), host="node2")

        assert len(free(store, WHOLE)) == 1

    @pytest.mark.parametrize("state", [DeviceState.HELD, DeviceState.UNUSABLE, DeviceState.LOST])
    def test_what_its_node_does_not_report_free_is_not_to_be_had(self, store: Store, state: DeviceState) -> None:
        note_host(store, devices=[vf(0)])
        devices = free(store)
        note_host(store, devices=[vf(0, state=state)])

        with pytest.raises(ClaimLost):
            claim(store, added(store, interfaces=(interface(),)), *devices)
        assert free(store) == []

    def test_a_pf_of_which_somebody_else_uses_a_vf_is_blocked(self, store: Store) -> None:
        note_host(store, devices=[pf(), vf(0), vf(1)])
        whole = free(store, WHOLE)
        note_host(store, devices=[pf(), vf(0), vf(1, state=DeviceState.HELD, holder="port-9")])

        with pytest.raises(ClaimLost):
            claim(store, added(store, interfaces=(interface(),)), *whole)
        assert free(store, WHOLE) == []

    def test_a_device_that_has_changed_networks_since_it_was_seen_is_lost(self, store: Store) -> None:
        note_host(store, devices=[vf(0)])
        devices = free(store)
        note_host(store, devices=[vf(0, physical_network="physnet2")])

        with pytest.raises(ClaimLost):
            claim(store, added(store, interfaces=(interface(),)), *devices)

    def test_a_device_of_another_host_is_not_to_be_had(self, store: Store) -> None:
        note_host(store, devices=[vf(0)])
        note_host(store, "node2")

        with pytest.raises(ClaimLost):
            claim(store, added(store, interfaces=(interface(),)), *free(store), host="node2")

    @pytest.mark.parametrize("word", ["disabled", "forced_down"])
    def test_a_host_that_was_taken_out_meanwhile_gets_nothing(self, store: Store, word: str) -> None:
        host = note_host(store)
        ours = added(store)
        store.set_host("node1", **{word: True})

        with pytest.raises(ClaimLost, match="node1"):
            store.claim(ours, host=host, picks={}, capacity=Capacity())
        assert store.container(ours.uuid) == ours

    @pytest.mark.parametrize(
        ("capacity", "spec"),
        [
            (Capacity(cpus=2), {"cpu": 1.1}),
            (Capacity(memory_mib=1024), {"memory_mib": 513}),
            (Capacity(disk_gib=10), {"disk_gib": 6}),
        ],
    )
    def test_a_host_is_not_promised_more_than_it_may_be(
        self, store: Store, capacity: Capacity, spec: dict[str, Any]
    ) -> None:
        note_host(store)
        claim(store, added(store, **spec), capacity=capacity)
        late = added(store, **spec)

        with pytest.raises(ClaimLost, match="promised"):
            claim(store, late, capacity=capacity)
        assert store.container(late.uuid) == late

    @pytest.mark.parametrize(
        ("capacity", "more", "words"),
        [
            (Capacity(cpus=3), {"cpu": 2.5}, "2.5 processors wanted, 2 to be had"),
            (Capacity(memory_mib=1100), {"memory_mib": 600}, "600 MiB of memory wanted, 588 to be had"),
            (Capacity(disk_gib=5), {"disk_gib": 6}, "6 GiB of disk wanted, 5 to be had"),
        ],
    )
    def test_a_container_grows_as_far_as_its_host_has_room(
        self, store: Store, capacity: Capacity, more: dict[str, Any], words: str
    ) -> None:
        note_host(store)
        claim(store, added(store))
        ours = claim(store, added(store))

        with pytest.raises(NoRoom, match=words):
            store.grow(resized(ours, **more), capacity=capacity, whole=Capacity())
        assert store.container(ours.uuid) == ours
        assert store.grow(resized(ours, **more), capacity=Capacity(), whole=Capacity()).revision == ours.revision + 1

    def test_a_container_grows_no_larger_than_its_host(self, store: Store) -> None:
        note_host(store)
        ours = claim(store, added(store))

        with pytest.raises(NoRoom, match=r"2\.5 processors wanted, 2 to be had"):
            store.grow(resized(ours, cpu=2.5), capacity=Capacity(cpus=16), whole=Capacity(cpus=2))
        assert store.container(ours.uuid) == ours

    def test_a_container_may_grow_until_its_host_is_full(self, store: Store) -> None:
        note_host(store)
        claim(store, added(store, cpu=0.9))
        ours = claim(store, added(store, cpu=0.05))

        store.grow(resized(ours, cpu=0.1), capacity=Capacity(cpus=1), whole=Capacity(cpus=1))

        assert store.host("node1").used_cpus == 1

    def test_many_fractions_may_fill_a_host_though_their_sum_is_rounded(self, store: Store) -> None:
        note_host(store)
        whole = Capacity(cpus=2)
        for _ in range(19):
            claim(store, added(store, cpu=0.1), capacity=whole)
        ours = claim(store, added(store, cpu=0.05), capacity=whole)

        store.grow(resized(ours, cpu=0.1), capacity=whole, whole=whole)

        assert store.host("node1").used_cpus == pytest.approx(2)

    def test_a_host_is_full_of_fractions_when_they_are_as_much_as_it_has(self, store: Store) -> None:
        note_host(store)
        for _ in range(20):
            claim(store, added(store, cpu=0.1), capacity=Capacity(cpus=2))

        with pytest.raises(ClaimLost):
            claim(store, added(store, cpu=0.1), capacity=Capacity(cpus=2))

    def test_a_container_may_shrink_on_a_host_that_has_promised_too_much(self, store: Store) -> None:
        note_host(store)
        ours = claim(store, added(store, cpu=4, memory_mib=512))

        tiny = Capacity(cpus=2, memory_mib=100)
        smaller = store.grow(resized(ours, cpu=3, memory_mib=400), capacity=tiny, whole=tiny)

        assert (smaller.spec.cpu, store.host("node1").used_cpus) == (3, 3)

    def test_a_container_that_grows_by_a_device_does_not_count_twice(self, store: Store) -> None:
        note_host(store, devices=[vf(0)])
        placed = claim(store, added(store, cpu=2.0), capacity=Capacity(cpus=2))

        grown = store.save(replace(placed, interfaces=(interface(),)))

        assert claim(store, grown, *free(store), capacity=Capacity(cpus=2)).devices

    def test_an_alias_gets_its_device_beside_a_port(self, store: Store) -> None:
        wish = DeviceRequest(id="a1", kind=DeviceKind.VF, for_program=True, products=(ProductSpec(vendor_id="8086"),))
        note_host(store, devices=[vf(0), vf(1, vf_driver="vfio-pci", physical_network=None)])
        ours = replace(container(interfaces=(interface(),)), aliases=(AliasClaim(id="a1", alias="qat"),))

        claimed = claim(store, add(store, ours), *free(store), *free(store, wish))

        assert [str(device.address) for device in claimed.devices] == ["0000:3b:02.0", "0000:3b:02.1"]
        assert claimed.aliases[0].device == claimed.devices[1]

    def test_a_plain_device_is_claimed_beside_a_port_and_by_one_container_only(self, store: Store) -> None:
        gpu = pf(OTHER_PF, kind=DeviceKind.PCI, vf_driver="vfio-pci", physical_network=None, vendor_id="10de")
        wish = DeviceRequest(id="a1", kind=None, for_program=True, products=(ProductSpec(vendor_id="10de"),))
        note_host(store, devices=[vf(0), pf(), gpu])
        ours = replace(container(interfaces=(interface(),)), aliases=(AliasClaim(id="a1", alias="gpu"),))
        picks = (*free(store), *free(store, wish))

        claimed = claim(store, add(store, ours), *picks)

        assert [device.address for device in claimed.devices] == [vf(0).address, OTHER_PF]
        with pytest.raises(ClaimLost, match=str(OTHER_PF)):
            claim(store, add(store, replace(container(), aliases=ours.aliases)), picks[1])
        assert [device.container for device in store.devices("node1")] == [None, ours.uuid, ours.uuid]

    def test_devices_that_a_container_lets_go_are_free(self, store: Store) -> None:
        note_host(store, devices=[vf(0), vf(1)])
        ours = added(store, interfaces=(interface("i1"), interface("i2")))
        claimed = claim(store, ours, *free(store))
        one, two = claimed.interfaces

        store.save(replace(claimed, interfaces=(one, replace(two, device=None, phase=InterfacePhase.RESERVED))))

        assert list(owners(store).values()) == [ours.uuid, None]
        assert free(store) == [two.device]

    def test_naming_a_device_does_not_take_it(self, store: Store) -> None:
        note_host(store, devices=[vf(0)])
        (device,) = free(store)
        greedy = added(store, interfaces=(interface(),))

        saved = store.save(replace(greedy, interfaces=(replace(greedy.interfaces[0], device=device),)))

        assert saved.devices == ()
        assert free(store) == [device]

    def test_a_removed_containers_devices_are_free(self, store: Store) -> None:
        note_host(store, devices=[vf(0)])
        devices = free(store)
        store.remove(claim(store, added(store, interfaces=(interface(),)), *devices))

        assert free(store) == devices
        assert store.devices("node1")[0].request is None


class HostContract:
    """Hosts, as they report."""

    def test_a_host_is_known_by_name_and_uuid_after_its_first_report(self, store: Store) -> None:
        noted = note_host(store)

        assert store.host("node1") == store.host(noted.uuid) == noted
        assert (noted.facts.labels, noted.seen_at, noted.created_at) == ({"rack": "r1"}, NOW, NOW)
        assert store.hosts() == (noted,)
        with pytest.raises(HostNotFound, match="node9"):
            store.host("node9")

    def test_each_report_is_counted_and_changes_what_it_says(self, store: Store) -> None:
        first = note_host(store)

        again = note_host(store, now=LATER, cpus=32)

        assert (again.row, again.uuid, again.created_at) == (first.row, first.uuid, NOW)
        assert (again.seen_at, again.facts.cpus, again.report_count) == (LATER, 32, first.report_count + 1)
        assert again == store.host("node1")

    def test_hosts_come_page_by_page_by_name(self, store: Store) -> None:
        one, two, three = (note_host(store, name) for name in ("a", "b", "c"))

        assert store.hosts(limit=2) == (one, two)
        assert store.hosts(marker=two.uuid) == (three,)
        with pytest.raises(HostNotFound):
            store.hosts(marker=new_id())

    def test_each_host_is_on_one_page_whatever_the_order_of_its_name(self, store: Store) -> None:
        names = {note_host(store, name).name for name in ("alpha", "Beta", "beta-1", "Beta1", "gamma")}

        for limit in (1, 2):
            pages = [store.hosts(limit=limit)]
            while pages[-1]:
                pages.append(store.hosts(marker=pages[-1][-1].uuid, limit=limit))
            listed = [host.name for page in pages for host in page]
            assert (len(listed), set(listed)) == (len(names), names)

    def test_a_page_of_hosts_begins_after_a_uuid_and_no_name(self, store: Store) -> None:
        note_host(store, "a")
        note_host(store, "b")

        with pytest.raises(HostNotFound):
            store.hosts(marker="a")

    def test_what_containers_were_promised_is_summed_up(self, store: Store) -> None:
        note_host(store)
        note_host(store, "idle")
        for cpu in (1.5, 2.0):
            claim(store, added(store, cpu=cpu, memory_mib=100, disk_gib=3))

        host, idle = store.host("node1"), store.host("idle")

        assert (host.used_cpus, host.used_memory_mib, host.used_disk_gib, host.containers) == (3.5, 200, 6, 2)
        assert (idle.used_cpus, idle.containers) == (0, 0)

    def test_the_operators_word_outlives_reports(self, store: Store) -> None:
        note_host(store)
        store.set_host("node1", disabled=True, disabled_reason="new cards")

        noted = note_host(store, now=LATER)

        assert (noted.disabled, noted.disabled_reason, noted.forced_down) == (True, "new cards", False)
        assert store.set_host("node1", forced_down=True).disabled
        enabled = store.set_host("node1", disabled=False)
        assert (enabled.disabled, enabled.disabled_reason, enabled.forced_down) == (False, None, True)
        with pytest.raises(HostNotFound):
            store.set_host("node9", disabled=True)

    def test_a_host_without_containers_can_be_forgotten(self, store: Store) -> None:
        note_host(store, devices=[vf(0)])
        placed = claim(store, added(store))

        with pytest.raises(OperationRefused, match="node1 has 1 container"):
            store.forget_host("node1")
        store.remove(placed)
        store.forget_host("node1")

        assert store.hosts() == ()
        with pytest.raises(HostNotFound):
            store.forget_host("node1")

    def test_the_service_keeps_its_id(self, store: Store) -> None:
        assert store.service_id() == store.service_id()
        store.ping()


class DeviceContract:
    """Devices, as their hosts report them."""

    def test_devices_are_those_of_the_last_report_a_pf_above_its_vfs(self, store: Store) -> None:
        note_host(store, devices=[vf(0), vf(1), vf(2)])
        reports = [vf(2, label="new"), vf(0, parent=OTHER_PF), pf(OTHER_PF), vf(1), pf()]

        note_host(store, devices=reports)

        assert [device.report for device in store.devices("node1")] == [
            pf(),
            vf(1),
            reports[0],
            pf(OTHER_PF),
            reports[1],
        ]
        with pytest.raises(HostNotFound):
            store.devices("node9")

    def test_a_device_keeps_its_row_as_long_as_it_is_reported(self, store: Store) -> None:
        note_host(store, devices=[vf(0)])
        (before,) = store.devices("node1")

        note_host(store, devices=[vf(0, state=DeviceState.UNUSABLE, detail="dirty"), vf(1)])

        after = store.devices("node1")[0]
        assert (after.row, after.report.state, after.report.detail) == (before.row, DeviceState.UNUSABLE, "dirty")

    def test_a_claimed_device_that_is_gone_is_lost_until_it_is_given_back(self, store: Store) -> None:
        note_host(store, devices=[vf(0)])
        claimed = claim(store, added(store, interfaces=(interface(),)), *free(store))

        note_host(store, devices=[])

        (lost,) = store.devices("node1")
        assert (lost.container, lost.report.state) == (claimed.uuid, DeviceState.LOST)
        store.remove(claimed)
        assert free(store) == []
        note_host(store, devices=[])
        assert store.devices("node1") == ()

    def test_a_lost_device_that_is_back_is_as_reported(self, store: Store) -> None:
        note_host(store, devices=[vf(0)])
        claim(store, added(store, interfaces=(interface(),)), *free(store))
        note_host(store, devices=[])

        note_host(store, devices=[vf(0, state=DeviceState.HELD)])

        assert store.devices("node1")[0].report.state is DeviceState.HELD

    def test_a_claimed_device_keeps_its_network_until_it_is_given_back(self, store: Store) -> None:
        note_host(store, devices=[vf(0)])
        claimed = claim(store, added(store, interfaces=(interface(),)), *free(store))
        moved = vf(0, physical_network="physnet2", label="moved")

        note_host(store, devices=[moved])
        assert store.devices("node1")[0].report == vf(0, label="moved")

        store.remove(claimed)
        note_host(store, devices=[moved])
        assert store.devices("node1")[0].report == moved

    def test_pools_count_what_is_alike(self, store: Store) -> None:
        note_host(store, devices=[pf(), *(vf(index) for index in range(3)), vf(7, physical_network="physnet2")])
        note_host(store, "node2", devices=[vf(0)])
        claim(store, added(store, interfaces=(interface(),)), free(store)[0])

        counted = [
            (pool.kind, pool.physical_network, pool.parent, pool.total, pool.free) for pool in store.pools("node1")
        ]

        assert counted == [
            (DeviceKind.PF, "physnet1", None, 1, 0),
            (DeviceKind.VF, "physnet1", PF, 3, 2),
            (DeviceKind.VF, "physnet2", PF, 1, 1),
        ]
        assert {pool.host for pool in store.pools()} == {"node1", "node2"}
        with pytest.raises(HostNotFound):
            store.pools("node9")


class CandidateContract:
    """Hosts for a container."""

    def test_hosts_come_in_the_order_of_their_uuids_some_at_a_time(self, store: Store) -> None:
        cards = [vf(0), vf(0, parent=OTHER_PF)]
        uuids = sorted(note_host(store, name, devices=cards).uuid for name in ("c", "a", "b"))

        def found(**options: object) -> list[str]:
            return [candidate.host.uuid for candidate in candidates(store, WISH, **options)]

        assert found() == uuids
        assert found(limit=2) == uuids[:2]
        assert found(after=uuids[1]) == uuids[2:]
        assert [each.host.name for each in candidates(store, WISH, only="a")] == ["a"]

    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda store: store.set_host("node1", disabled=True), id="disabled"),
            pytest.param(lambda store: store.set_host("node1", forced_down=True), id="forced down"),
            pytest.param(lambda store: note_host(store, devices=[vf(0)], now=LONG_AGO), id="silent"),
            pytest.param(lambda store: note_host(store, devices=[vf(0, physical_network="x")]), id="other network"),
            pytest.param(lambda store: note_host(store, devices=[vf(0, physical_network=None)]), id="no network"),
            pytest.param(lambda store: note_host(store, devices=[vf(0, state=DeviceState.HELD)]), id="held"),
            pytest.param(lambda store: note_host(store, devices=[vf(0, vf_driver="vfio-pci")]), id="for programs"),
            pytest.param(lambda store: note_host(store, devices=[pf()]), id="a PF only"),
            pytest.param(lambda store: note_host(store, devices=[vf(0), pf(state=DeviceState.HELD)]), id="PF held"),
        ],
    )
    def test_a_host_that_cannot_is_left_out_unless_the_reasons_are_wanted(
        self, store: Store, spoil: Callable[[Store], object]
    ) -> None:
        note_host(store, devices=[vf(0)])
        assert len(candidates(store, WISH, alive_since=NOW)) == 1
        spoil(store)

        assert candidates(store, WISH, alive_since=NOW) == ()
        assert [each.host.name for each in candidates(store, WISH, alive_since=NOW, with_room=False)] == ["node1"]

    @pytest.mark.parametrize(
        ("request_", "devices"),
        [
            (replace(WISH, trusted=True), [vf(0, trusted=True)]),
            (replace(WISH, physical_network=None), [vf(0, physical_network=None)]),
            (
                replace(WISH, products=(ProductSpec(vendor_id="15b3"), ProductSpec(product_id="101e"))),
                [vf(0, product_id="101e")],
            ),
            (WHOLE, [pf()]),
            (DeviceRequest(id="i1", kind=DeviceKind.PCI), [pf(kind=DeviceKind.PCI, physical_network=None)]),
            (DeviceRequest(id="i1", kind=None), [vf(0, physical_network=None), pf(OTHER_PF)]),
            (DeviceRequest(id="i1", kind=None), [pf(kind=DeviceKind.PCI, physical_network=None)]),
        ],
        ids=["trusted", "any network", "one of two products", "PF", "PCI", "VF of any kind", "PCI of any kind"],
    )
    def test_a_device_that_fits_is_found_beside_one_that_does_not(
        self, store: Store, request_: DeviceRequest, devices: list[Any]
    ) -> None:
        note_host(store, "wrong", devices=[vf(9, physical_network="physnet9", vf_driver="vfio-pci")])
        note_host(store, devices=[*devices, vf(9, physical_network="physnet9", vf_driver="vfio-pci")])

        (candidate,) = candidates(store, request_)

        assert [device.address for device in candidate.free["i1"]] == [devices[0].address]
        assert candidate.counts["i1"] == (1, 1)

    def test_free_devices_are_as_many_as_could_be_of_use_and_counted_all(self, store: Store) -> None:
        note_host(
            store, devices=[*(vf(index) for index in range(8)), *(vf(index, parent=OTHER_PF) for index in range(8))]
        )
        claim(store, added(store, interfaces=(interface(),)), free(store)[0])
        second = replace(WISH, id="i2")

        (candidate,) = candidates(store, WISH, second)

        parents = [device.parent for device in candidate.free["i1"]]
        assert sorted(map(str, parents)) == [str(PF)] * 2 + [str(OTHER_PF)] * 2
        assert candidate.free["i2"] == candidate.free["i1"]
        assert candidate.counts == {"i1": (16, 15), "i2": (16, 15)}
        assert candidate.spare_devices == 15

    def test_counts_tell_why_a_host_will_not_do(self, store: Store) -> None:
        note_host(store, devices=[pf(), *(vf(index) for index in range(4)), vf(4, physical_network="physnet2")])
        claim(store, added(store, interfaces=(interface(),)), *free(store, WHOLE))

        (candidate,) = candidates(store, WISH, WHOLE, with_room=False)

        assert candidate.counts[WISH.id] == (1, 0)  # the later request of that id
        (candidate,) = candidates(store, WISH, with_room=False)
        assert (candidate.counts[WISH.id], candidate.free[WISH.id], candidate.spare_devices) == ((4, 0), (), 0)

    def test_without_requests_all_hosts_that_are_alive_will_do(self, store: Store) -> None:
        note_host(store)
        note_host(store, "node2", devices=[vf(0)])

        found = candidates(store)

        assert {each.host.name: each.spare_devices for each in found} == {"node1": 0, "node2": 1}
        assert all(each.free == {} for each in found)


class HistoryContract:
    """What was asked of containers."""

    def test_an_action_is_there_from_the_start_and_tells_how_it_ended(self, store: Store) -> None:
        ours = added(store)
        stop = action_of(ours, "req-2", action="stop", start=LATER)
        store.start_action(stop)

        store.finish_action(ours.uuid, "req-2", now=LATER, message="no such process")
        store.finish_action(ours.uuid, "req-2", now=NOW, message="again")
        store.finish_action(ours.uuid, "req-9", now=NOW, message=None)

        newest, oldest = store.actions(ours.uuid)
        assert newest == replace(stop, finish=LATER, message="no such process")
        assert oldest == action_of(ours)

    def test_steps_begin_and_end_under_their_names(self, store: Store) -> None:
        ours = added(store)
        for event in (
            Event(name="schedule", start=NOW),
            Event(name="schedule", start=NOW, finish=LATER, result="Error", traceback="why"),
            Event(name="schedule", start=LATER),
            Event(name="bind", start=LATER, finish=LATER, result="Success"),
        ):
            store.add_event(ours.uuid, "req-1", event)

        assert store.action(ours.uuid, "req-1").events == (
            Event(name="schedule", start=NOW, finish=LATER, result="Error", traceback="why"),
            Event(name="schedule", start=LATER),
            Event(name="bind", start=LATER, finish=LATER, result="Success"),
        )

    def test_a_request_is_written_down_once(self, store: Store) -> None:
        ours = added(store)

        store.start_action(action_of(ours, action="other"))

        assert store.actions(ours.uuid) == (action_of(ours),)

    def test_what_is_not_known_is_said(self, store: Store) -> None:
        ours = added(store)
        with pytest.raises(ActionNotFound, match="req-9"):
            store.action(ours.uuid, "req-9")
        with pytest.raises(ContainerNotFound):
            store.start_action(action_of(container()))
        store.add_event(ours.uuid, "req-9", Event(name="late", start=NOW))


class QuotaContract:
    """What a project may have."""

    @pytest.mark.parametrize(
        ("limits", "spec"),
        [
            ({"containers": 1}, {}),
            ({"cpu": 1.5}, {"cpu": 1.0}),
            ({"memory": 1000}, {"memory_mib": 512}),
            ({"disk": 10}, {"disk_gib": 6}),
        ],
    )
    def test_a_container_beyond_a_limit_is_refused(
        self, store: Store, limits: dict[Any, float], spec: dict[str, Any]
    ) -> None:
        add(store, container(**spec), limits=limits)
        late = container(**spec)

        with pytest.raises(QuotaExceeded, match=next(iter(limits))):
            add(store, late, limits=limits)
        assert store.container(late.uuid) is None
        add(store, container(project="p2", **spec), limits=limits)

    def test_what_was_set_for_a_project_goes_before_the_configuration(self, store: Store) -> None:
        store.set_quotas("p1", {"containers": 1, "cpu": 50})
        store.set_quotas("p1", {"cpu": -1})
        assert store.quotas("p1") == {"containers": 1, "cpu": -1}
        assert store.quotas("p2") == {}

        add(store, container(cpu=100.0), limits={"containers": 40, "cpu": 20})
        with pytest.raises(QuotaExceeded):
            add(store, container(), limits={"containers": 40})
        store.delete_quotas("p1")
        add(store, container(), limits={"containers": 40})
        assert store.quotas("p1") == {}

    def test_usage_is_what_containers_were_promised(self, store: Store) -> None:
        added(store, cpu=1.5, memory_mib=100, disk_gib=3)
        added(store, cpu=0.5, memory_mib=100)
        added(store, project="p2")

        assert store.usage("p1") == {"containers": 2, "cpu": 2.0, "memory": 200, "disk": 3}
        assert store.usage("p3") == {"containers": 0, "cpu": 0, "memory": 0, "disk": 0}

    def test_names_are_unique_where_they_are_to_be(self, store: Store) -> None:
        first = added(store, name="web")
        add(store, container(name="web"))
        with pytest.raises(NameTaken, match=first.uuid):
            add(store, container(name="web"), unique_names="project")
        add(store, container(name="web", project="p2"), unique_names="project")
        with pytest.raises(NameTaken):
            add(store, container(name="web", project="p3"), unique_names="global")
        assert isinstance(add(store, container(name="new"), unique_names="global"), Container)


class RaceContract:
    """Many at the same moment."""

    def test_one_of_many_gets_the_only_vf(self, store: Store) -> None:
        note_host(store, devices=[pf(), vf(0)])
        devices = free(store)
        rivals = [added(store, interfaces=(interface(),)) for _ in range(RIVALS)]

        results = race(*(partial(claim, store, rival, *devices) for rival in rivals))

        (winner,) = (each for each in results if isinstance(each, Container))
        assert [type(each) for each in results].count(ClaimLost) == RIVALS - 1
        assert owners(store)[str(devices[0].address)] == winner.uuid
        assert all(held(store, each) == (each.uuid == winner.uuid) for each in rivals)

    @pytest.mark.parametrize("_", range(4))
    def test_a_pf_and_its_vfs_are_never_both_taken(self, store: Store, _: int) -> None:
        note_host(store, devices=[pf(), *(vf(index) for index in range(7))])
        wanted = [*free(store, WHOLE), *free(store)]
        rivals = [added(store, interfaces=(interface(),)) for _ in wanted]

        results = race(*(partial(claim, store, rival, each) for rival, each in zip(rivals, wanted, strict=True)))

        taken = [isinstance(each, Container) for each in results]
        assert taken in ([True] + [False] * 7, [False] + [True] * 7)
        assert all(isinstance(each, (Container, ClaimLost)) for each in results)

    def test_claims_of_several_devices_in_any_order_end_with_no_device_shared(self, store: Store) -> None:
        note_host(store, devices=[vf(index) for index in range(6)])
        devices = free(store)
        pairs = [(devices[index % 6], devices[(index * 5 + 1) % 6]) for index in range(RIVALS)]
        rivals = [added(store, interfaces=(interface("i1"), interface("i2"))) for _ in pairs]

        results = race(*(partial(claim, store, rival, *pair) for rival, pair in zip(rivals, pairs, strict=True)))

        winners = [each for each in results if isinstance(each, Container)]
        taken = [device.row for each in winners for device in each.devices]
        assert winners
        assert len(taken) == len(set(taken)) == 2 * len(winners)
        assert sum(owner is not None for owner in owners(store).values()) == len(taken)

    def test_one_of_many_gets_the_port(self, store: Store) -> None:
        rivals = [container(interfaces=(interface(port="port-1"),)) for _ in range(RIVALS)]

        results = race(*(partial(add, store, rival) for rival in rivals))

        (winner,) = (each for each in results if isinstance(each, Container))
        assert [type(each) for each in results].count(PortBusy) == RIVALS - 1
        assert [each.uuid for each in store.containers(ContainerQuery())] == [winner.uuid]

    def test_a_quota_and_a_host_hold_under_pressure(self, store: Store) -> None:
        note_host(store)
        rivals = [container(cpu=1.0) for _ in range(RIVALS)]

        results = race(*(partial(add, store, rival, limits={"containers": 5}) for rival in rivals))

        accepted = [each for each in results if isinstance(each, Container)]
        assert len(accepted) == 5
        assert [type(each) for each in results].count(QuotaExceeded) == RIVALS - 5
        placed = race(*(partial(claim, store, each, capacity=Capacity(cpus=3)) for each in accepted))
        assert [type(each) for each in placed].count(ClaimLost) == 2
        assert store.host("node1").used_cpus == 3

    def test_those_who_grow_at_once_do_not_outgrow_their_host(self, store: Store) -> None:
        note_host(store)
        placed = [claim(store, added(store, cpu=1.0)) for _ in range(RIVALS)]

        grow = partial(store.grow, capacity=Capacity(cpus=19), whole=Capacity())
        results = race(*(partial(grow, resized(each, cpu=2.0)) for each in placed))

        assert [type(each) for each in results].count(NoRoom) == RIVALS - 3
        assert store.host("node1").used_cpus == 19

    def test_one_of_many_with_a_name_that_is_to_be_unique_is_accepted(self, store: Store) -> None:
        rivals = [container(project=f"p{number % 3}") for number in range(RIVALS)]

        results = race(*(partial(add, store, rival, unique_names="global") for rival in rivals))

        assert [type(each) for each in results].count(NameTaken) == RIVALS - 1

    def test_each_due_container_is_one_controllers(self, store: Store) -> None:
        due = {store.save(replace(added(store), due_at=NOW)).uuid for _ in range(RIVALS - 4)}

        results = race(*(partial(store.take_due, NOW, LATER) for _ in range(RIVALS)))

        taken = [each.uuid for each in results if isinstance(each, Container)]
        assert len(taken) == len(set(taken))
        assert all(isinstance(each, Container) or each is None for each in results)
        # Whoever found the first one locked may have found no other: it looks again.
        while (late := store.take_due(NOW, LATER)) is not None:
            taken.append(late.uuid)
        assert sorted(taken) == sorted(due)

    def test_of_many_who_saw_the_same_container_one_writes_it(self, store: Store) -> None:
        seen = added(store)

        results = race(*(partial(store.save, replace(seen, status_detail=str(n))) for n in range(RIVALS)))

        (winner,) = (each for each in results if isinstance(each, Container))
        assert [type(each) for each in results].count(Outdated) == RIVALS - 1
        assert store.container(seen.uuid) == winner

    def test_a_new_host_that_reports_to_many_is_one_host(self, store: Store) -> None:
        devices = [vf(index) for index in range(16)]

        results = race(*(partial(note_host, store, "node1", devices) for _ in range(RIVALS)))

        assert len({each.row for each in results}) == 1
        assert store.host("node1").report_count == RIVALS
        assert len(store.devices("node1")) == 16

    def test_reports_claims_and_releases_go_on_beside_each_other(self, store: Store) -> None:
        reports = [pf(), *(vf(index) for index in range(8))]
        note_host(store, devices=reports)
        devices = free(store)
        rivals = [added(store, interfaces=(interface("i1"), interface("i2"))) for _ in range(4)]

        def come_and_go(first: Container, number: int) -> None:
            pair = (devices[2 * number], devices[2 * number + 1])
            current = first
            for _ in range(5):
                claimed = claim(store, current, *pair)
                kept = [replace(each, device=None) for each in claimed.interfaces]
                current = store.save(replace(claimed, host=None, interfaces=tuple(kept)))

        def report(detail: str) -> None:
            for turn in range(5):
                note_host(store, devices=[each.model_copy(update={"detail": f"{detail}{turn}"}) for each in reports])

        results = race(
            *(partial(come_and_go, rival, number) for number, rival in enumerate(rivals)),
            *(partial(report, detail) for detail in "ab"),
        )

        assert results == [None] * 6
        assert set(owners(store).values()) == {None}


def held(store: Store, seen: Container) -> bool:
    current = store.container(seen.uuid)
    assert current is not None
    return bool(current.devices)
