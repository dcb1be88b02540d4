"""What the files say to a controller."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from types import MappingProxyType
from typing import Final

from oslo_config import cfg

from mooring.config.files import last
from mooring.config.listen_address import split_listen_address
from mooring.config.neutron import neutron_settings
from mooring.config.reading import KEYSTONE_SECTION, Configuration
from mooring.config.service_options import DEFAULT_QUOTAS
from mooring.config.settings import ControllerSettings, SchedulerSettings
from mooring.controller.scheduler.names import MULTIPLIERS, check_filters
from mooring.errors import InvalidConfiguration
from mooring.pci.alias import parse_aliases
from mooring.pci.requests import DeviceKind

DATABASE_FILE: Final = "service.sqlite"

# What is said of a resource counts where the filter that limits it is enabled.
_RATIOS: Final = {
    "cpu_allocation_ratio": "CPUFilter",
    "ram_allocation_ratio": "RamFilter",
    "disk_allocation_ratio": "DiskFilter",
}

# The module of a filter follows; a filter from elsewhere cannot be loaded.
_ZUN_FILTERS = re.compile(r"^zun\.scheduler\.filters\.(\w+\.)?")


def controller_settings(
    read: Configuration, *, bus: str | None = None, authentication: str = "keystone"
) -> ControllerSettings:
    """Return a controller's settings; ``bus`` and ``authentication`` are for files that name none."""
    conf = read.conf
    settings = ControllerSettings(
        api_address=(str(conf.api.host_ip), conf.api.port),
        authentication=conf.api.auth_strategy or authentication,
        keystone_authtoken=read.keystone_options() if KEYSTONE_SECTION in read.auth_sections else MappingProxyType({}),
        database_url=_database_url(conf),
        transport_url=_transport_url(conf, bus),
        neutron=neutron_settings(read),
        scheduler=_scheduler(conf),
        aliases=parse_aliases(conf.pci.alias),
        quotas=MappingProxyType({name: float(conf.quota[name]) for name in DEFAULT_QUOTAS}),
        policy_file=Path(conf.oslo_policy.policy_file) if conf.oslo_policy.policy_file else None,
        unique_names=conf.compute.unique_container_name_scope,
        default_vnic_type=conf.neutron.default_vnic_type,
        image_pull_policy=conf.compute.default_image_pull_policy,
        silent_s=float(conf.service_down_time),
        metrics_address=split_listen_address(address) if (address := conf.controller.metrics_address) else None,
        max_body_bytes=conf.api.max_request_body_size,
        workers=conf.controller.workers,
        debug=conf.debug,
    )
    _check_authentication(settings)
    return settings


def controller_doubts(settings: ControllerSettings, read: Configuration) -> tuple[str, ...]:
    """Return what is allowed but seldom meant, or has no effect as things are."""
    doubts = [
        f"{written} has no effect: [scheduler] enabled_filters lacks {name}"
        for option, name in _RATIOS.items()
        if name not in settings.scheduler.filters and (written := last(read.files, "scheduler", option))
    ]
    if settings.authentication == "noauth":
        doubts.append("[api] auth_strategy = noauth: everybody on this machine is whoever they say")
        if settings.keystone_authtoken:
            doubts.append(f"[{KEYSTONE_SECTION}] has no effect for users while [api] auth_strategy is noauth")
    doubts += [
        f"[pci] alias {alias.name} serves nobody: a PF comes into a container as a port of vnic_type direct-physical"
        for alias in settings.aliases.values()
        if alias.kind is DeviceKind.PF
    ]
    if settings.neutron.auth_type is None:
        doubts.append("[neutron] auth_type is not set: no port can be bound")
    return tuple(doubts)


def _check_authentication(settings: ControllerSettings) -> None:
    host, _ = settings.api_address
    if settings.authentication == "noauth" and not _is_loopback(host):
        raise InvalidConfiguration(
            f"[api] host_ip = {host}: with auth_strategy = noauth everybody who reaches it is whoever they say; listen "
            "on 127.0.0.1, or set auth_strategy = keystone"
        )
    if settings.authentication == "keystone" and "auth_type" not in settings.keystone_authtoken:
        raise InvalidConfiguration(
            f"[{KEYSTONE_SECTION}] auth_type is not set; write auth_type = password with auth_url, username, password, "
            "project_name and the two domains, or [api] auth_strategy = noauth to try the service without Keystone"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _database_url(conf: cfg.ConfigOpts) -> str:
    return conf.database.connection or f"sqlite:///{conf.state_dir}/{DATABASE_FILE}"


def _transport_url(conf: cfg.ConfigOpts, bus: str | None) -> str:
    if not (url := conf.transport_url or bus):
        raise InvalidConfiguration(
            "[DEFAULT] transport_url is not set, so no node could be told anything; write "
            "transport_url = rabbit://user:password@host:5672/mooring, the same for controllers and nodes"
        )
    return str(url)


def _scheduler(conf: cfg.ConfigOpts) -> SchedulerSettings:
    group = conf.scheduler
    filters = tuple(_ZUN_FILTERS.sub("", name) for name in group.enabled_filters)
    check_filters(filters)
    return SchedulerSettings(
        filters=filters,
        multipliers=MappingProxyType({name: group[f"{name}_weight_multiplier"] for name in MULTIPLIERS}),
        cpu_ratio=group.cpu_allocation_ratio,
        memory_ratio=group.ram_allocation_ratio,
        disk_ratio=group.disk_allocation_ratio,
    )
