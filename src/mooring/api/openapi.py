"""The OpenAPI document, made of what is served: the table of routes, and the models that parse and answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from mooring import __version__
from mooring.api.routing import Route

_COMPONENTS: Final = "#/components/schemas/{model}"
_NAME: Final = re.compile(r"<(\w+)>")
_JSON: Final = "application/json"

_ERROR: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["request_id", "code", "status", "title", "detail", "links"],
                "properties": {
                    "request_id": {"type": "string"},
                    "code": {"type": "string"},
                    "status": {"type": "integer"},
                    "title": {"type": "string"},
                    "detail": {"type": "string"},
                    "links": {"type": "array"},
                },
            },
        }
    },
}
_IDENTITY_ERROR: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "object", "required": ["code", "title", "message"]}},
}

_ALWAYS: Final = (
    *(HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.NOT_ACCEPTABLE),
    *(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    *(HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE),
)


@cache
def openapi_document(routes: tuple[Route, ...]) -> Mapping[str, Any]:
    """Return the document of a table of routes (OpenAPI 3.1). Made when it is first asked for: it takes a while."""
    schemas: dict[str, Any] = {"Error": _ERROR, "IdentityError": _IDENTITY_ERROR}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = "/v1" + _NAME.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mooring",
            "version": __version__,
            "description": "Containers with SR-IOV networking: Zun's API, version 1, at microversion 1.40",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
        "security": [{"token": []}],
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method} {route.path}",
        "tags": [route.path.split("/")[1]],
        "parameters": [*_path_parameters(route.path), *_query_parameters(route.query, schemas)],
        "responses": _responses(route, schemas),
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {_JSON: {"schema": _schema(route.body, "validation", schemas)}},
        }
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in _NAME.findall(path)]


def _query_parameters(query: type[BaseModel], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    shape = query.model_json_schema(mode="validation", ref_template=_COMPONENTS)
    schemas.update(shape.pop("$defs", {}))
    return (
        [
            {"name": name, "in": "query", "required": name in shape.get("required", ()), "schema": _plain(schema)}
            for name, schema in shape["properties"].items()
        ]
        if "properties" in shape
        else []
    )


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out null, which no query can say but by leaving the key out."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "title", "default")}
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": route.status.phrase}
    if route.reply is not None:
        success["content"] = {_JSON: {"schema": _schema(route.reply, "serialization", schemas)}}
    elif route.status == HTTPStatus.OK:
        success["content"] = {_JSON: {"schema": {"type": "null"}}}
    failures = {str(status.value): _failure(status, "Error") for status in (*_ALWAYS, *route.also)}
    unauthorized = HTTPStatus.UNAUTHORIZED
    return {
        str(route.status.value): success,
        str(unauthorized.value): _failure(unauthorized, "IdentityError"),
        **failures,
    }


def _failure(status: HTTPStatus, schema: str) -> dict[str, Any]:
    content = {_JSON: {"schema": {"$ref": _COMPONENTS.format(model=schema)}}}
    return {"description": status.phrase, "content": content}


def _schema(kind: Any, mode: JsonSchemaMode, schemas: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - any type
    """Return the schema of a type, and put those of its parts among the components."""
    shape = TypeAdapter(kind).json_schema(mode=mode, ref_template=_COMPONENTS, schema_generator=GenerateJsonSchema)
    schemas.update(shape.pop("$defs", {}))
    return shape
