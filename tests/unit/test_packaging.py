"""What is installed beside the program fits what the program expects."""

from __future__ import annotations

from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path

import pytest

from mooring.config.options import own_options

SYSTEMD = Path(__file__).parents[2] / "packaging" / "systemd"


def unit(name: str) -> Mapping[str, Mapping[str, str]]:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((SYSTEMD / name).read_text())
    return parser


def default(name: str) -> str:
    (option,) = (option for _, options in own_options() for option in options if option.dest == name)
    return str(option.default)


def test_systemd_listens_where_the_daemon_expects_it_for_root_alone() -> None:
    listening = unit("mooring-node.socket")["Socket"]

    assert listening["ListenStream"] == default("plugin_socket")
    assert listening["SocketMode"] == "0600"


@pytest.mark.parametrize("name", ["mooring-node.socket", "mooring-node.service"])
def test_docker_starts_after_what_it_will_ask(name: str) -> None:
    assert unit(name)["Unit"]["Before"] == "docker.service"


def test_the_daemon_comes_back_and_never_takes_the_socket_with_it() -> None:
    service = unit("mooring-node.service")

    assert (service["Service"]["Type"], service["Service"]["Restart"]) == ("notify", "always")
    assert service["Unit"]["Requires"] == "mooring-node.socket"
    assert "PartOf" not in unit("mooring-node.socket")["Unit"]
    assert f"/var/lib/{service['Service']['StateDirectory']}" == default("state_dir")


def test_a_controller_comes_back_is_not_root_and_keeps_its_database_where_it_may() -> None:
    service = unit("mooring-controller.service")["Service"]

    assert (service["Type"], service["Restart"], service["User"]) == ("notify", "always", "mooring")
    assert f"/var/lib/{service['StateDirectory']}" == default("state_dir")
