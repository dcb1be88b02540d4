"""The OpenAPI document says what is served, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from api_world import coreless

from mooring.api.table import ROUTES


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    response = coreless(token=None).get("/v1/openapi.json")
    assert response.status_code == 200
    return dict(response.json)


def test_every_route_is_in_it_and_no_other(document: dict[str, Any]) -> None:
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}

    assert told == {(route.method, "/v1" + re.sub(r"<(\w+)>", r"{\1}", route.path)) for route in ROUTES}


def test_all_that_it_refers_to_is_in_it(document: dict[str, Any]) -> None:
    assert set(references(document)) <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_bodies_have_the_names_that_clients_write(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    create = document["paths"]["/v1/containers"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert create["required"] == ["image"]
    assert create["additionalProperties"] is False
    assert set(schemas["NetBody"]["properties"]) == {"network", "port", "v4-fixed-ip", "v6-fixed-ip"}
    assert {"type": "string"} in create["properties"]["cpu"]["anyOf"]


def test_answers_have_the_names_that_clients_read(document: dict[str, Any]) -> None:
    stats = document["paths"]["/v1/containers/{key}/stats"]["get"]["responses"]["200"]["content"]

    assert "CPU %" in stats["application/json"]["schema"]["properties"]


def test_every_answer_that_may_come_is_told(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            told = set(operation["responses"])
            assert {"400", "401", "403", "404", "406", "409", "503"} <= told, (method, path)
            assert any(status.startswith("2") for status in told), (method, path)


def references(part: object) -> Iterator[str]:
    match part:
        case {"$ref": str() as target}:
            yield target
        case dict():
            for inner in part.values():
                yield from references(inner)
        case list():
            for inner in part:
                yield from references(inner)
        case _:
            pass
