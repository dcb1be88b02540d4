"""From configuration files to a daemon's settings."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from oslo_config import cfg

from mooring.config.controller import controller_doubts, controller_settings
from mooring.config.files import DEFAULT_FILES, last
from mooring.config.legacy import check_binding_drivers, choose_port_drivers
from mooring.config.listen_address import split_listen_address
from mooring.config.neutron import neutron_settings
from mooring.config.reading import Configuration, read_configuration
from mooring.config.settings import (
    AllInOneSettings,
    ControllerSettings,
    LibnetworkSettings,
    NodeSettings,
    ServiceSettings,
)
from mooring.errors import InvalidAlias, InvalidConfiguration, InvalidDeviceSpec
from mooring.pci.device_spec import DeviceSpec
from mooring.plugins import installed_port_drivers

IN_PROCESS_BUS: Final = "fake://"

_EXAMPLE = 'device_spec = {"devname": "enp59s0f0", "physical_network": "physnet1"}'

Settings = TypeVar("Settings", NodeSettings, ControllerSettings, AllInOneSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[Settings]):
    """What the files say, and what the operator should hear about them once logging has begun."""

    settings: Settings
    warnings: tuple[str, ...]


def load(
    argv_files: Sequence[Path] | None = None, *, default_files: Sequence[Path] = DEFAULT_FILES
) -> Loaded[NodeSettings]:
    """Return what a node is told by the files named on the command line (the last wins), or else by the usual ones.

    Raises InvalidConfiguration for anything that would otherwise be silently without effect, as all of these do.
    """
    read = read_configuration(argv_files, default_files)
    with _naming(read):
        settings = _node(read)
        return Loaded(settings=settings, warnings=(*read.ignored(), *_node_doubts(settings, read)))


def load_controller(
    argv_files: Sequence[Path] | None = None, *, default_files: Sequence[Path] = DEFAULT_FILES
) -> Loaded[ControllerSettings]:
    """Return what a controller is told."""
    read = read_configuration(argv_files, default_files)
    with _naming(read):
        settings = controller_settings(read)
        return Loaded(settings=settings, warnings=(*read.ignored(), *controller_doubts(settings, read)))


def load_all_in_one(
    argv_files: Sequence[Path] | None = None, *, default_files: Sequence[Path] = DEFAULT_FILES
) -> Loaded[AllInOneSettings]:
    """Return what a node and a controller in one process are told: they need neither bus nor Keystone to meet."""
    read = read_configuration(argv_files, default_files)
    with _naming(read):
        controller = controller_settings(read, bus=IN_PROCESS_BUS, authentication="noauth")
        node = replace(_node(read), service=_service(read.conf, controller.transport_url))
        return Loaded(
            settings=AllInOneSettings(node=node, controller=controller),
            warnings=(*read.ignored(), *_node_doubts(node, read), *controller_doubts(controller, read)),
        )


@contextmanager
def _naming(read: Configuration) -> Iterator[None]:
    """Put the files' names before what is wrong with what they say."""
    try:
        yield
    except (InvalidConfiguration, InvalidDeviceSpec, InvalidAlias) as exc:
        raise InvalidConfiguration(f"{read.names}: {exc}") from exc


def _node(read: Configuration) -> NodeSettings:
    conf = read.conf
    specs = DeviceSpec.parse_all([*conf.pci.device_spec, *conf.pci.passthrough_whitelist])
    if not specs:
        raise InvalidConfiguration(
            f"[pci] device_spec is empty, so no device may be used; write, for example, {_EXAMPLE}"
        )
    return NodeSettings(
        host=conf.host or socket.gethostname(),
        state_dir=Path(conf.state_dir),
        plugin_socket=Path(conf.plugin_socket),
        docker_url=conf.docker_url,
        metrics_address=split_listen_address(conf.metrics_address) if conf.metrics_address else None,
        debug=conf.debug,
        port_drivers=choose_port_drivers(conf.enabled_port_drivers, installed_port_drivers()),
        device_specs=specs,
        neutron=neutron_settings(read),
        libnetwork=_libnetwork(conf),
        service=_service(conf, conf.transport_url) if conf.transport_url else None,
    )


def _service(conf: cfg.ConfigOpts, transport_url: str) -> ServiceSettings:
    return ServiceSettings(
        transport_url=transport_url,
        availability_zone=conf.availability_zone,
        labels=MappingProxyType(dict(conf.host_labels)),
    )


def _libnetwork(conf: cfg.ConfigOpts) -> LibnetworkSettings:
    return LibnetworkSettings(
        interface_prefix=conf.binding.veth_dst_prefix,
        capability_scope=conf.capability_scope,
        local_address_space=conf.local_default_address_space,
        global_address_space=conf.global_default_address_space,
        subnetpool_prefix=conf.subnetpool_name_prefix,
        default_pool_v4=conf.neutron.default_subnetpool_v4,
        default_pool_v6=conf.neutron.default_subnetpool_v6,
        enable_dhcp=conf.neutron.enable_dhcp,
    )


def _node_doubts(settings: NodeSettings, read: Configuration) -> tuple[str, ...]:
    """Return what is allowed but seldom meant."""
    neutron = settings.neutron
    doubts = [
        f"[pci] device_spec {spec.text} has no physical_network: its devices serve no port"
        for spec in settings.device_specs
        if spec.physical_network is None
    ]
    if not neutron.transport_url:
        doubts.append("[neutron] transport_url is empty: Neutron is not told of devices, and ports stay DOWN")
    if neutron.active_required and not neutron.active_timeout_s:
        doubts.append("[neutron] vif_plugging_is_fatal has no effect while vif_plugging_timeout is 0: nothing waits")
    if settings.service is None:
        doubts += [
            f"{written} has no effect: without [DEFAULT] transport_url this host belongs to no container service"
            for option in ("availability_zone", "host_labels")
            if (written := last(read.files, "DEFAULT", option))
        ]
    return (*check_binding_drivers(read.conf.binding.enabled_drivers, settings.port_drivers), *doubts)
