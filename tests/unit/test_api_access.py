"""Who may come in, and what which role may do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from api_world import ADMIN, MEMBER, NOBODY, READER, SETTINGS, coreless, title

from mooring.api import authentication
from mooring.api.authentication import ADMINISTRATOR, Identity, identification
from mooring.api.policy import Policy
from mooring.api.table import ROUTES
from mooring.errors import InvalidConfiguration, PolicyForbids


def by_token(token: str) -> Identity | None:
    return identification(SETTINGS)({"HTTP_X_AUTH_TOKEN": token})


def test_without_keystone_the_token_is_the_identity() -> None:
    assert by_token("alice:projA") == Identity(user_id="alice", project_id="projA", roles=frozenset({"member"}))
    assert by_token("alice:projA:admin") == Identity(user_id="alice", project_id="projA", roles=frozenset({"admin"}))
    assert by_token("notused") == ADMINISTRATOR


@pytest.mark.parametrize("token", ["", ":", "alice:", ":projA", "a" * 200 + ":" + "b" * 200])
def test_a_token_that_names_half_of_an_identity_is_none(token: str) -> None:
    assert by_token(token) is None


def test_a_request_without_a_token_is_401_in_keystones_envelope() -> None:
    response = coreless(token=None).get("/v1/containers")

    assert response.status_code == 401
    assert response.json["error"]["code"] == 401
    assert "X-Auth-Token" in response.json["error"]["message"]
    assert response.headers["WWW-Authenticate"].startswith("Keystone")


def test_whether_a_path_exists_is_not_told_to_strangers() -> None:
    assert coreless(token=None).get("/v1/nothing").status_code == 401


# Nobody listens on port 1 of this machine.
KEYSTONE_AWAY = {
    "auth_type": "password",
    "auth_url": "http://127.0.0.1:1/v3",
    "www_authenticate_uri": "http://127.0.0.1:1/v3",
    "username": "mooring",
    "password": "secret",
    "project_name": "service",
    "user_domain_id": "default",
    "project_domain_id": "default",
    "http_request_max_retries": "0",
}
CLAIMS = {"X-User-Id": "root", "X-Project-Id": "p", "X-Roles": "admin", "X-Identity-Status": "Confirmed"}


class FakeAuthProtocol:
    """Stands for keystonemiddleware: it takes away what the client claims, and writes what Keystone knows."""

    known: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "member": {"USER_ID": "u1", "PROJECT_ID": "p1", "ROLES": "Member,reader"},
        "unscoped": {"USER_ID": "u1", "ROLES": "member"},
    }

    def __init__(self, app: WSGIApplication, options: Mapping[str, Any]) -> None:
        self.app = app
        assert options["delay_auth_decision"] is False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for name in ("USER_ID", "PROJECT_ID", "ROLES", "IDENTITY_STATUS"):
            environ.pop(f"HTTP_X_{name}", None)
        said = self.known.get(environ.get("HTTP_X_AUTH_TOKEN", ""))
        if said is None:
            start_response("401 Unauthorized", [])
            return (b"Authentication required",)
        environ.update({f"HTTP_X_{name}": value for name, value in said.items()})
        return self.app(environ, start_response)


@pytest.mark.parametrize(
    ("token", "status"), [("member", 501), ("unscoped", 401), ("wrong", 401), (None, 401)], ids=str
)
def test_with_keystone_its_word_counts(monkeypatch: pytest.MonkeyPatch, token: str | None, status: int) -> None:
    monkeypatch.setattr(authentication, "AuthProtocol", FakeAuthProtocol)
    api = coreless(authentication="keystone", token=None)

    response = api.get("/v1/capsules", token=token, headers=CLAIMS)

    assert response.status_code == status
    if status == 401:
        assert response.json["error"]["title"] == "Unauthorized"


def test_keystones_roles_are_what_policy_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "AuthProtocol", FakeAuthProtocol)

    assert coreless(authentication="keystone").get("/v1/hosts", token="member", headers=CLAIMS).status_code == 403


def test_while_keystone_is_away_versions_are_told_and_all_else_is_to_be_tried_again() -> None:
    api = coreless(authentication="keystone", token="some-token", keystone_authtoken=KEYSTONE_AWAY)

    assert [api.get(path).status_code for path in ("/", "/v1", "/openapi.json")] == [200, 200, 200]
    response = api.get("/v1/capsules", headers=CLAIMS)
    assert response.status_code == 503
    assert "Keystone does not answer" in title(response)
    assert int(response.headers["Retry-After"]) > 0
    assert (
        coreless(authentication="keystone", token=None, keystone_authtoken=KEYSTONE_AWAY)
        .get("/v1/capsules", headers=CLAIMS)
        .headers["WWW-Authenticate"]
        == 'Keystone uri="http://127.0.0.1:1/v3"'
    )


def identity(role: str) -> Identity:
    return Identity(user_id="u", project_id="p", roles=frozenset({role}))


def test_every_route_has_a_rule_and_readers_only_read() -> None:
    policy = Policy(None)

    for route in ROUTES:
        assert policy.allows(route.rule, identity("admin")), route
        assert not policy.allows(route.rule, identity("guest")), route
        if policy.allows(route.rule, identity("reader")):
            assert route.method == "GET", route


@pytest.mark.parametrize("token", [READER, NOBODY])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/containers"),
        ("DELETE", "/v1/containers/web"),
        ("POST", "/v1/containers/web/start"),
        ("POST", "/v1/containers/web/execute?command=ls"),
        ("GET", "/v1/containers/web/get_archive?path=/etc/passwd"),
    ],
)
def test_who_may_only_read_changes_nothing(token: str, method: str, path: str) -> None:
    response = coreless().ask(method, path, token=token, json={"image": "cirros"})

    assert response.status_code == 403
    assert "Policy does not allow" in title(response)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/hosts"),
        ("GET", "/v1/hosts/node1"),
        ("GET", "/v1/hosts/node1/devices"),
        ("GET", "/v1/services"),
        ("PUT", "/v1/services/disable?host=node1&binary=mooring-node"),
        ("DELETE", "/v1/services?host=node1&binary=mooring-node"),
        ("GET", "/v1/images"),
        ("GET", "/v1/quotas/projB"),
        ("DELETE", "/v1/quotas/projA"),
        ("DELETE", "/v1/networks/n1"),
        ("GET", "/v1/containers?all_projects=1"),
        ("GET", "/v1/containers?host=node1"),
        ("GET", "/v1/containers/web?all_projects=true"),
        ("DELETE", "/v1/containers/web?force=true"),
        ("DELETE", "/v1/containers/web?force=true&stop=true"),
        ("DELETE", "/v1/containers/web?all_projects=1"),
    ],
)
def test_a_member_is_no_administrator(method: str, path: str) -> None:
    assert coreless().ask(method, path, token=MEMBER).status_code == 403


@pytest.mark.parametrize(
    "field", [{"host": "node1"}, {"runtime": "kata"}, {"image_pull_policy": "always"}, {"privileged": True}]
)
def test_a_member_does_not_choose_what_is_the_administrators(field: dict[str, Any]) -> None:
    response = coreless().post("/v1/containers", json={"image": "cirros", **field})

    assert response.status_code == 403


def test_privileged_is_nobodys() -> None:
    response = coreless(token=ADMIN).post("/v1/containers", json={"image": "cirros", "privileged": "true"})

    assert response.status_code == 403
    assert title(response) == "Policy does not allow container:create:privileged to be performed"


def test_the_operators_rules_replace_the_defaults_of_their_name(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text('"container:create:privileged": "role:trusted"\n')
    policy = Policy(tmp_path / "policy.yaml")

    assert policy.allows("container:create:privileged", identity("trusted"))
    with pytest.raises(PolicyForbids):
        policy.check("container:create:privileged", identity("admin"))


@pytest.mark.parametrize("text", [None, "- no\n- mapping\n", '"container:start": "rule:nobody-knows"\n', "{"])
def test_a_policy_that_is_none_is_refused_at_the_start(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "policy.yaml"
    if text is not None:
        path.write_text(text)

    with pytest.raises(InvalidConfiguration, match="policy"):
        Policy(path)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"data": b"{}", "content_type": "text/plain"}, 415),
        ({"data": b"{}"}, 415),
        ({"data": b"{", "content_type": "application/json"}, 400),
        ({"data": b"[]", "content_type": "application/json"}, 400),
        ({"data": b" " * 2000, "content_type": "application/json"}, 413),
        ({"json": {"image": "cirros", "colour": "red"}}, 400),
    ],
    ids=["text", "no type", "no JSON", "no object", "too large", "unknown key"],
)
def test_a_body_that_nobody_can_use_is_refused(request_: dict[str, Any], status: int) -> None:
    response = coreless(max_body_bytes=1000).post("/v1/containers", **request_)

    assert response.status_code == status
    assert title(response)


def test_a_failure_that_nobody_thought_of_tells_where_to_look_and_nothing_else() -> None:
    # Without a core, whatever asks it crashes.
    response = coreless().get("/v1/containers")

    assert response.status_code == 500
    (entry,) = response.json["errors"]
    assert entry["title"] == "Internal Server Error"
    assert response.headers["X-Openstack-Request-Id"] in entry["detail"]
    assert "NoneType" not in response.text
