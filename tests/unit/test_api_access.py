"""Who may come in, and what which role may do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from api_world import ADMIN, MEMBER, NOBODY, READER, SETTINGS, coreless, title

from mooring.api import app as app_module
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


def keystone_says(**said: str) -> Callable[[Any, Any], Any]:
    """Stand for keystonemiddleware: it takes away what the client claims, and says what Keystone knows."""

    def guarded(app: Callable[[Any, Any], Iterable[bytes]], _: object) -> Callable[[Any, Any], Iterable[bytes]]:
        def checked(environ: dict[str, Any], start_response: object) -> Iterable[bytes]:
            claims = [key for key in environ if key.startswith(("HTTP_X_USER", "HTTP_X_PROJECT", "HTTP_X_ROLES"))]
            for key in claims:
                del environ[key]
            return app(environ | {f"HTTP_X_{key.upper()}": value for key, value in said.items()}, start_response)

        return checked

    return guarded


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"identity_status": "Confirmed", "user_id": "u1", "project_id": "p1", "roles": "Member,reader"}, 501),
        ({"identity_status": "Invalid"}, 401),
        ({"identity_status": "Confirmed", "user_id": "u1", "roles": "member"}, 401),
    ],
    ids=["member", "invalid token", "token for no project"],
)
def test_with_keystone_its_word_counts(monkeypatch: pytest.MonkeyPatch, said: dict[str, str], status: int) -> None:
    monkeypatch.setattr(app_module, "guarded", keystone_says(**said))
    api = coreless(authentication="keystone", token=None)

    response = api.get("/v1/capsules", headers={"X-User-Id": "root", "X-Project-Id": "p", "X-Roles": "admin"})

    assert response.status_code == status


def test_versions_are_told_while_keystone_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object, __: object) -> Callable[[Any, Any], Any]:
        def fail(_: object, __: object) -> None:
            raise AssertionError("Keystone was asked")

        return fail

    monkeypatch.setattr(app_module, "guarded", broken)
    api = coreless(authentication="keystone", token="some-token")

    assert [api.get(path).status_code for path in ("/", "/v1", "/openapi.json")] == [200, 200, 200]


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
