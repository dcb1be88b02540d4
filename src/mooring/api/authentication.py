"""Who asks: Keystone says so (keystonemiddleware), or, with ``noauth``, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from wsgiref.types import WSGIApplication

from keystonemiddleware.auth_token import AuthProtocol

from mooring.config.settings import ControllerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A user in a project, with roles."""

    user_id: str
    project_id: str
    roles: frozenset[str]


Identify = Callable[[Mapping[str, Any]], Identity | None]
"""Returns who sent a request (its WSGI environment), None where that is not known."""

ADMINISTRATOR: Final = Identity(user_id="admin", project_id="admin", roles=frozenset({"admin"}))
"""Who sends, without Keystone, a token that names nobody: ``openstack --os-auth-type none`` sends ``notused``."""

_LONGEST: Final = 255


def identification(settings: ControllerSettings) -> Identify:
    """Return the way in which requests are known."""
    return _by_keystone if settings.authentication == "keystone" else _by_own_word


def guarded(app: WSGIApplication, settings: ControllerSettings) -> WSGIApplication:
    """Return an application whose requests have been checked with Keystone, where Keystone is asked.

    Requests without a token, or with a wrong one, come through and are not identified: what they may see is the
    application's matter.
    """
    if settings.authentication != "keystone":
        return app
    checked: WSGIApplication = AuthProtocol(app, {**settings.keystone_authtoken, "delay_auth_decision": True})
    return checked


def _by_own_word(environ: Mapping[str, Any]) -> Identity | None:
    token = environ.get("HTTP_X_AUTH_TOKEN")
    if not token:
        return None
    user, separator, scope = token.partition(":")
    if not separator:
        return ADMINISTRATOR
    project, _, role = scope.partition(":")
    if not user or not project or len(token) > _LONGEST:
        return None
    return Identity(user_id=user, project_id=project, roles=frozenset({role or "member"}))


def _by_keystone(environ: Mapping[str, Any]) -> Identity | None:
    if environ.get("HTTP_X_IDENTITY_STATUS") != "Confirmed":
        return None
    user, project = environ.get("HTTP_X_USER_ID"), environ.get("HTTP_X_PROJECT_ID")
    if not user or not project:
        # A token for no project: there is nothing that it could be for.
        return None
    roles = (role.strip().lower() for role in environ.get("HTTP_X_ROLES", "").split(","))
    return Identity(user_id=user, project_id=project, roles=frozenset(filter(None, roles)))
