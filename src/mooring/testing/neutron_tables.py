"""The tables of a Neutron in memory, and how it says no."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Resource = dict[str, Any]
Tables = Mapping[str, Mapping[str, Resource]]

SINGULAR: Final = {
    "networks": "network",
    "subnets": "subnet",
    "subnetpools": "subnetpool",
    "ports": "port",
    "policies": "policy",
}


class No(Exception):
    """Neutron's answer is an error: a status and its text."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


def find(tables: Tables, collection: str, item_id: str) -> Resource:
    """Return a resource; raise No (404) when there is none."""
    try:
        return tables[collection][item_id]
    except KeyError as exc:
        raise No(404, f"{SINGULAR[collection].capitalize()} {item_id} could not be found.") from exc
