"""Lists that are sorted and cut for whoever asks: of hosts, and of what there is on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlencode

from pydantic import Field

from mooring.api.fields import Limit
from mooring.api.reading import Query
from mooring.api.views import View
from mooring.errors import InvalidRequest

V = TypeVar("V", bound=View)


class PageQuery(Query):
    """Which part of a list is wanted: ``limit`` items, and those after the one that ``marker`` names."""

    marker: Annotated[str, Field(max_length=255)] | None = None
    limit: Limit | None = None
    # Each list has keys of its own.
    sort_key: str
    sort_dir: Literal["asc", "desc"] = "asc"


def paged(
    items: Iterable[V], query: PageQuery, *, path: str, mark: Callable[[V], str]
) -> tuple[tuple[V, ...], str | None]:
    """Return the part of a list that is wanted, and where the next one is, None where none is.

    ``query.sort_key`` is a field of the items; ``mark`` tells one from all others. Raises InvalidRequest for a marker
    that names none.
    """

    def place(item: V) -> tuple[bool, object, str]:
        value = getattr(item, query.sort_key)
        return value is not None, value, mark(item)

    # What has no value comes first: nothing can be compared with None.
    found = sorted(items, key=place, reverse=query.sort_dir == "desc")
    if query.marker is not None:
        places = {mark(item): number for number, item in enumerate(found, start=1)}
        if query.marker not in places:
            raise unknown_marker(query)
        found = found[places[query.marker] :]
    page = tuple(found if query.limit is None else found[: query.limit])
    return page, None if len(page) == len(found) else next_page(query, path=path, marker=mark(page[-1]))


def next_page(query: PageQuery, *, path: str, marker: str) -> str:
    """Return where the part of a list is that follows an item."""
    # Without the deployment's prefix, which clients add by themselves.
    asked = query.model_dump(exclude_unset=True, exclude_none=True) | {"marker": marker}
    return f"/v1{path}?{urlencode(asked)}"


def unknown_marker(query: PageQuery) -> InvalidRequest:
    """Return the error of a marker that names nothing."""
    return InvalidRequest(f"marker: there is nothing of the id {query.marker} in the list")
