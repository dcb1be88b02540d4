"""From configuration files to what a controller, and a node of the container service, are told."""

from __future__ import annotations

import re
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from mooring.config.load import load, load_all_in_one, load_controller
from mooring.controller.scheduler.names import DEFAULT_FILTERS
from mooring.errors import InvalidConfiguration
from mooring.pci.requests import DeviceKind

SPEC = '[pci]\ndevice_spec = {"devname": "ens1", "physical_network": "physnet1"}\n'
NEUTRON = "[neutron]\ntransport_url = rabbit://\nauth_type = none\nendpoint_override = http://n:9696\n"
BUS = "[DEFAULT]\ntransport_url = rabbit://u:p@h:5672/mooring\n"
NOAUTH = "[api]\nauth_strategy = noauth\n"
LOCAL = BUS + NOAUTH + NEUTRON
KEYSTONE = "[keystone_authtoken]\nauth_type = password\nauth_url = http://k\nusername = mooring\npassword = s3cret\n"
ALIAS = '[pci]\nalias = {"name": "qat", "vendor_id": "8086", "product_id": "37c9", "device_type": "type-VF"}\n'
ZUNS = "zun.scheduler.filters."

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "mooring.conf") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def refusal(*files: Path) -> str:
    with pytest.raises(InvalidConfiguration) as refused:
        load_controller(files)
    return str(refused.value)


def test_a_bus_and_a_way_to_know_users_are_enough_for_a_controller(write: Write) -> None:
    settings = load_controller([write(BUS + KEYSTONE + NEUTRON)]).settings

    assert settings.api_address == ("127.0.0.1", 9517)
    assert settings.authentication == "keystone"
    assert settings.database_url == "sqlite:////var/lib/mooring/service.sqlite"
    assert settings.transport_url == "rabbit://u:p@h:5672/mooring"
    assert settings.scheduler.filters == DEFAULT_FILTERS
    assert settings.scheduler.multipliers == {"spread": 1.0, "sparing": 1.0, "locality": 1.0}
    assert settings.quotas == {"containers": 40, "cpu": 20, "memory": 51200, "disk": 100}
    assert (settings.unique_names, settings.default_vnic_type) == ("", "normal")
    assert settings.silent_s == 180


def test_keystonemiddleware_is_told_what_the_file_says_by_its_own_names_as_text(write: Write) -> None:
    more = "www_authenticate_uri = http://k\nmemcached_servers = a:1,b:2\ntoken_cache_time = 60\nuser_domain_name = D\n"

    settings = load_controller([write(BUS + KEYSTONE + more + NEUTRON)]).settings

    assert settings.keystone_authtoken == {
        "auth_type": "password",
        "auth_url": "http://k",
        "username": "mooring",
        "password": "s3cret",
        "user_domain_name": "D",
        "www_authenticate_uri": "http://k",
        "memcached_servers": "a:1,b:2",
        "token_cache_time": "60",
    }
    assert "s3cret" not in repr(settings)
    assert "u:p" not in repr(settings)


def test_neutron_may_use_the_account_that_checks_tokens(write: Write) -> None:
    text = BUS + KEYSTONE + "[neutron]\nauth_section = keystone_authtoken\n"

    settings = load_controller([write(text)]).settings

    assert settings.neutron.auth_type == "password"
    assert settings.neutron.auth_options["username"] == "mooring"
    assert settings.keystone_authtoken["username"] == "mooring"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "controller"])
def test_without_authentication_nobody_from_elsewhere_is_listened_to(write: Write, host: str) -> None:
    message = refusal(write(LOCAL.replace("noauth", f"noauth\nhost_ip = {host}")))

    assert f"[api] host_ip = {host}: with auth_strategy = noauth" in message
    assert "listen on 127.0.0.1, or set auth_strategy = keystone" in message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_without_authentication_this_machine_is_served_and_the_operator_told(write: Write, host: str) -> None:
    loaded = load_controller([write(LOCAL.replace("noauth", f"noauth\nhost_ip = {host}"))])

    assert loaded.settings.api_address == (host, 9517)
    assert [warning.split(":")[0] for warning in loaded.warnings] == ["[api] auth_strategy = noauth"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NOAUTH + NEUTRON, "[DEFAULT] transport_url is not set, so no node could be told anything; write"),
        (BUS + NEUTRON, "[keystone_authtoken] auth_type is not set; write auth_type = password"),
        (BUS + KEYSTONE + "usrname = x\n", "[keystone_authtoken] usrname: unknown option; did you mean username?"),
        (LOCAL + "[scheduler]\nenabled_filters = PciPasthroughFilter\n", "did you mean PciPassthroughFilter?"),
        (LOCAL + "[scheduler]\nenabled_filters = mine.ComputeFilter\n", "no filter is named mine.ComputeFilter"),
        (LOCAL + "[scheduler]\nspread_multiplier = 1\n", "did you mean spread_weight_multiplier?"),
        (LOCAL + ALIAS.replace("type-VF", "VFs"), "device_type 'VFs' is not known; did you mean VF?"),
        (LOCAL + ALIAS.replace("}", ""), "it is not JSON"),
        (LOCAL + "[quota]\nmemory = -2\n", "[quota] memory = -2: Should be greater than or equal to -1"),
        (LOCAL + "[compute]\nunique_container_name_scope = cloud\n", "Valid values are"),
        (LOCAL + "default_vnic_type = direct-physical\n", "[neutron] default_vnic_type = direct-physical"),
        (LOCAL + "[api]\nport = 0\n", "[api] port = 0"),
        (NOAUTH + NEUTRON + "[DEFAULT]\ntransport_url = rabbit://u:s3cret/@h/m\n", "[DEFAULT] transport_url: it is"),
    ],
)
def test_what_a_controller_cannot_use_is_refused_by_file_and_option_without_secrets(
    write: Write, text: str, words: str
) -> None:
    path = write(text)

    with pytest.raises(InvalidConfiguration) as refused:
        load_controller([path])

    assert str(path) in str(refused.value)
    assert words in str(refused.value)
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "written",
    [
        "ComputeFilter, PciPassthroughFilter",
        f"{ZUNS}compute_filter.ComputeFilter, {ZUNS}pci_passthrough_filter.PciPassthroughFilter",
    ],
)
def test_filters_go_by_zuns_names_short_and_dotted(write: Write, written: str) -> None:
    settings = load_controller([write(LOCAL + f"[scheduler]\nenabled_filters = {written}\n")]).settings

    assert settings.scheduler.filters == ("ComputeFilter", "PciPassthroughFilter")


def test_a_node_belongs_to_the_service_when_it_is_told_of_the_bus_and_serves_docker_without(write: Write) -> None:
    alone = load([write(SPEC + NEUTRON)]).settings
    within = load([write(SPEC + BUS + "availability_zone = north\nhost_labels = rack:7,disk:ssd\n" + NEUTRON)]).settings

    assert alone.service is None
    assert within.service is not None
    assert within.service.transport_url == "rabbit://u:p@h:5672/mooring"
    assert within.service.availability_zone == "north"
    assert within.service.labels == {"rack": "7", "disk": "ssd"}
    assert "u:p" not in repr(within)


def test_what_has_no_effect_as_things_are_is_told(write: Write) -> None:
    path = write(LOCAL + KEYSTONE + "[scheduler]\nenabled_filters = RamFilter\ncpu_allocation_ratio = 2\n")
    path.write_text(path.read_text() + ALIAS.replace("type-VF", "type-PF"))
    alone = write(SPEC + NEUTRON + "[DEFAULT]\nhost_labels = rack:7\n", "alone.conf")

    said = "\n".join(load_controller([path]).warnings)

    assert "[scheduler] cpu_allocation_ratio has no effect: [scheduler] enabled_filters lacks CPUFilter" in said
    assert "[keystone_authtoken] has no effect for users" in said
    assert "[pci] alias qat serves nobody: a PF comes" in said
    assert "[DEFAULT] host_labels has no effect" in "\n".join(load([alone]).warnings)


def test_one_file_serves_a_node_and_a_controller(write: Write) -> None:
    path = write(LOCAL + SPEC + "[database]\nconnection = postgresql+psycopg://u:p@h/m\n")

    assert load([path]).warnings == ()
    assert load_controller([path]).settings.database_url == "postgresql+psycopg://u:p@h/m"


def test_all_in_one_needs_no_bus_no_keystone_and_no_database(write: Write, tmp_path: Path) -> None:
    path = write(SPEC + NEUTRON + f"[DEFAULT]\nstate_dir = {tmp_path}\n")

    settings = load_all_in_one([path]).settings

    assert settings.controller.authentication == "noauth"
    assert settings.controller.database_url == f"sqlite:///{tmp_path}/service.sqlite"
    assert settings.controller.transport_url == "fake://"
    assert settings.node.service is not None
    assert settings.node.service.transport_url == "fake://"


def test_all_in_one_takes_a_bus_and_keystone_where_it_is_told_of_them(write: Write) -> None:
    settings = load_all_in_one([write(BUS + KEYSTONE + "[api]\nauth_strategy = keystone\n" + SPEC + NEUTRON)]).settings

    assert settings.controller.authentication == "keystone"
    assert settings.node.service is not None
    assert settings.node.service.transport_url == settings.controller.transport_url == "rabbit://u:p@h:5672/mooring"


def test_the_files_of_the_services_guide_load_for_a_controller_and_for_a_host(write: Write) -> None:
    text = (Path(__file__).parents[2] / "docs" / "service.md").read_text()
    controller, host = (textwrap.dedent(block) for block in re.findall(r"```ini\n(.*?)```", text, flags=re.DOTALL))

    loaded = load_controller([write(controller)])
    node = load([write(SPEC + NEUTRON), write(host, "more.conf")])

    assert loaded.warnings == ()
    assert loaded.settings.api_address == ("0.0.0.0", 9517)
    assert loaded.settings.neutron.auth_options["username"] == "mooring"
    assert node.warnings == ()
    assert node.settings.service is not None
    assert node.settings.service.transport_url == loaded.settings.transport_url


ZUN = """
[DEFAULT]
transport_url = rabbit://zun:zun@elsewhere/
log_file = zun.log
state_path = /var/lib/zun
[pci]
passthrough_whitelist = {"address": {"bus": "0a$"}, "physical_network": "physnet9"}
alias = {"name": "nic", "vendor_id": "8086", "product_id": "154c", "device_type": "VF"}
[scheduler]
available_filters = zun.scheduler.filters.all_filters
enabled_filters = ComputeFilter,PciPassthroughFilter
[keystone_authtoken]
auth_type = nonsense
"""


@pytest.mark.parametrize("place", ["zun.conf", "zun/zun.conf"])
def test_what_a_cloud_told_zun_of_devices_is_taken_over_and_nothing_else(
    write: Write, tmp_path: Path, place: str
) -> None:
    (tmp_path / "zun").mkdir()
    usual = (write(ZUN, place), write(LOCAL))

    node = load(default_files=usual)
    controller = load_controller(default_files=usual)

    assert [spec.physical_network for spec in node.settings.device_specs] == ["physnet9"]
    assert node.warnings == ()
    assert controller.settings.aliases["nic"].kind is DeviceKind.VF
    assert controller.settings.scheduler.filters == ("ComputeFilter", "PciPassthroughFilter")
    assert controller.settings.transport_url == "rabbit://u:p@h:5672/mooring"


def test_what_moorings_own_file_says_wins_over_zuns(write: Write) -> None:
    own = LOCAL + SPEC + ALIAS.removeprefix("[pci]\n") + "[scheduler]\nenabled_filters = RamFilter\n"
    usual = (write(ZUN, "zun.conf"), write(own))

    assert [spec.physical_network for spec in load(default_files=usual).settings.device_specs] == ["physnet1"]
    controller = load_controller(default_files=usual).settings
    assert set(controller.aliases) == {"qat"}
    assert controller.scheduler.filters == ("RamFilter",)


def test_what_is_wrong_in_zuns_file_names_it(write: Write) -> None:
    path = write(ZUN.replace("PciPassthroughFilter", "PciFilter"), "zun.conf")

    assert f"{path}, " in refusal(path, write(LOCAL))
