"""Where requests are parsed: query and body become typed models here, or are refused with a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import from_json

from mooring.api.versions import Version
from mooring.errors import InvalidRequest
from mooring.suggestions import suggest


class Query(BaseModel):
    """The query of a request. Clients write ``None`` for what they leave out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _none_is_absent(cls, data: Any) -> Any:  # noqa: ANN401 - whatever was sent
        return {key: value for key, value in data.items() if value != "None"} if isinstance(data, dict) else data


class Body(BaseModel):
    """The JSON object that a request carries."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=BaseModel)


def parse_query(model: type[Model], pairs: Iterable[tuple[str, str]]) -> Model:
    """Parse a query; raise InvalidRequest for a key that is not known, and for one that is there twice."""
    values: dict[str, str] = {}
    for key, value in pairs:
        if key in values:
            raise InvalidRequest(f"the query has {_quoted(key)} twice")
        values[key] = value
    return _validated(model, values, context=None)


def parse_body(model: type[Model], data: bytes, *, version: Version) -> Model:
    """Parse a body of JSON; raise InvalidRequest. ``version`` is the microversion that the client speaks."""
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as exc:
        raise InvalidRequest(f"the body is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object")
    return _validated(model, value, context={"version": version})


def check_text(text: str) -> None:
    """Raise InvalidRequest for text that no database takes."""
    if "\0" in text:
        raise InvalidRequest("text must not hold the character NUL")


def _validated(model: type[Model], value: Mapping[str, Any], *, context: Mapping[str, Any] | None) -> Model:
    _check(value)
    try:
        return model.model_validate(value, context=context)
    except ValidationError as exc:
        known = [field.alias or name for name, field in model.model_fields.items()]
        raise InvalidRequest("; ".join(_problem(dict(error), known) for error in exc.errors()[:_PROBLEMS])) from exc


def _problem(error: Mapping[str, Any], known: list[str]) -> str:
    place = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        hint = suggest(place[-1], known) if len(place) == 1 and known else "leave it out"
        return f"{_quoted('.'.join(place))} is not known; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{_quoted('.'.join(place))}: {message}" if place else message


def _quoted(name: str) -> str:
    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "..."
    return repr(shown)


# How much of what is wrong is told, and of what was sent.
_PROBLEMS = 5
_SHOWN = 80


def _check(value: object) -> None:
    """Refuse what is JSON, but neither kept by every database nor sent by anybody in earnest."""
    match value:
        case str():
            check_text(value)
        case float() if not math.isfinite(value):
            raise InvalidRequest("a number is too large")
        case dict():
            for key, item in value.items():
                check_text(key)
                _check(item)
        case list():
            for item in value:
                _check(item)
        case _:
            pass
