"""Names and tags that mark, in Neutron, what belongs to which Docker network: kuryr-libnetwork's, kept.

Objects that kuryr-libnetwork made resolve here, and ours resolve there. Ports of containers bear no endpoint tags,
unlike kuryr's: their device_id, the endpoint's id, says the same and comes with the binding for free.
"""

from __future__ import annotations

from typing import Final

from mooring.neutron.model import IpNetwork

DEVICE_OWNER: Final = "compute:kuryr"
PORT_NAME: Final = "kuryr-unbound-port"
PORT_TAG: Final = "compute:kuryr"
POOL_IN_USE_TAG: Final = "kuryr.subnetpool.existing"

_LOWER: Final = "kuryr.net.uuid.lh:"
_UPPER: Final = "kuryr.net.uuid.uh:"
_ADOPTED: Final = "kuryr.net.existing:"
_HALF: Final = 32


def network_name(docker_id: str) -> str:
    """Name a network made for a Docker network."""
    return f"kuryr-net-{docker_id[:8]}"


def subnet_name(cidr: IpNetwork) -> str:
    """Name a subnet made for a Docker network."""
    return f"kuryr-subnet-{cidr}"


def pool_name(prefix: str, cidr: IpNetwork) -> str:
    """Name a subnet pool made for a CIDR."""
    return f"{prefix}-{cidr}"


def identity_tags(docker_id: str) -> frozenset[str]:
    """Return the tags that identify a Docker network: its id in two halves, for a Neutron tag has 60 characters.

    Swarm's ids have 25 characters and need the first only.
    """
    tags = {_LOWER + docker_id[:_HALF]}
    if len(docker_id) > _HALF:
        tags.add(_UPPER + docker_id[_HALF : 2 * _HALF])
    return frozenset(tags)


def adoption_tag(docker_id: str) -> str:
    """Return the tag that says of a network: it was there before this Docker network."""
    return f"{_ADOPTED}{docker_id[:12]}"


def docker_tags(docker_id: str) -> frozenset[str]:
    """Return every tag that a Docker network may have left on its Neutron network."""
    return identity_tags(docker_id) | {adoption_tag(docker_id)}


def used_by_others(tags: frozenset[str], docker_id: str) -> bool:
    """Tell whether a network bears the tags of another Docker network, of this host or any other."""
    return any(tag.startswith(_LOWER) for tag in tags - docker_tags(docker_id))
