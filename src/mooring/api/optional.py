"""What Zun's API has and this service does not: answered clearly, instead of as if it had never been."""

from __future__ import annotations

from typing import Final

from mooring.api.routing import CONTAINER

_NO_TERMINAL: Final = "there is no terminal to connect to; 'exec' runs a command, 'logs' shows the output"
_NO_CAPSULES: Final = "create containers one by one"
_NO_REGISTRIES: Final = "name the registry in the image"
_ON_PORTS: Final = "security groups belong to the Neutron ports"

NOT_SERVED: Final = (
    (("GET",), f"{CONTAINER}/attach", "attaching to a container", _NO_TERMINAL),
    (("POST",), f"{CONTAINER}/execute_resize", "resizing the terminal of a command", _NO_TERMINAL),
    (("POST",), f"{CONTAINER}/add_security_group", "adding a security group", _ON_PORTS),
    (("POST",), f"{CONTAINER}/remove_security_group", "removing a security group", _ON_PORTS),
    (("POST",), f"{CONTAINER}/rename", "renaming by POST", "use PATCH with a name"),
    (("GET", "POST"), "/capsules", "capsules", _NO_CAPSULES),
    (("GET", "DELETE"), "/capsules/<path:rest>", "capsules", _NO_CAPSULES),
    (("GET", "POST"), "/registries", "registries", _NO_REGISTRIES),
    (("GET", "PATCH", "DELETE"), "/registries/<path:rest>", "registries", _NO_REGISTRIES),
    (("GET", "PUT"), "/quota_classes/<name>", "quota classes", "quotas are set for a project"),
    (("GET", "DELETE"), "/images/<path:rest>", "images one by one", "'image list' shows those that hosts have"),
    (("POST",), "/networks", "making networks known", "they are known to Neutron, and made on hosts when needed"),
)
"""Methods, path, what it would be, and what to do instead."""


def sentence(what: str, instead: str) -> str:
    """Say that something is not supported."""
    return f"not supported: {what}; {instead}"
