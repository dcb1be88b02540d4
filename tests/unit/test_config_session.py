"""The authenticated way to Neutron."""

import pytest

from mooring.config.session import neutron_session
from mooring.config.settings import NeutronSettings
from mooring.errors import InvalidConfiguration


def test_an_adapter_asks_nobody_until_it_is_used_and_then_waits_no_longer_than_told() -> None:
    adapter = neutron_session(
        NeutronSettings(
            auth_type="password",
            auth_options={"auth_url": "http://127.0.0.1:9", "username": "neutron", "password": "secret"},
            timeout_s=3.5,
            region_name="north",
            interfaces=("internal", "public"),
            cafile="/ca.pem",
        )
    )

    assert adapter.session.timeout == 3.5
    assert adapter.session.verify == "/ca.pem"
    assert (adapter.service_type, adapter.region_name, adapter.interface) == (
        "network",
        "north",
        ["internal", "public"],
    )


def test_without_a_catalogue_the_endpoint_is_the_one_given() -> None:
    adapter = neutron_session(NeutronSettings(auth_type="none", endpoint_override="http://127.0.0.1:29696"))

    assert adapter.get_endpoint() == "http://127.0.0.1:29696"


def test_a_client_certificate_goes_with_its_key() -> None:
    adapter = neutron_session(NeutronSettings(auth_type="none", certfile="/c.pem", keyfile="/k.pem", insecure=True))

    assert adapter.session.cert == ("/c.pem", "/k.pem")
    assert adapter.session.verify is False


def test_without_an_auth_type_the_ones_to_write_are_named() -> None:
    with pytest.raises(InvalidConfiguration, match="auth_type is not set; write auth_type = password"):
        neutron_session(NeutronSettings())


def test_authentication_that_lacks_an_option_names_it() -> None:
    with pytest.raises(InvalidConfiguration, match=r"auth_type = password: .*auth_url"):
        neutron_session(NeutronSettings(auth_type="password", auth_options={"username": "neutron"}))
