"""Names that mark, in Neutron, what is the container service's."""

from __future__ import annotations

from typing import Final

DEVICE_OWNER: Final = "compute:mooring"
"""What a port of a container bears. Neutron treats owners that begin with ``compute:`` as instances."""

PORT_NAME: Final = "mooring-port"
_MARK: Final = "mooring-container:"


def token(interface_id: str) -> str:
    """Return the description of a port that is made for an interface: it is found by it if the answer is lost."""
    return _MARK + interface_id


def was_made(description: str) -> bool:
    """Tell whether a port with a description was made for a container."""
    return description.startswith(_MARK)
