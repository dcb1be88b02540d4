"""How a call of a protocol becomes JSON and back: arguments, answers, and errors of ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, get_type_hints

import structlog
from pydantic import TypeAdapter, ValidationError

from mooring.errors import BusUnavailable, InvalidRequest, MooringError

_FACTS: Final = (str, int, float, bool)

log = structlog.get_logger(__name__)


class Procedures:
    """The methods of a protocol, by name, with the types that its signatures state."""

    def __init__(self, protocol: type) -> None:
        self._methods = {
            name: _Method(name, method)
            for name, method in inspect.getmembers(protocol, inspect.isfunction)
            if not name.startswith("_")
        }

    def pack(self, name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        """Return the arguments of a call as JSON values."""
        return self._methods[name].pack(arguments)

    def serve(self, end: object, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a call on who implements the protocol; whatever comes of it is an answer.

        What is no error of ours says nothing of itself to the other side.
        """
        try:
            return {"answer": self._method(name).call(end, arguments)}
        except MooringError as exc:
            facts = {key: value for key, value in vars(exc).items() if isinstance(value, _FACTS)}
            return {"error": exc.code, "message": str(exc), "facts": facts}
        except Exception:
            log.exception("bus.call-crashed", call=name)
            return {"error": "", "message": "it failed there; the log of that side says why"}

    def unpack(self, name: str, doing: str, reply: Mapping[str, Any]) -> Any:  # noqa: ANN401 - of the method's type
        """Return what an answer says, or raise the error that it stands for."""
        if "error" in reply:
            raise _error(doing, reply)
        try:
            return self._methods[name].answer.validate_python(reply["answer"])
        except (KeyError, ValidationError) as exc:
            raise BusUnavailable(doing, "the answer is none that is understood here") from exc

    def _method(self, name: str) -> _Method:
        if name not in self._methods:
            raise InvalidRequest(f"this side knows no call {name}: it is older than the other, or newer")
        return self._methods[name]


class _Method:
    """One method: an adapter for each parameter, and one for what it returns."""

    def __init__(self, name: str, method: Callable[..., object]) -> None:
        hints = get_type_hints(method)
        self.name = name
        self.answer = TypeAdapter[Any](hints.pop("return"))
        self._parameters = {parameter: TypeAdapter[Any](hint) for parameter, hint in hints.items()}

    def pack(self, arguments: Mapping[str, object]) -> dict[str, Any]:
        return {key: self._parameters[key].dump_python(value, mode="json") for key, value in arguments.items()}

    def call(self, end: object, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        try:
            values = {key: adapter.validate_python(arguments[key]) for key, adapter in self._parameters.items()}
        except (KeyError, ValidationError) as exc:
            raise InvalidRequest(f"{self.name}: what came is not understood here ({_problem(exc)})") from exc
        return self.answer.dump_python(getattr(end, self.name)(**values), mode="json")


def _problem(exc: KeyError | ValidationError) -> str:
    """Say where a message is wrong, without the values that it holds."""
    if isinstance(exc, KeyError):
        return f"{exc} is missing"
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'value'}: {item['msg']}" for item in exc.errors())


def _error(doing: str, reply: Mapping[str, Any]) -> MooringError:
    """Make an error again as it was raised on the other side: by its code, with its own words."""
    kind = next((kind for kind in _kinds(MooringError) if kind.code == reply["error"]), None)
    if kind is None:
        return BusUnavailable(doing, str(reply.get("message")))
    # Each class composes its sentence from its arguments; here the sentence is known already.
    error = kind.__new__(kind, reply.get("message"))
    error.__dict__.update(reply.get("facts") or {})
    return error


def _kinds(root: type[MooringError]) -> Iterator[type[MooringError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)
