"""The driver names of kuryr.conf."""

import pytest

from mooring.config.legacy import check_binding_drivers, choose_port_drivers
from mooring.errors import InvalidConfiguration

KURYR = "kuryr_libnetwork.port_driver.drivers."
EVERY = ("macvtap", "physical", "sriov", "veth")


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (["sriov"], ("sriov",)),
        ([KURYR + "veth", KURYR + "sriov"], ("veth", "sriov", "macvtap", "physical")),
        ([KURYR + "sriov", "sriov", "physical"], ("sriov", "macvtap", "physical")),
    ],
)
def test_kuryrs_sriov_driver_stands_for_all_that_it_served(written: list[str], names: tuple[str, ...]) -> None:
    assert choose_port_drivers(written, EVERY) == names


@pytest.mark.parametrize("name", ["bond", "vlan"])
def test_a_driver_from_elsewhere_goes_by_its_own_name(name: str) -> None:
    assert choose_port_drivers([name], [*EVERY, name]) == (name,)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (["sriow"], "unknown driver sriow; did you mean sriov?"),
        ([KURYR + "ovs"], f"unknown driver {KURYR}ovs; known are macvtap, physical, sriov, veth"),
        ([KURYR + "nested", "sriov"], "nested serves containers inside virtual machines"),
        (["vlan", "sriov"], "vlan serves containers inside virtual machines"),
        ([], "is empty, so no port could be served; write one or more of macvtap, physical, sriov, veth"),
    ],
)
def test_a_driver_that_cannot_be_is_refused(written: list[str], words: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        choose_port_drivers(written, EVERY)

    assert words in str(refused.value)


@pytest.mark.parametrize("written", [None, ["hw_veb"], ["kuryr.lib.binding.drivers.veth", "hw_veb"]])
def test_binding_drivers_are_unset_or_name_hw_veb(written: list[str] | None) -> None:
    assert check_binding_drivers(written, ["sriov"]) == ()


def test_without_sriov_hw_veb_is_not_asked_for() -> None:
    assert check_binding_drivers(["veth"], ["veth"]) == ()


@pytest.mark.parametrize("port_driver", ["sriov", "macvtap", "physical"])
def test_with_sriov_in_any_form_it_is(port_driver: str) -> None:
    with pytest.raises(InvalidConfiguration, match="lacks hw_veb"):
        check_binding_drivers(["veth"], ["veth", port_driver])


def test_binding_drivers_for_virtual_machines_are_warned_of() -> None:
    (warning,) = check_binding_drivers(["hw_veb", "kuryr.lib.binding.drivers.macvlan", "macvlan"], ["sriov"])

    assert warning == "[binding] enabled_drivers: macvlan serves containers inside virtual machines and is ignored"


def test_an_unknown_binding_driver_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match=r"unknown driver hw_web; did you mean hw_veb\?"):
        check_binding_drivers(["hw_web"], ["sriov"])
