"""Who asks: Keystone says so (keystonemiddleware), or, with ``noauth``, whoever asks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from keystonemiddleware.auth_token import AuthProtocol
from oslo_config import cfg
from werkzeug.exceptions import ServiceUnavailable

from mooring.config.settings import ControllerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A user in a project, with roles."""

    user_id: str
    project_id: str
    roles: frozenset[str]


Identify = Callable[[Mapping[str, Any]], Identity | None]
"""Returns who sent a request (its WSGI environment), None where that is not known. Raises ServiceUnavailable (503)."""

ADMINISTRATOR: Final = Identity(user_id="admin", project_id="admin", roles=frozenset({"admin"}))
"""Who sends, without Keystone, a token that names nobody: ``openstack --os-auth-type none`` sends ``notused``."""

_LONGEST: Final = 255
_VERDICT: Final = "mooring.keystone.verdict"


def identification(settings: ControllerSettings) -> Identify:
    """Return the way in which requests are known."""
    return _by_keystone if settings.authentication == "keystone" else _by_own_word


def guarded(app: WSGIApplication, settings: ControllerSettings) -> WSGIApplication:
    """Return an application whose requests have been checked with Keystone, where Keystone is asked.

    All requests come through, with Keystone's verdict, so that the application answers all of them in its own way.
    """
    return _Checked(app, settings.keystone_authtoken) if settings.authentication == "keystone" else app


class _Checked:
    """Has keystonemiddleware judge each request; it writes who sent it over what the sender claims."""

    def __init__(self, app: WSGIApplication, options: Mapping[str, str]) -> None:
        self._app = app
        # Its own: what it registers in oslo.config's global one, options that must be set, would stop the message bus.
        conf = cfg.ConfigOpts()
        conf([], project="mooring", default_config_files=[], default_config_dirs=[])
        # It warns of options that are an authentication plugin's; which there are has been checked.
        logging.getLogger("keystonemiddleware._common.config").setLevel(logging.ERROR)
        # With a decision that is delayed, a Keystone that is away would look like a token that is wrong.
        fixed = {"delay_auth_decision": False, "oslo_config_config": conf}
        self._judge = AuthProtocol(_accept, {"service_token_roles_required": True, **options, **fixed})

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        verdicts: list[str] = []
        self._judge(environ, lambda status, *_: verdicts.append(status))
        return self._app(environ | {_VERDICT: HTTPStatus(int(verdicts[0].split()[0]))}, start_response)


def _accept(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response(f"{HTTPStatus.OK.value} {HTTPStatus.OK.phrase}", [])
    return ()


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
    if environ[_VERDICT] == HTTPStatus.SERVICE_UNAVAILABLE:
        raise ServiceUnavailable("Keystone does not answer, so nobody can be known; try again later")
    if environ[_VERDICT] != HTTPStatus.OK:
        return None
    user, project = environ.get("HTTP_X_USER_ID"), environ.get("HTTP_X_PROJECT_ID")
    if not user or not project:
        # A token for no project: there is nothing that it could be for.
        return None
    roles = (role.strip().lower() for role in environ.get("HTTP_X_ROLES", "").split(","))
    return Identity(user_id=user, project_id=project, roles=frozenset(filter(None, roles)))
