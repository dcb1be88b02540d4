"""The authenticated way to Neutron, made from the settings."""

from __future__ import annotations

from keystoneauth1 import exceptions, loading
from keystoneauth1.adapter import Adapter
from keystoneauth1.plugin import BaseAuthPlugin

import mooring
from mooring.config.settings import NeutronSettings
from mooring.errors import InvalidConfiguration


def neutron_session(settings: NeutronSettings) -> Adapter:
    """Return an adapter that authenticates at its first request; making it asks nobody.

    Each connection to Keystone and each answer of its is waited for at most ``timeout_s`` seconds (who calls Neutron
    says how long that may take), and nothing is retried. Raises InvalidConfiguration when the authentication options
    are not enough to begin with.
    """
    if settings.auth_type is None:
        raise InvalidConfiguration(
            "[neutron] auth_type is not set; write auth_type = password with auth_url, username, password, "
            "project_name and the two domains, or auth_type = none with endpoint_override"
        )
    try:
        auth: BaseAuthPlugin = loading.get_plugin_loader(settings.auth_type).load_from_options(**settings.auth_options)
    except exceptions.AuthPluginException as exc:
        raise InvalidConfiguration(f"[neutron] auth_type = {settings.auth_type}: {exc}") from exc
    session = loading.session.Session().load_from_options(
        auth=auth,
        timeout=settings.timeout_s,
        cacert=settings.cafile,
        cert=settings.certfile,
        key=settings.keyfile,
        insecure=settings.insecure,
        app_name="mooring",
        app_version=mooring.__version__,
    )
    return Adapter(
        session,
        service_type="network",
        interface=list(settings.interfaces),
        region_name=settings.region_name,
        endpoint_override=settings.endpoint_override,
    )
