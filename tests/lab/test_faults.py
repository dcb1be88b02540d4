"""Faults that strike beneath running containers, on real hardware and a real engine: nothing is lost to any of them.

Some are noticed only by looking for a minute or two, so all of them are made side by side, once, and each test waits
for what became of its own. What troubles a whole host comes first, host by host; then what troubles a card only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from lab.neutron.client import Resource
from lab.node import SOCKET_UNIT, UNIT
from tests.lab.stage import (
    CIDR,
    LOOK_AGAIN_S,
    Stage,
    address_of,
    allocated,
    eventually,
    findings,
    held,
    metrics,
    vlan_of,
)
from tests.lab.ward import RECONCILED_S, VFIO, Telling, Ward

VLAN = 160
# A shell that is its namespace's first process ignores SIGTERM; the restarted dockerd would wait ten seconds for it.
QUICK = "--stop-signal=KILL"
ONE, TWO = 0, 1


# A fault: makes its trouble, and from its yield on only waits, so that the next may begin on the same card.
Fault = Callable[[Ward], Iterator[None]]


def a_guest_that_loses_its_power_has_everything_free_afterwards(ward: Ward) -> Iterator[None]:
    ward.run("sync")
    patient = ward.patient()

    ward.node.guest.reset()
    ward.node.start()

    assert "event=lease.undone" in ward.node.log()
    assert "rebooted=true" in ward.node.log()
    patient.await_freed()
    assert ward.row(patient.vf)["state"] == "free"
    yield


def containers_removed_while_mooring_is_stopped_with_its_socket(ward: Ward) -> Iterator[None]:
    patient = ward.patient()

    ward.run(f"systemctl stop {SOCKET_UNIT} {UNIT}")
    patient.container.remove()
    ward.run(f"systemctl start {SOCKET_UNIT} {UNIT}")

    assert patient.is_held()
    yield
    patient.await_told("container-gone")
    patient.await_freed()


def dockerd_killed_with_addresses_of_ours_asks_for_every_release(ward: Ward) -> Iterator[None]:
    docker_network = ward.stage.docker_network(ward.node, ward.network)
    port = ward.stage.port(ward.network)
    ward.stage.start(ward.node, f"{QUICK} --net={docker_network} --ip={address_of(port)}")

    _kill_dockerd(ward)

    def is_unbound() -> bool:
        return ward.stage.now(port)["binding:vif_type"] == "unbound"

    eventually(is_unbound, "Docker has said that the container has ended")
    assert not findings(ward.node, "container-gone", port["id"])
    # From here on Docker has no reason left to call.
    ward.run(f"docker network rm {docker_network}")
    yield


def dockerd_killed_without_addresses_of_ours_says_nothing_and_loses_nothing(ward: Ward) -> Iterator[None]:
    patient = ward.patient(QUICK)

    _kill_dockerd(ward)

    assert patient.is_held()
    yield
    patient.await_told("container-gone")
    patient.await_freed()


def dockerd_killed_beneath_a_container_that_is_to_restart_gives_it_its_port_again_at_once(
    ward: Ward,
) -> Iterator[None]:
    patient = ward.patient(f"{QUICK} --restart always")
    before = patient.container.init

    _kill_dockerd(ward)

    def is_back() -> bool:
        return patient.container.init not in (0, before)

    eventually(is_back, f"{patient.container.name} runs again", every=LOOK_AGAIN_S)
    assert patient.container.mac() == patient.port["mac_address"]
    assert not patient.told("container-gone")
    patient.await_status("ACTIVE")
    patient.container.remove()
    patient.await_freed()
    yield


def a_free_vf_with_settings_by_hand_is_kept_back_and_cleaned_when_they_last(ward: Ward) -> Iterator[None]:
    vf = ward.spare_vf()
    told = Telling(node=ward.node, kind="vf-dirty", subject=vf)
    ward.run(f"ip link set {ward.pf.name} vf {ward.row(vf)['vf']} vlan 77")
    row = ward.row(vf)

    assert (row["state"], row["reason"]) == ("dirty", "settings that are not its baseline")
    yield
    over = f"event=finding.over kind=vf-dirty subject={vf}"
    eventually(lambda: over in ward.node.log(), f"{vf} is clean", seconds=RECONCILED_S, every=LOOK_AGAIN_S)
    assert ward.row(vf)["state"] == "free"
    assert vlan_of(held(ward.node, vf)) == 0
    assert told.times() == 1


def settings_changed_by_hand_are_set_again(ward: Ward) -> Iterator[None]:
    patient = ward.patient()
    index = ward.row(patient.vf)["vf"]

    ward.run(f"ip link set {ward.pf.name} vf {index} mac 02:00:00:00:00:99 vlan 77")

    patient.await_told("settings-changed")
    (told,) = patient.told("settings-changed")
    assert "vlan is 77" in told
    assert "mac is 02:00:00:00:00:99" in told

    def settings() -> tuple[str, int]:
        now = held(ward.node, patient.vf)
        return now["address"], vlan_of(now)

    wanted = (patient.port["mac_address"], VLAN)
    eventually(lambda: settings() == wanted, f"{patient.vf} is as it was", every=LOOK_AGAIN_S)
    patient.container.remove()
    patient.await_freed()
    yield


def a_port_deleted_beneath_its_container_takes_the_vf_with_it(ward: Ward) -> Iterator[None]:
    patient = ward.patient()

    ward.stage.neutron.delete("port", patient.port["id"])

    patient.await_told("port-deleted")
    patient.await_loss()
    patient.container.remove()
    yield


def a_port_bound_elsewhere_is_given_up_and_left_to_its_new_owner(ward: Ward) -> Iterator[None]:
    patient = ward.patient()
    theirs = {"binding:host_id": "elsewhere", "device_id": "a-machine", "device_owner": "compute:nova"}

    ward.stage.neutron.update("port", patient.port["id"], **theirs)

    patient.await_told("port-taken")
    patient.await_loss()
    patient.container.remove()
    now = ward.stage.now(patient.port)
    assert {key: now[key] for key in theirs} == theirs
    ward.stage.neutron.update("port", patient.port["id"], **dict.fromkeys(theirs, ""))
    yield


def an_interface_renamed_in_its_container_comes_home_all_the_same(ward: Ward) -> Iterator[None]:
    patient = ward.patient("--cap-add NET_ADMIN")
    patient.container.run("ip link set eth0 down; ip link set eth0 name wild0")

    patient.container.remove()

    patient.await_freed()
    assert ward.row(patient.vf)["state"] == "free"
    assert not ward.node.guest.run("ip link show wild0", check=False).stdout
    yield


def a_container_killed_by_its_first_process_gives_everything_back(ward: Ward) -> Iterator[None]:
    patient = ward.patient()

    ward.run(f"kill -9 {patient.container.init}")

    patient.await_freed()
    assert ward.row(patient.vf)["state"] == "free"
    yield


def a_vf_is_fetched_from_a_namespace_that_outlives_its_container(ward: Ward) -> Iterator[None]:
    patient = ward.patient("--cap-add NET_ADMIN")
    # Docker finds no interface of that name to bring home, and the namespace does not end for the kernel to do it.
    patient.container.run("ip link set eth0 down; ip link set eth0 name wild1")
    init = patient.container.init
    pin = ward.run(f"nsenter --net=/proc/{init}/ns/net sleep 1000 < /dev/null > /dev/null 2>&1 & echo $!").strip()

    ward.run(f"kill -9 {init}")

    patient.await_freed()
    assert ward.row(patient.vf)["state"] == "free"
    assert "wild1" not in ward.run(f"nsenter --net=/proc/{pin}/ns/net ip link show")
    ward.run(f"kill {pin}")
    yield


def vfs_bound_to_another_driver_by_hand_are_told_of_and_left_alone(ward: Ward) -> Iterator[None]:
    patient, free = ward.patient(), ward.spare_vf()
    told = Telling(node=ward.node, kind="vf-taken", subject=free)

    for vf in (patient.vf, free):
        ward.bind_by_hand(vf, VFIO)

    patient.await_told("device-taken")
    patient.await_status("DOWN")
    assert (ward.row(patient.vf)["state"], ward.row(patient.vf)["driver"]) == ("leased", VFIO)
    eventually(lambda: told.times() == 1, f"{free} is told of", every=LOOK_AGAIN_S)
    assert ward.row(free)["state"] == "taken"
    assert VFIO in ward.row(free)["reason"]
    patient.container.remove()
    patient.await_freed()
    assert (ward.row(patient.vf)["state"], ward.row(patient.vf)["driver"]) == ("free", "igbvf")
    assert ward.row(free)["driver"] == VFIO
    ward.bind_by_hand(free, "")
    yield


def vfs_unmade_beneath_containers_are_free_again_when_they_are_made_again(ward: Ward) -> Iterator[None]:
    removed, kept = ward.patient(), ward.patient()

    ward.run(f"echo 0 > /sys/bus/pci/devices/{ward.pf.address}/sriov_numvfs")

    for patient in (removed, kept):
        patient.await_told("device-gone")
        patient.await_status("DOWN")
    removed.container.remove()
    removed.await_freed()
    ward.make_vfs()
    assert ward.row(kept.vf)["state"] == "leased"
    kept.container.remove()
    kept.await_freed()
    yield
    _await_all_free(ward)


def a_card_that_is_pulled_and_plugged_in_again_serves_again(ward: Ward) -> Iterator[None]:
    patient = ward.patient()

    ward.run(f"echo 1 > /sys/bus/pci/devices/{ward.pf.address}/remove")

    patient.await_told("device-gone")
    patient.await_status("DOWN")
    patient.container.remove()
    patient.await_freed()
    ward.run(f"echo 1 > /sys/bus/pci/rescan; until test -e /sys/class/net/{ward.pf.name}; do sleep 0.2; done")
    ward.make_vfs()
    _await_all_free(ward)
    ward.run(f"/usr/local/lib/mooring-lab/await-carrier {ward.pf.name}")
    ward.patient().container.remove()
    yield


def a_card_without_a_link_has_its_ports_down_until_it_is_back(ward: Ward) -> Iterator[None]:
    patient, free = ward.patient(), ward.spare_vf()
    told = Telling(node=ward.node, kind="card-sick", subject=ward.pf.address)

    ward.run(f"ip link set {ward.pf.name} down")

    patient.await_told("link-down")
    patient.await_status("DOWN")
    assert ward.row(free)["state"] == "pf-down"
    assert f"its PF {ward.pf.name} is down" in ward.row(free)["reason"]
    assert told.times() == 1
    ward.run(f"ip link set {ward.pf.name} up")
    patient.await_status("ACTIVE")
    assert ward.row(free)["state"] == "free"
    patient.container.remove()
    patient.await_freed()
    yield


# By node, and then by card; what troubles a whole host is done when the others on it begin.
WHOLE_HOST: tuple[Sequence[Sequence[Fault]], ...] = (
    (
        (),
        (
            a_guest_that_loses_its_power_has_everything_free_afterwards,
            containers_removed_while_mooring_is_stopped_with_its_socket,
        ),
    ),
    (
        (),
        (
            dockerd_killed_with_addresses_of_ours_asks_for_every_release,
            dockerd_killed_beneath_a_container_that_is_to_restart_gives_it_its_port_again_at_once,
            dockerd_killed_without_addresses_of_ours_says_nothing_and_loses_nothing,
        ),
    ),
)
ONE_CARD: tuple[Sequence[Sequence[Fault]], ...] = (
    (
        (
            vfs_bound_to_another_driver_by_hand_are_told_of_and_left_alone,
            vfs_unmade_beneath_containers_are_free_again_when_they_are_made_again,
        ),
        (
            a_free_vf_with_settings_by_hand_is_kept_back_and_cleaned_when_they_last,
            settings_changed_by_hand_are_set_again,
            an_interface_renamed_in_its_container_comes_home_all_the_same,
            a_container_killed_by_its_first_process_gives_everything_back,
        ),
    ),
    (
        (
            a_card_without_a_link_has_its_ports_down_until_it_is_back,
            a_card_that_is_pulled_and_plugged_in_again_serves_again,
        ),
        (
            a_port_deleted_beneath_its_container_takes_the_vf_with_it,
            a_port_bound_elsewhere_is_given_up_and_left_to_its_new_owner,
            a_vf_is_fetched_from_a_namespace_that_outlives_its_container,
        ),
    ),
)
# A host takes minutes over its own troubles, one after the other.
FAULTS = [
    pytest.param(fault, marks=[pytest.mark.long] if plan is WHOLE_HOST else [])
    for plan in (WHOLE_HOST, ONE_CARD)
    for cards in plan
    for faults in cards
    for fault in faults
]
Outcomes = dict[Fault, Future[None]]


@pytest.fixture(scope="module", name="outcomes")
def _outcomes(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """Make all faults that were selected; what became of each is known when its future is."""
    tests = [item for item in request.session.items if item.name.startswith(test_nothing_is_lost.__name__)]
    outcomes: Outcomes = {test.callspec.params["fault"]: Future() for test in tests}
    networks = [_network(stage, pf.physical_network) for pf in stage.nodes[ONE].guest.state.pfs]

    def trouble(number: int) -> None:
        node = stage.nodes[number]
        with ThreadPoolExecutor() as threads:
            wards = [
                Ward(stage=stage, node=node, pf=pf, network=network, docker_network=stage.null_network(node, network))
                for pf, network in zip(node.guest.state.pfs, networks, strict=True)
            ]
            for faults, ward in zip(WHOLE_HOST[number], wards, strict=True):
                _make(faults, ward, outcomes, threads)
            cards = zip(ONE_CARD[number], wards, strict=True)
            for card in [threads.submit(_make, faults, ward, outcomes, threads) for faults, ward in cards]:
                card.result()

    with ThreadPoolExecutor() as hosts:
        troubled = [hosts.submit(trouble, number) for number in (ONE, TWO)]
        yield outcomes
        for host in troubled:
            host.result()
    stage.clear()
    stage.await_nothing_left(seconds=RECONCILED_S)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_is_lost(outcomes: Outcomes, fault: Fault) -> None:
    outcomes[fault].result()


def _network(stage: Stage, physical_network: str) -> Resource:
    network = stage.network(physical_network=physical_network, vlan=VLAN, cidr=None)
    # Docker makes one call less for a container without a gateway: 15 seconds less where nobody answers.
    stage.neutron.create_subnet(network["id"], CIDR, gateway_ip=None, allocation_pools=[allocated(CIDR)])
    return network


def _make(faults: Sequence[Fault], ward: Ward, outcomes: Outcomes, waiting: ThreadPoolExecutor) -> None:
    """Make faults one after the other on a card; what they only wait for, they wait for beside the next."""
    for fault in filter(outcomes.__contains__, faults):
        course = fault(ward)
        try:
            next(course)
        except BaseException as exc:  # noqa: BLE001 - told in the thread of the fault's test
            outcomes[fault].set_exception(exc)
        else:
            waiting.submit(_finish, course, outcomes[fault])


def _finish(course: Iterator[None], outcome: Future[None]) -> None:
    try:
        for _ in course:
            pass
    except BaseException as exc:  # noqa: BLE001 - told in the thread of the fault's test
        outcome.set_exception(exc)
    else:
        outcome.set_result(None)


def _kill_dockerd(ward: Ward) -> None:
    """Kill dockerd, and return when the one that systemd starts in its place answers."""
    ward.run("kill -9 $(systemctl show --property MainPID --value docker.service)")
    ward.run("until docker version > /dev/null 2>&1; do sleep 0.5; done")


def _await_all_free(ward: Ward) -> None:
    def are_free() -> bool:
        mine = {name: number for name, number in metrics(ward.node).items() if f'pf="{ward.pf.address}"' in name}
        return sum(mine.values()) == sum(number for name, number in mine.items() if 'state="free"' in name) > 0

    eventually(are_free, f"the VFs of {ward.pf.name} are free", seconds=RECONCILED_S, every=LOOK_AGAIN_S)
