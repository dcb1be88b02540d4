"""The account with which Neutron is asked."""

from __future__ import annotations

from keystoneauth1.adapter import Adapter
from keystoneauth1.identity.base import BaseIdentityPlugin

from mooring.neutron.http import neutron_errors


def roles_of(adapter: Adapter) -> frozenset[str] | None:
    """Return the names of the account's roles, or None where there is no Keystone (auth_type none).

    Raises NeutronUnreachable, with Keystone's words where it refuses.
    """
    auth = adapter.session.auth
    if not isinstance(auth, BaseIdentityPlugin):
        return None
    with neutron_errors("asking Keystone for the roles of mooring's account"):
        return frozenset(auth.get_access(adapter.session).role_names or ())
