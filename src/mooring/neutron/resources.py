"""What all REST resources of Neutron have in common: list, create with tags, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

from mooring.errors import MooringError, NeutronRefused
from mooring.neutron.model import Network, Port, Subnet, SubnetPool

_Created = TypeVar("_Created", Network, Port, Subnet, SubnetPool)

NOT_FOUND: Final = 404
CONFLICT: Final = 409
PRECONDITION_FAILED: Final = 412
INTERNAL_ERROR: Final = 500


class NeutronApi(Protocol):
    """One request to Neutron's API; NeutronHttp sends it, the fake in mooring.testing answers it itself."""

    def send(
        self,
        operation: str,
        doing: str,
        verb: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, object] | None = None,
        revision: int | None = None,
    ) -> dict[str, Any]:
        """Send one request and return the object in its answer, {} when it has none.

        ``operation`` names the call for who counts, ``doing`` begins the sentence of an error. ``revision`` makes the
        request conditional (``If-Match``). Raises NeutronUnreachable, NeutronConflict (409, 412) and NeutronRefused;
        of the latter, status 404 always means that Neutron knows no such object.
        """
        ...


class RestResources:
    """The calls that do not depend on the kind of resource. ``collection`` is the plural of the API: ports, ..."""

    def __init__(self, http: NeutronApi) -> None:
        self._http = http

    def add_tags(self, resource: str, resource_id: str, tags: Iterable[str]) -> None:
        """Add tags to a resource."""
        for tag in sorted(tags):
            doing = f"adding tag {tag} to {resource} {resource_id}"
            self._http.send("add_tag", doing, "PUT", f"{resource}/{resource_id}/tags/{quote(tag, safe='')}")

    def remove_tags(self, resource: str, resource_id: str, tags: Iterable[str]) -> None:
        """Remove tags from a resource; absent tags, or an absent resource, are a success."""
        for tag in sorted(tags):
            doing = f"removing tag {tag} from {resource} {resource_id}"
            path = f"{resource}/{resource_id}/tags/{quote(tag, safe='')}"
            try:
                self._ignoring_absence("remove_tag", doing, path)
            except NeutronRefused as exc:
                # Neutron 29 answers 500, not 404, where the resource itself does not exist.
                if exc.status != INTERNAL_ERROR or any(self._list(resource, doing, {"id": resource_id})):
                    raise
                return

    def delete_described(self, resource: str, description: str) -> None:
        """Delete what bears a description, unless somebody uses it."""
        doing = f"looking for {resource} described as {description}"
        for item in self._list(resource, doing, {"description": description}):
            # Neutron may be configured to overlook a filter that it does not know.
            if item.get("description") == description and not item.get("device_id"):
                self._delete(resource, item["id"])

    def _list(
        self, collection: str, doing: str, query: Mapping[str, str | None], tags: Iterable[str] = ()
    ) -> Iterator[Any]:
        """Yield the resources to which the filters apply; a cloud that limits its pages costs one call a page."""
        key = collection.replace("-", "_")
        filters = [(key, value) for key, value in query.items() if value is not None]
        if wanted := ",".join(sorted(tags)):
            filters.append(("tags", wanted))
        marker: list[tuple[str, str]] = []
        while True:
            answer = self._http.send(f"list_{key}", doing, "GET", collection, query=filters + marker)
            page = answer.get(key, ())
            yield from page
            links = answer.get(f"{key}_links", ())
            if not page or not any(link.get("rel") == "next" for link in links):
                return
            marker = [("marker", page[-1]["id"])]

    def _create(
        self,
        collection: str,
        doing: str,
        body: Mapping[str, object],
        tags: Iterable[str],
        parse: Callable[[str, Any], _Created],
    ) -> _Created:
        """Create a resource and tag it, which is a call of its own; without its tags it does not stay."""
        kind = collection.removesuffix("s")
        answer = self._http.send(f"create_{kind}", doing, "POST", collection, body={kind: body})
        created = parse(doing, answer.get(kind))
        wanted = sorted(tags)
        if not wanted:
            return created
        path = f"{collection}/{created.id}/tags"
        try:
            self._http.send("replace_tags", f"{doing}: tagging it", "PUT", path, body={"tags": wanted})
        except MooringError:
            self._delete(collection, created.id)
            raise
        return replace(created, tags=frozenset(wanted))

    def _delete(self, collection: str, resource_id: str) -> None:
        kind = collection.removesuffix("s")
        self._ignoring_absence(f"delete_{kind}", f"deleting {kind} {resource_id}", f"{collection}/{resource_id}")

    def _ignoring_absence(self, operation: str, doing: str, path: str) -> None:
        try:
            self._http.send(operation, doing, "DELETE", path)
        except NeutronRefused as exc:
            if exc.status != NOT_FOUND:
                raise
