"""What clients hear of failures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mooring import errors
from mooring.api.errors import HTTP_STATUS, status_of, told
from mooring.errors import MooringError


def kinds(root: type[MooringError]) -> Iterator[type[MooringError]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


def test_every_error_has_exactly_one_status() -> None:
    # Errors that belong to one module alone are told by their nearest relative here.
    known = {kind for kind in kinds(MooringError) if kind.__module__ == errors.__name__}

    assert set(HTTP_STATUS) == known


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ContainerNotFound("web"), 404),
        (errors.PortBusy("p1", "container c1"), 400),
        (errors.WrongState("c1", "stop", "Stopped"), 409),
        (errors.QuotaExceeded("cpu", limit=1, in_use=1, wanted=1), 403),
        (errors.DatabaseUnavailable("refused"), 503),
        (errors.KernelRefused("setting", "0000:00:00.1", 5), 500),
        (errors.EngineRefused("running true", 404, "no such file"), 404),
        (errors.EngineRefused("running true", 500, "disk full"), 502),
    ],
)
def test_the_status_says_whose_turn_it_is(error: MooringError, status: int) -> None:
    assert status_of(error) == status


def test_an_error_is_told_in_its_own_words_with_the_request_to_ask_about() -> None:
    (entry,) = told(errors.WrongState("c1", "stop", "Stopped"), "req-1")["errors"]

    assert entry["title"] == "Cannot stop container c1 in Stopped state"
    assert entry["code"] == "container.invalid-state"
    assert entry["status"] == 409
    assert entry["request_id"] == "req-1"


@pytest.mark.parametrize(
    "error",
    [
        errors.DatabaseUnavailable("connection to db7.internal as mooring refused"),
        errors.NeutronUnreachable("reading port p1", "connection to http://db7.internal:9696 as mooring refused"),
        errors.BusUnavailable("listing images", "OperationalError: amqp://db7.internal:5672 refused mooring"),
        errors.EngineUnreachable("tcp://db7.internal:2375", "connection refused"),
        errors.StateFileUnusable("/var/lib/mooring/secret", "disk full", "free some"),
        errors.KernelRefused("setting", "0000:00:00.1", 5),
    ],
)
def test_the_services_own_trouble_is_not_told_to_clients(error: MooringError) -> None:
    text = str(told(error, "req-1"))

    assert "db7" not in text
    assert "/var/lib" not in text
    assert "0000:00" not in text
    assert "req-1" in text
