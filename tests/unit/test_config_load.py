"""From configuration files to settings."""

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from mooring.config.load import load
from mooring.errors import InvalidConfiguration

SPEC = '[pci]\ndevice_spec = {"devname": "ens1", "physical_network": "physnet1"}\n'
BUS = "[neutron]\ntransport_url = rabbit://u:p@h:5672/\n"
MINIMAL = SPEC + BUS

GUIDE = """
[DEFAULT]
enabled_port_drivers = kuryr_libnetwork.port_driver.drivers.veth, kuryr_libnetwork.port_driver.drivers.sriov

[binding]
enabled_drivers = kuryr.lib.binding.drivers.veth, kuryr.lib.binding.drivers.hw_veb
"""

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
        load(files)
    return str(refused.value)


def test_a_device_spec_and_the_bus_are_enough(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node1")

    loaded = load([write(MINIMAL)])

    assert loaded.warnings == ()
    assert loaded.settings.host == "node1"
    assert loaded.settings.state_dir == Path("/var/lib/mooring")
    assert loaded.settings.plugin_socket == Path("/run/docker/plugins/kuryr.sock")
    assert loaded.settings.docker_url == "unix:///var/run/docker.sock"
    assert loaded.settings.metrics_address == ("127.0.0.1", 9709)
    assert loaded.settings.port_drivers == ("sriov",)
    assert [spec.physical_network for spec in loaded.settings.device_specs] == ["physnet1"]


@pytest.mark.parametrize(
    ("written", "address"),
    [("", None), ("10.0.0.1:80", ("10.0.0.1", 80)), ("[::1]:9709", ("::1", 9709)), ("localhost:1", ("localhost", 1))],
)
def test_metrics_may_be_read_where_the_file_says_or_nowhere(
    write: Write, written: str, address: tuple[str, int] | None
) -> None:
    loaded = load([write(MINIMAL + f"[DEFAULT]\nmetrics_address = {written}\n")])

    assert loaded.settings.metrics_address == address


def test_the_guides_snippet_enables_sriov(write: Write) -> None:
    loaded = load([write(GUIDE, "kuryr.conf"), write(MINIMAL)])

    assert "sriov" in loaded.settings.port_drivers
    assert not [warning for warning in loaded.warnings if "enabled_drivers" in warning]


def test_mooring_conf_wins_over_kuryr_conf_and_either_may_be_absent(write: Write, tmp_path: Path) -> None:
    kuryr = write(MINIMAL + "[DEFAULT]\nhost = kuryr\ndebug = True\n", "kuryr.conf")
    usual = (kuryr, tmp_path / "mooring.conf")

    assert load(default_files=usual).settings.host == "kuryr"

    write("[DEFAULT]\nhost = mooring\n")
    both = load(default_files=usual).settings
    assert (both.host, both.debug) == ("mooring", True)


def test_files_named_on_the_command_line_replace_the_usual_ones(write: Write) -> None:
    usual = (write("[DEFAULT]\nnot = read\n", "kuryr.conf"),)
    first = write(MINIMAL + "[DEFAULT]\nhost = first\n", "first.conf")
    second = write("[DEFAULT]\nhost = second\n", "second.conf")

    assert load([first, second], default_files=usual).settings.host == "second"


def test_without_any_file_the_one_to_write_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"there is no .*/mooring\.conf; write it"):
        load(default_files=[tmp_path / "kuryr.conf", tmp_path / "mooring.conf"])


def test_a_named_file_that_is_absent_is_an_error(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.conf").endswith("absent.conf cannot be read: No such file or directory")


def test_the_environment_changes_nothing(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_DEFAULT__HOST", "elsewhere")

    assert load([write(MINIMAL + "[DEFAULT]\nhost = here\n")]).settings.host == "here"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[DEFAULT]\nhosts = a\n", "mooring.conf: [DEFAULT] hosts: unknown option; did you mean host?"),
        ("[pci]\ndevice_specs = {}\n", "[pci] device_specs: unknown option; did you mean device_spec?"),
        ("[pci]\nqqq = 1\n", "[pci] qqq: unknown option; known are alias, device_spec, passthrough_whitelist"),
        ("[neutron]\nauth_uri = x\n", "[neutron] auth_uri: unknown option; did you mean auth_url?"),
        ("[neutron]\nauth-url = x\n", "[neutron] auth-url: unknown option; did you mean auth_url?"),
        ("[neutrom]\n", "mooring.conf: unknown section [neutrom]; did you mean neutron?"),
        ("[DEFAULT]\nconfig_source = x\n", "[DEFAULT] config_source: unknown option"),
        ("[DEFAULT]\ndebug = maybe\n", "[DEFAULT] debug = maybe: Unexpected boolean value 'maybe'"),
        ("[DEFAULT]\nstate_dir = state\n", "[DEFAULT] state_dir = state:"),
        ("[DEFAULT]\ndocker_url = tcp://10.0.0.1:2375\n", "[DEFAULT] docker_url = tcp://10.0.0.1:2375:"),
        ("[DEFAULT]\nmetrics_address = 9709\n", "[DEFAULT] metrics_address = 9709: it is not address:port; write,"),
        ("[DEFAULT]\nmetrics_address = ::1:9709\n", "[DEFAULT] metrics_address = ::1:9709: it is not address:port"),
        ("[DEFAULT]\nmetrics_address = a:65536\n", "[DEFAULT] metrics_address = a:65536: it is not address:port"),
        ("[DEFAULT]\ncapability_scope = swarm\n", "Valid values are [local, global], but found 'swarm'"),
        ("[binding]\nveth_dst_prefix = interface-name\n", "[binding] veth_dst_prefix = interface-name:"),
        ("[neutron]\ntimeout = 0\n", "[neutron] timeout = 0: Should be greater than or equal to 0.1"),
        ("[neutron]\nvif_plugging_timeout = soon\n", "[neutron] vif_plugging_timeout = soon: invalid literal"),
        ("[neutron]\nauth_type = passwrd\n", "[neutron] auth_type = passwrd: there is no such plugin; known: "),
        ("[neutron]\nregion_name = $nowhere\n", "[neutron] region_name = $nowhere: what $ refers to"),
        ("[neutron]\nvif_plugging_timeout = $host\n[DEFAULT]\nhost = a\n", "write $$ for a dollar sign"),
        ("[neutron]\nregion_name = $region_name\n", "[neutron] region_name = $region_name: what $ refers to"),
        ("host = a\n", "Section must be started before assignment"),
        ("[DEFAULT\n", "is not a configuration file"),
    ],
)
def test_what_nobody_would_read_is_refused_with_its_place_and_a_remedy(write: Write, text: str, words: str) -> None:
    message = refusal(write(text), write(MINIMAL, "rest.conf"))

    assert "mooring.conf" in message
    assert words in message


HIDDEN = "s3cret"
NEUTRON = SPEC + "[neutron]\nauth_type = password\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (NEUTRON + "password = {hidden}$word\n", "[neutron] password"),
        (NEUTRON + "password = $password{hidden}\n", "[neutron] password"),
        (NEUTRON + "password {hidden}\n", "line 5"),
        (SPEC + "[neutron]\nauth_type = password\n password = {hidden}\n", "[neutron] auth_type"),
        ("password = {hidden}\n", "line 1"),
        (NEUTRON + "password = {hidden}\ntimeout = $password\n", "[neutron] timeout"),
        (NEUTRON + "auth_section = keys\n[keys]\nauth_type = password\npassword = {hidden}$word\n", "[keys] password"),
        (NEUTRON + "transport_url = rabbit://u:{hidden}$word@h:5672/\n", "[neutron] transport_url"),
        (NEUTRON + "transport_url = rabbit://u:{hidden}/{hidden}@h:5672/\n", "[neutron] transport_url"),
        (NEUTRON + "transport_url = rabbit://u:1/{hidden}@h:5672/\n", "[neutron] transport_url"),
        (NEUTRON + "transport_url = rabbit://u:{hidden}?@h:5672/\n", "[neutron] transport_url"),
        (NEUTRON + "transport_url = rabbit://u:{hidden}@h:port/\n", "[neutron] transport_url"),
        (NEUTRON + "transport_url = rabbit://u:{hidden}@[::1/\n", "[neutron] transport_url"),
        (NEUTRON + "transport_url = {hidden}\n", "[neutron] transport_url"),
    ],
)
def test_a_refusal_names_the_place_and_never_a_secret(write: Write, text: str, place: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        load([write(text.replace("{hidden}", HIDDEN))])

    assert place in str(refused.value)
    assert "mooring.conf" in str(refused.value)
    assert HIDDEN not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "url",
    [
        "rabbit://",
        "rabbit://user:pass%2Fword@h:5672/",
        "rabbit://u:p@h1:5672,u:p@[::1]:5672/vhost?ssl=1",
        "kombu+memory:///",
    ],
)
def test_a_transport_url_that_the_bus_can_read_is_taken_as_written(write: Write, url: str) -> None:
    assert load([write(SPEC + f"[neutron]\ntransport_url = {url}\n")]).settings.neutron.transport_url == url


def test_a_file_that_is_not_text_is_refused(write: Write) -> None:
    path = write("")
    path.write_bytes(b"[DEFAULT]\nhost = \xff\n")

    assert "is not a configuration file" in refusal(path)


@pytest.mark.parametrize("text", ["", "[pci]\n", "[pci]\ndevice_spec = []\n"])
def test_an_empty_device_spec_is_refused_with_an_example(write: Write, text: str) -> None:
    assert 'write, for example, device_spec = {"devname": "enp59s0f0"' in refusal(write(text))


def test_a_bad_device_spec_is_refused_by_name(write: Write) -> None:
    message = refusal(write('[pci]\ndevice_spec = {"vendor": "8086"}\n'))

    assert 'mooring.conf: [pci] device_spec {"vendor": "8086"}: ' in message
    assert "did you mean vendor_id" in message


def test_device_specs_may_repeat_span_lines_and_bear_zuns_name(write: Write) -> None:
    text = """
[pci]
passthrough_whitelist = {"devname": "c"}
device_spec = [{"devname": "a"},
    {"devname": "b"}]
device_spec = {"address": {"bus": "0a$"}}
"""
    specs = load([write(text)]).settings.device_specs

    assert [spec.devname for spec in specs] == ["a", "b", None, "c"]


def test_a_device_spec_without_physical_network_is_warned_of(write: Write) -> None:
    loaded = load([write(BUS + '[pci]\ndevice_spec = {"devname": "a"}\n')])

    assert loaded.warnings == ('[pci] device_spec {"devname": "a"} has no physical_network: its devices serve no port',)


def test_without_the_bus_it_is_said_that_ports_stay_down(write: Write) -> None:
    assert load([write(SPEC)]).warnings == (
        "[neutron] transport_url is empty: Neutron is not told of devices, and ports stay DOWN",
    )


def test_each_option_that_lost_its_meaning_is_warned_of_once(write: Write) -> None:
    legacy = "[DEFAULT]\nkuryr_uri = http://0.0.0.0:23750\nkuryr_uri = x\nlog-file = y\n[binding]\nlink_iface = eth0\n"

    warnings = load([write(legacy, "kuryr.conf"), write(MINIMAL + legacy)]).warnings

    assert [warning.split(":")[1].split(" is ")[0].strip() for warning in warnings] == [
        "[DEFAULT] kuryr_uri",
        "[DEFAULT] log-file",
        "[binding] link_iface",
    ]


def test_what_kuryr_conf_says_with_meaning_is_used(write: Write) -> None:
    kuryr = """
[DEFAULT]
capability_scope = global
subnetpool_name_prefix = pool
local_default_address_space = near
global_default_address_space = far
[neutron]
enable_dhcp = False
default_subnetpool_v4 = four
default_subnetpool_v6 = six
vif_plugging_is_fatal = True
vif_plugging_timeout = 30
endpoint_type = internal
region_name = north
[binding]
veth_dst_prefix = net
"""
    settings = load([write(kuryr, "kuryr.conf"), write(MINIMAL)]).settings

    assert settings.libnetwork.capability_scope == "global"
    assert settings.libnetwork.local_address_space == "near"
    assert settings.libnetwork.global_address_space == "far"
    assert settings.libnetwork.subnetpool_prefix == "pool"
    assert settings.libnetwork.enable_dhcp is False
    assert settings.libnetwork.default_pool_v4 == "four"
    assert settings.libnetwork.default_pool_v6 == "six"
    assert settings.libnetwork.interface_prefix == "net"
    assert settings.neutron.active_required is True
    assert settings.neutron.active_timeout_s == 30
    assert settings.neutron.interfaces == ("internal",)
    assert settings.neutron.region_name == "north"


def test_a_fatal_wait_of_no_length_is_warned_of(write: Write) -> None:
    (warning,) = load([write(MINIMAL + "vif_plugging_is_fatal = True\n")]).warnings

    assert "vif_plugging_is_fatal has no effect" in warning


def test_sriov_without_hw_veb_is_refused_with_the_remedy(write: Write) -> None:
    message = refusal(write(MINIMAL + "[binding]\nenabled_drivers = kuryr.lib.binding.drivers.veth\n"))

    assert "mooring.conf: [binding] enabled_drivers" in message
    assert "add kuryr.lib.binding.drivers.hw_veb to it, or remove the option" in message


def test_the_authentication_is_kept_by_its_plugins_names_and_never_shown(write: Write) -> None:
    auth = (
        "auth_type = password\nauth_url = http://k\nuser-name = neutron\ntenant_name = service\npassword = pa$$word\n"
    )

    neutron = load([write(MINIMAL + auth)]).settings.neutron

    assert neutron.auth_type == "password"
    assert neutron.auth_options == {
        "auth_url": "http://k",
        "username": "neutron",
        "project_name": "service",
        "password": "pa$word",
    }
    assert "pa$word" not in repr(neutron)
    assert "rabbit" not in repr(neutron)


def test_the_authentication_may_stand_in_another_section(write: Write) -> None:
    text = MINIMAL + "auth_section = Service\n[service]\nauth_type = none\nendpoint = http://n:9696\n"

    neutron = load([write(text)]).settings.neutron

    assert neutron.auth_type == "none"
    assert neutron.auth_options == {"endpoint": "http://n:9696"}


def test_the_options_of_another_auth_type_are_unknown(write: Write) -> None:
    assert "[neutron] username: unknown option" in refusal(write(MINIMAL + "auth_type = none\nusername = neutron\n"))
