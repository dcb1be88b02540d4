"""Which container a caller means."""

from __future__ import annotations

from mooring.container.model import Container
from mooring.controller.api import Caller
from mooring.db.api import Containers
from mooring.errors import ContainerNotFound, NameAmbiguous


def find_container(store: Containers, caller: Caller, key: str, *, everywhere: bool = False) -> Container:
    """Return the container that a caller means by a uuid or a name; see Lifecycle for whose it may be.

    Raises ContainerNotFound and NameAmbiguous. Another project's container is one that does not exist.
    """
    found = store.find_containers(key, None if everywhere and caller.is_admin else caller.project_id)
    if not found and caller.is_admin:
        found = store.find_containers(key, None)
        found = tuple(container for container in found if container.uuid == key)
    # A name may look like another container's uuid; the uuid is meant.
    found = tuple(container for container in found if container.uuid == key) or found
    if not found:
        raise ContainerNotFound(key)
    if len(found) > 1:
        raise NameAmbiguous("container", key, len(found))
    return found[0]
