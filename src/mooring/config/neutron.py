"""How Neutron is reached, for whichever daemon asks it."""

from __future__ import annotations

from mooring.config.reading import Configuration
from mooring.config.settings import NeutronSettings


def neutron_settings(read: Configuration) -> NeutronSettings:
    """Return what [neutron] says of the way to Neutron."""
    group = read.conf.neutron
    auth_type, options = read.auth_options("neutron")
    return NeutronSettings(
        auth_type=auth_type,
        auth_options=options,
        timeout_s=group.timeout,
        cafile=group.cafile,
        certfile=group.certfile,
        keyfile=group.keyfile,
        insecure=group.insecure,
        region_name=group.region_name,
        interfaces=tuple(group.valid_interfaces or [group.endpoint_type]),
        endpoint_override=group.endpoint_override,
        transport_url=group.transport_url,
        active_timeout_s=group.vif_plugging_timeout,
        active_required=group.vif_plugging_is_fatal,
    )
