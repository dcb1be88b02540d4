"""What Docker tells of a container, read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from mooring.container.states import Status
from mooring.libnetwork.options import PORT_KEY
from mooring.node.containers.runtime import CONTAINER_LABEL, NUMBER_LABEL, SERVICE_LABEL, Found, Link

_NEVER: Final = "0001-"
_STATUS: Final = {
    "created": Status.CREATED,
    "running": Status.RUNNING,
    "paused": Status.PAUSED,
    "restarting": Status.RESTARTING,
    "exited": Status.STOPPED,
    "removing": Status.DELETING,
    "dead": Status.DEAD,
}


def found_in(details: Mapping[str, Any]) -> Found:
    """Read what ``docker inspect`` says of a container of a service's."""
    labels, state = details["Config"]["Labels"], details["State"]
    networks = details["NetworkSettings"]["Networks"] or {}
    has_ended = state["Status"] in ("exited", "dead")
    links = tuple(_links(networks, runs=state["Status"] in ("running", "paused")))
    return Found(
        uuid=labels[CONTAINER_LABEL],
        service=labels.get(SERVICE_LABEL, ""),
        number=int(labels.get(NUMBER_LABEL, 0)),
        runtime_id=details["Id"],
        state=state["Status"],
        started_at=_moment(state.get("StartedAt")),
        exit_code=state.get("ExitCode") if has_ended else None,
        error=state.get("Error") or "",
        health=(state.get("Health") or {}).get("Status"),
        command=_words(details["Config"].get("Cmd")),
        entrypoint=_words(details["Config"].get("Entrypoint")),
        links=tuple(link for link, is_failed in links if not is_failed),
        failed=tuple(link for link, is_failed in links if is_failed),
        networks=tuple(sorted(networks)),
    )


def status_of(found: Found) -> Status:
    """Return Docker's state in the service's words."""
    return _STATUS.get(found.state, Status.UNKNOWN)


def detail_of(found: Found) -> str:
    """Tell Docker's state in words that stay the same as long as it does."""
    if found.exit_code is not None:
        return f"Exited({found.exit_code})"
    return {"running": "Up", "paused": "Up (paused)"}.get(found.state, found.state.capitalize())


def _links(networks: Mapping[str, Any], *, runs: bool) -> Iterator[tuple[Link, bool]]:
    """Yield what ties a container to its networks, and whether that has failed.

    Of a connection that failed while the container ran Docker keeps a trace, without an endpoint, and tries it again at
    the container's next start.
    """
    for name, endpoint in sorted(networks.items()):
        port_id = (endpoint.get("DriverOpts") or {}).get(PORT_KEY)
        if port_id:
            yield Link(network=name, port_id=port_id), runs and not endpoint.get("EndpointID")


def _moment(text: str | None) -> datetime | None:
    if not text or text.startswith(_NEVER):
        return None
    # Docker writes nanoseconds, of which Python knows microseconds.
    head, _, rest = text.partition(".")
    return datetime.fromisoformat(f"{head}.{rest.rstrip('Z')[:6]:0<6}+00:00" if rest else text)


def _words(value: object) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, list) else None
