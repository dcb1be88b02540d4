"""The API's application over a core, asked as a client asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

from werkzeug.test import Client, TestResponse

from mooring.api.app import create_app
from mooring.config.settings import ControllerSettings, NeutronSettings, SchedulerSettings

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)

SETTINGS = ControllerSettings(
    api_address=("127.0.0.1", 9517),
    authentication="noauth",
    database_url="sqlite://",
    transport_url="fake://",
    neutron=NeutronSettings(),
    scheduler=SchedulerSettings(filters=(), multipliers={}),
    aliases={},
    quotas={"containers": 40.0, "cpu": 20.0, "memory": 51200.0, "disk": 100.0},
)

MEMBER = "alice:projA"
READER = "rita:projA:reader"
OTHER = "bob:projB"
ADMIN = "root:projX:admin"
NOBODY = "mallory:projA:guest"


class Api:
    """Asks an application; ``token`` says who asks where a request does not."""

    def __init__(self, app: WSGIApplication, *, token: str | None = MEMBER) -> None:
        self._client = Client(app)
        self._token = token

    def ask(self, method: str, path: str, *, token: str | None = None, **request: Any) -> TestResponse:  # noqa: ANN401
        headers = {"OpenStack-API-Version": "container 1.40", **request.pop("headers", {})}
        if sender := token or self._token:
            headers.setdefault("X-Auth-Token", sender)
        return self._client.open(path, method=method, headers=headers, **request)

    def get(self, path: str, **request: object) -> TestResponse:
        return self.ask("GET", path, **request)

    def post(self, path: str, **request: object) -> TestResponse:
        return self.ask("POST", path, **request)


def coreless(*, token: str | None = MEMBER, policy_file: Path | None = None, **settings: Any) -> Api:  # noqa: ANN401
    """Return the API without a core, for what is decided before one is asked."""
    nothing: Any = None
    app = create_app(
        lifecycle=nothing,
        inside=nothing,
        store=nothing,
        settings=replace(SETTINGS, policy_file=policy_file, **settings),
        clock=lambda: NOW,
    )
    return Api(app, token=token)


def title(response: TestResponse) -> str:
    """Return what Zun's client shows of an error."""
    return str(response.json["errors"][0]["title"])
