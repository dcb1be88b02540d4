"""The options that users give: ``-o`` and ``--ipam-opt`` of a network, ``driver-opt`` of an endpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from mooring.errors import InvalidRequest
from mooring.suggestions import suggest

VNIC_TYPES: Final = ("normal", "direct", "direct-physical", "macvtap")
PORT_KEY: Final = "neutron.port.uuid"
VNIC_TYPE_KEY: Final = "neutron.vnic_type"
VF_DRIVER_KEY: Final = "neutron.vf_driver"
NETWORK_KEY: Final = "neutron.net.uuid"
BOUND_KEY: Final = "neutron.bound"
"""Of a network: that it takes ports which a controller has bound, and no others."""
_VF_DRIVERS: Final = ("vfio-pci",)

_NETWORK_KEYS: Final = (
    NETWORK_KEY,
    "neutron.net.name",
    "neutron.net.shared",
    "neutron.subnet.uuid",
    "neutron.subnet.name",
    "neutron.subnet.v6.uuid",
    "neutron.subnet.v6.name",
    "neutron.pool.uuid",
    "neutron.pool.name",
    "neutron.pool.v6.uuid",
    "neutron.pool.v6.name",
    VNIC_TYPE_KEY,
    BOUND_KEY,
)
_ENDPOINT_KEYS: Final = (PORT_KEY, VNIC_TYPE_KEY, VF_DRIVER_KEY)
_TRUE: Final = ("1", "t", "true", "on", "y", "yes")
_FALSE: Final = ("0", "f", "false", "off", "n", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """How a user names an object of Neutron: by UUID, which wins, or by name. ``key`` begins the options' names."""

    key: str
    uuid: str | None = None
    name: str | None = None

    @property
    def given(self) -> bool:
        """Tell whether the user named anything."""
        return bool(self.uuid or self.name)

    def __str__(self) -> str:
        return f"{self.key}.uuid={self.uuid}" if self.uuid else f"{self.key}.name={self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """What a Docker network was created with. ``shared`` is None where the user did not say.

    ``bound`` is the value of BOUND_KEY.
    """

    network: Selector
    subnets: Mapping[int, Selector]
    pools: Mapping[int, Selector]
    shared: bool | None
    vnic_type: str | None
    bound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """What a container's connection to a network was asked for with; ``vf_driver`` None is the VF's network driver."""

    port: str | None
    vnic_type: str | None
    vf_driver: str | None


def parse_network_options(options: Mapping[str, object]) -> NetworkOptions:
    """Read ``-o`` or ``--ipam-opt``, which take the same keys; raise InvalidRequest for what has no meaning."""
    own = _own(options, _NETWORK_KEYS, "network")
    return NetworkOptions(
        network=_selector(own, "neutron.net"),
        subnets={4: _selector(own, "neutron.subnet"), 6: _selector(own, "neutron.subnet.v6")},
        pools={4: _selector(own, "neutron.pool"), 6: _selector(own, "neutron.pool.v6")},
        shared=_boolean(own, "neutron.net.shared"),
        vnic_type=_one_of(own, VNIC_TYPE_KEY, VNIC_TYPES),
        bound=bool(_boolean(own, BOUND_KEY)),
    )


def parse_endpoint_options(options: Mapping[str, object]) -> EndpointOptions:
    """Read an endpoint's options, among which are Docker's own; raise InvalidRequest for what has no meaning."""
    own = _own(options, _ENDPOINT_KEYS, "endpoint")
    return EndpointOptions(
        port=_uuid(own, PORT_KEY),
        vnic_type=_one_of(own, VNIC_TYPE_KEY, VNIC_TYPES),
        vf_driver=_one_of(own, VF_DRIVER_KEY, _VF_DRIVERS),
    )


def _own(options: Mapping[str, object], known: Collection[str], kind: str) -> dict[str, str]:
    """Pick the options that are meant for us; every key that begins with ``neutron.`` must be known."""
    own = {}
    for given, value in options.items():
        key = given.lower()
        if not key.startswith("neutron."):
            continue
        if key not in known:
            raise InvalidRequest(f"unknown {kind} option {given}; {suggest(key, known)}")
        own[key] = str(value)
    return own


def _selector(own: Mapping[str, str], key: str) -> Selector:
    return Selector(key=key, uuid=_uuid(own, f"{key}.uuid"), name=own.get(f"{key}.name") or None)


def _uuid(own: Mapping[str, str], key: str) -> str | None:
    if not (value := own.get(key)):
        return None
    try:
        return str(UUID(value))
    except ValueError as exc:
        raise InvalidRequest(f"option {key}={value} is not a UUID; 'openstack ... list' shows the ids") from exc


def _boolean(own: Mapping[str, str], key: str) -> bool | None:
    if not (value := own.get(key)):
        return None
    if value.lower() not in _TRUE + _FALSE:
        raise InvalidRequest(f"option {key}={value} is neither true nor false")
    return value.lower() in _TRUE


def _one_of(own: Mapping[str, str], key: str, known: Collection[str]) -> str | None:
    if not (value := own.get(key)):
        return None
    if value.lower() not in known:
        raise InvalidRequest(f"option {key}={value} names nothing that is served; {suggest(value, known)}")
    return value.lower()
