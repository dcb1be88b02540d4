"""From configuration files to settings: the one place where options are read."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from oslo_config import cfg

from mooring.config.files import (
    DEFAULT_FILES,
    Assignment,
    ConfigFile,
    check,
    check_references,
    choose,
    last,
    names_of,
    read,
)
from mooring.config.legacy import IGNORED, check_binding_drivers, choose_port_drivers
from mooring.config.listen_address import split_listen_address
from mooring.config.options import auth_common_options, auth_plugin_options, own_options
from mooring.config.settings import LibnetworkSettings, NeutronSettings, NodeSettings
from mooring.config.transport_url import find_problem
from mooring.errors import InvalidConfiguration, InvalidDeviceSpec
from mooring.pci.device_spec import DeviceSpec
from mooring.plugins import installed_port_drivers

_EXAMPLE = 'device_spec = {"devname": "enp59s0f0", "physical_network": "physnet1"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the files say, and what the operator should hear about them once logging has begun."""

    settings: NodeSettings
    warnings: tuple[str, ...]


def load(argv_files: Sequence[Path] | None = None, *, default_files: Sequence[Path] = DEFAULT_FILES) -> Loaded:
    """Read the files named on the command line (the last wins), or else the usual ones that exist.

    Raises InvalidConfiguration for anything that would otherwise be silently without effect.
    """
    files = tuple(read(path) for path in choose(argv_files, default_files))
    sections, auth_section = _sections(files)
    known = _known(sections)
    for file in files:
        check(file, known)
    conf = _values(files, sections)
    check_references(files, known, conf)
    _check_transport_url(conf, files)
    try:
        return _loaded(conf, files, auth_section)
    except (InvalidConfiguration, InvalidDeviceSpec) as exc:
        raise InvalidConfiguration(f"{', '.join(str(file.path) for file in files)}: {exc}") from exc


def _sections(files: Sequence[ConfigFile]) -> tuple[dict[str, list[cfg.Opt]], str]:
    """Return the options by section, and the section of the authentication options, which the files may choose."""
    sections = dict(own_options())
    written = last(files, "neutron", "auth_section")
    auth_section = ((written and written.value) or "neutron").lower()
    plugin = _plugin_options(last(files, auth_section, "auth_type", "auth_plugin"))
    sections["neutron"] = [*sections["neutron"], *auth_common_options()]
    if auth_section == "neutron":
        sections["neutron"] += plugin
    else:
        sections[auth_section] = [*sections.get(auth_section, []), *auth_common_options(), *plugin]
    return sections, auth_section


def _plugin_options(auth_type: Assignment | None) -> list[cfg.Opt]:
    if auth_type is None or not auth_type.value:
        # The usual plugin's options are known then, so that a file is judged by its other mistakes, too.
        return auth_plugin_options("password")
    if len(auth_type.value.splitlines()) > 1:
        raise InvalidConfiguration(auth_type.told("not one word; indent no line below it", secret=False))
    try:
        return auth_plugin_options(auth_type.value)
    except InvalidConfiguration as exc:
        raise InvalidConfiguration(auth_type.told(exc, secret=False)) from exc


def _known(sections: dict[str, list[cfg.Opt]]) -> dict[str, dict[str, cfg.Opt | None]]:
    known: dict[str, dict[str, cfg.Opt | None]] = {
        section: {name: option for option in options for name in names_of(option)}
        for section, options in sections.items()
    }
    for section, key in IGNORED:
        known[section].setdefault(key, None)
    return known


def _values(files: Sequence[ConfigFile], sections: dict[str, list[cfg.Opt]]) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[str(file.path) for file in files], default_config_dirs=[], use_env=False)
    for section, options in sections.items():
        conf.register_opts(options, group=None if section == "DEFAULT" else section)
    return conf


def _check_transport_url(conf: cfg.ConfigOpts, files: Sequence[ConfigFile]) -> None:
    written = last(files, "neutron", "transport_url")
    if written is not None and conf.neutron.transport_url and (problem := find_problem(conf.neutron.transport_url)):
        raise InvalidConfiguration(f"{written}: {problem}")


def _loaded(conf: cfg.ConfigOpts, files: Sequence[ConfigFile], auth_section: str) -> Loaded:
    drivers = choose_port_drivers(conf.enabled_port_drivers, installed_port_drivers())
    specs = DeviceSpec.parse_all([*conf.pci.device_spec, *conf.pci.passthrough_whitelist])
    if not specs:
        raise InvalidConfiguration(
            f"[pci] device_spec is empty, so no device may be used; write, for example, {_EXAMPLE}"
        )
    settings = NodeSettings(
        host=conf.host or socket.gethostname(),
        state_dir=Path(conf.state_dir),
        plugin_socket=Path(conf.plugin_socket),
        docker_url=conf.docker_url,
        metrics_address=split_listen_address(conf.metrics_address) if conf.metrics_address else None,
        debug=conf.debug,
        port_drivers=drivers,
        device_specs=specs,
        neutron=_neutron(conf, auth_section),
        libnetwork=_libnetwork(conf),
    )
    binding = check_binding_drivers(conf.binding.enabled_drivers, drivers)
    return Loaded(settings=settings, warnings=(*_ignored(files), *binding, *_doubtful(settings)))


def _neutron(conf: cfg.ConfigOpts, auth_section: str) -> NeutronSettings:
    group, auth = conf.neutron, conf[auth_section]
    plugin = auth_plugin_options(auth.auth_type) if auth.auth_type else []
    options = {option.dest: auth[option.dest] for option in plugin if auth[option.dest] is not None}
    return NeutronSettings(
        auth_type=auth.auth_type or None,
        auth_options=MappingProxyType(options),
        timeout_s=group.timeout,
        cafile=group.cafile,
        certfile=group.certfile,
        keyfile=group.keyfile,
        insecure=group.insecure,
        region_name=group.region_name,
        interfaces=tuple(group.valid_interfaces or [group.endpoint_type]),
        endpoint_override=group.endpoint_override,
        transport_url=group.transport_url,
        active_timeout_s=group.vif_plugging_timeout,
        active_required=group.vif_plugging_is_fatal,
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


def _ignored(files: Sequence[ConfigFile]) -> tuple[str, ...]:
    seen = {
        (a.section, a.key): f"{a} is ignored: {IGNORED[a.section, a.key]}"
        for file in files
        for a in file.assignments
        if (a.section, a.key) in IGNORED
    }
    return tuple(seen.values())


def _doubtful(settings: NodeSettings) -> tuple[str, ...]:
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
    return tuple(doubts)
