"""The typed values that configuration becomes; nothing else of it travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mooring.pci.alias import Alias
from mooring.pci.device_spec import DeviceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class NeutronSettings:
    """How Neutron is reached and what is asked of it.

    ``auth_options`` are keyword arguments of the keystoneauth plugin ``auth_type``; they and ``transport_url`` hold
    passwords and are never shown. ``interfaces`` are kinds of endpoint in order of preference. Times are in seconds;
    ``active_timeout_s`` 0 means that nothing waits for a port to become ACTIVE. ``transport_url`` is empty where the
    status of ports is not reported.
    """

    auth_type: str | None = None
    auth_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    timeout_s: float = 10.0
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    insecure: bool = False
    region_name: str | None = None
    interfaces: tuple[str, ...] = ("public",)
    endpoint_override: str | None = None
    transport_url: str = field(default="", repr=False)
    active_timeout_s: int = 0
    active_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LibnetworkSettings:
    """What Docker's network and address drivers are told and asked.

    ``interface_prefix`` begins the names of interfaces in containers; ``capability_scope`` is local or
    global. The subnet pool names and ``enable_dhcp`` apply to what is created in Neutron for a Docker network. The
    defaults are kuryr-libnetwork's.
    """

    interface_prefix: str = "eth"
    capability_scope: str = "local"
    local_address_space: str = "no_address_space"
    global_address_space: str = "no_address_space"
    subnetpool_prefix: str = "kuryrPool"
    default_pool_v4: str = "kuryr"
    default_pool_v6: str = "kuryr6"
    enable_dhcp: bool = True

    def default_pool(self, version: int) -> str:
        """Return the name of the subnet pool that serves networks without a subnet of their own."""
        return self.default_pool_v4 if version == 4 else self.default_pool_v6  # noqa: PLR2004 - IP version


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Everything a node is told.

    ``port_drivers`` are names of installed port drivers, in the order written. ``metrics_address`` is address and port,
    None where nobody may read metrics.
    """

    host: str
    state_dir: Path
    plugin_socket: Path
    docker_url: str
    metrics_address: tuple[str, int] | None
    debug: bool
    port_drivers: tuple[str, ...]
    device_specs: tuple[DeviceSpec, ...]
    neutron: NeutronSettings
    libnetwork: LibnetworkSettings
    service: ServiceSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """What a node that belongs to a container service is told besides.

    ``transport_url`` is the bus that controllers and nodes share (``[DEFAULT] transport_url``); it holds a password.
    ``sync_interval_s`` is the longest silence of a node.
    """

    transport_url: str = field(repr=False)
    availability_zone: str = "nova"
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    sync_interval_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSettings:
    """How hosts are chosen: filters by Zun's names in their order, and what each weigher counts for.

    A negative multiplier turns a weigher round: ``spread`` -1 packs. The ratios say by how much more than there is a
    host may promise, of what the filters limit.
    """

    filters: tuple[str, ...]
    multipliers: Mapping[str, float]
    cpu_ratio: float = 16.0
    memory_ratio: float = 1.5
    disk_ratio: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """Everything a controller is told.

    ``api_address`` is where the REST API listens. ``authentication`` is ``keystone`` or ``noauth``;
    ``keystone_authtoken`` are keystonemiddleware's options. ``database_url`` and ``transport_url`` hold passwords.
    ``silent_s`` is how long a host may be silent before it is taken for down. ``default_vnic_type`` is the kind of port
    that is made for a network. ``quotas`` are the limits of a project by resource, -1 for none.
    """

    api_address: tuple[str, int]
    authentication: str
    database_url: str = field(repr=False)
    transport_url: str = field(repr=False)
    neutron: NeutronSettings
    scheduler: SchedulerSettings
    aliases: Mapping[str, Alias]
    quotas: Mapping[str, float]
    keystone_authtoken: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    policy_file: Path | None = None
    unique_names: str = ""
    default_vnic_type: str = "normal"
    image_pull_policy: str = "ifnotpresent"
    silent_s: float = 180.0
    metrics_address: tuple[str, int] | None = None
    max_body_bytes: int = 8 * 1024 * 1024
    workers: int = 4
    debug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AllInOneSettings:
    """What a node and a controller in one process are told."""

    node: NodeSettings
    controller: ControllerSettings
