"""The values in requests, with the forms in which Zun's clients write them."""

from __future__ import annotations

import base64
import binascii
import shlex
import signal
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, ValidationInfo

from mooring.container.spec import PullPolicy

LISTS_SINCE: Final = (1, 20)
"""From this version on a command is a list; before, one text as for a shell."""

_MAX_TIMEOUT_S: Final = 24 * 3600
_LAST_SIGNAL: Final = 64


def _number(value: Any) -> Any:  # noqa: ANN401 - whatever was sent
    # True is 1 to Python, and nothing to whoever asks for processors.
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reads ValueError
    return value


def _lower(value: Any) -> Any:  # noqa: ANN401 - whatever was sent
    return value.lower() if isinstance(value, str) else value


def _empty_is_none(value: Any) -> Any:  # noqa: ANN401 - whatever was sent
    return None if value == "" else value


def _none_text_is_none(value: Any) -> Any:  # noqa: ANN401 - whatever was sent
    return None if value == "None" else value


def split_command(text: str) -> tuple[str, ...]:
    """Split a command as a shell would; raise ValueError when its quotes do not match, or there is nothing in it."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as exc:
        raise ValueError(f"the command cannot be split into words: {exc}") from exc
    if not words:
        raise ValueError("the command is empty")
    return words


def _old_command(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - whatever was sent
    version = (info.context or {}).get("version", LISTS_SINCE)
    if isinstance(value, str) and version < LISTS_SINCE:
        return list(split_command(value)) if value.strip() else None
    return value


def _signal(name: str) -> str:
    if name.isdecimal():
        if not 1 <= int(name) <= _LAST_SIGNAL:
            raise ValueError(f"{name} is no signal")
        return name
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    if full not in signal.Signals.__members__:
        raise ValueError(f"{name!r} is no signal; write SIGTERM, TERM or 15")
    return full


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError(f"not base64: {exc}") from exc
    return text


def _moment(value: Any) -> Any:  # noqa: ANN401 - whatever was sent
    """Read seconds of the epoch, or Zun's ``YYYY-mm-dd HH:MM:SS,fff``, which is UTC."""
    if not isinstance(value, str):
        return value
    for form in ("%Y-%m-%d %H:%M:%S,%f", "%Y-%m-%d %H:%M:%S"):
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return value


def _tail(value: Any) -> Any:  # noqa: ANN401 - whatever was sent
    return None if value == "all" else value


Cpu = Annotated[float, Field(ge=0.1, le=16), BeforeValidator(_number, json_schema_input_type=float | str)]
Memory = Annotated[int, Field(ge=4, le=8192), BeforeValidator(_number, json_schema_input_type=int | str)]
Disk = Annotated[int, Field(ge=1, le=160), BeforeValidator(_number, json_schema_input_type=int | str)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(_number, json_schema_input_type=int | str)]

Name = Annotated[StrictStr, Field(min_length=2, max_length=255, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$")]
Hostname = Annotated[StrictStr, Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-._]*$")]
ImageName = Annotated[StrictStr, Field(min_length=2, max_length=255)]
ShortText = Annotated[StrictStr, Field(min_length=1, max_length=255)]
Pull = Annotated[
    PullPolicy | None,
    BeforeValidator(_empty_is_none),
    BeforeValidator(_lower, json_schema_input_type=str | None),
]
ImageDriver = Annotated[str | None, Field(pattern="^(docker|glance)$"), BeforeValidator(_none_text_is_none)]
Words = Annotated[
    tuple[StrictStr, ...] | None,
    BeforeValidator(_old_command, json_schema_input_type=list[str] | str | None),
]
Signal = Annotated[str, Field(max_length=16), AfterValidator(_signal)]
Base64 = Annotated[StrictStr, AfterValidator(_base64)]
Moment = Annotated[float, Field(ge=0, le=2**33), BeforeValidator(_moment, json_schema_input_type=float | str)]
Tail = Annotated[Count | None, BeforeValidator(_tail, json_schema_input_type=int | str | None)]
Timeout = Annotated[int, Field(ge=0, le=_MAX_TIMEOUT_S)]
Limit = Annotated[int, Field(gt=0), AfterValidator(lambda limit: min(limit, 1000))]
