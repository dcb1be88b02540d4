"""What kuryr.conf may say: names and values that mooring takes over, and those that have lost their meaning."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mooring.errors import InvalidConfiguration
from mooring.suggestions import suggest

PORT_DRIVER_PREFIX = "kuryr_libnetwork.port_driver.drivers."
BINDING_DRIVER_PREFIX = "kuryr.lib.binding.drivers."

_IN_MACHINES = ("nested", "vlan")
_USED_BINDING_DRIVERS = ("veth", "hw_veb")
_UNUSED_BINDING_DRIVERS = ("macvlan", "ipvlan", "vlan")

_SOCKET = "Docker finds the plugin on the unix socket plugin_socket, which root alone may open"
_VNIC = "the port's vnic_type chooses the driver"
_INSTALL = "mooring runs no helper scripts"
_LOG = "mooring logs to its standard error and leaves files to the service manager"
_TRACE = "mooring has its own log and timings"

IGNORED: dict[tuple[str, str], str] = {
    **{("DEFAULT", key): _SOCKET for key in ("kuryr_uri", "enable_ssl", "ssl_cert_file", "ssl_key_file")},
    **{("DEFAULT", key): _VNIC for key in ("default_port_driver", "port_driver")},
    **{("binding", key): _VNIC for key in ("default_driver", "driver")},
    **{("DEFAULT", key): _INSTALL for key in ("pybasedir", "bindir")},
    ("DEFAULT", "deployment_type"): "kuryr never read it either",
    ("DEFAULT", "process_external_connectivity"): "Neutron enforces no security groups on SR-IOV ports",
    ("binding", "link_iface"): "it serves containers inside virtual machines",
    **{("neutron", key): _TRACE for key in ("collect_timing", "split_loggers")},
    # The options of oslo.log, which every OpenStack service shows in its sample file.
    **{
        ("DEFAULT", key): _LOG
        for name in (
            *("log-config-append", "log-date-format", "log-file", "log-dir", "use-syslog", "use-journal", "use-json"),
            *("syslog-log-facility", "use_stderr", "log_color", "log_rotate_interval", "log_rotate_interval_type"),
            *("max_logfile_count", "max_logfile_size_mb", "log_rotation_type", "logging_context_format_string"),
            *("logging_default_format_string", "logging_debug_format_suffix", "logging_exception_prefix"),
            *("logging_user_identity_format", "default_log_levels", "publish_errors", "instance_format"),
            *("instance_uuid_format", "rate_limit_interval", "rate_limit_burst", "rate_limit_except_level"),
            *("fatal_deprecations", "verbose", "watch_log_file", "logfile", "logdir", "log_format"),
        )
        for key in (name, name.replace("-", "_"))
    },
}
"""Options that are accepted and have no effect, by section and key, with the reason."""


def choose_port_drivers(written: Sequence[str], installed: Collection[str]) -> tuple[str, ...]:
    """Translate ``enabled_port_drivers`` to our names; raise InvalidConfiguration for a driver that does not exist.

    kuryr's sriov driver took direct, macvtap and direct-physical ports alike, so its dotted name stands for the
    driver of each.
    """
    wanted: dict[str, None] = {}
    for name in written:
        wanted[_short_port_driver(name, installed)] = None
        if name == PORT_DRIVER_PREFIX + "sriov":
            wanted |= dict.fromkeys(("macvtap", "physical"))
    if not wanted:
        raise InvalidConfiguration(
            "[DEFAULT] enabled_port_drivers is empty, so no port could be served; "
            f"write one or more of {', '.join(sorted(installed))}"
        )
    return tuple(wanted)


def check_binding_drivers(written: Sequence[str] | None, port_drivers: Sequence[str]) -> tuple[str, ...]:
    """Check ``[binding] enabled_drivers`` (None when unset) against the port drivers, and return warnings.

    kuryr needs hw_veb there for SR-IOV; a file that lacks it would have failed at the first container.
    """
    if written is None:
        return ()
    known = (*_USED_BINDING_DRIVERS, *_UNUSED_BINDING_DRIVERS)
    names = [name.removeprefix(BINDING_DRIVER_PREFIX) for name in written]
    for name in names:
        if name not in known:
            raise InvalidConfiguration(f"[binding] enabled_drivers: unknown driver {name}; {suggest(name, known)}")
    if "hw_veb" not in names and any(driver != "veth" for driver in port_drivers):
        raise InvalidConfiguration(
            "[binding] enabled_drivers lacks hw_veb, without which no SR-IOV port can be bound; add "
            f"{BINDING_DRIVER_PREFIX}hw_veb to it, or remove the option"
        )
    return tuple(
        f"[binding] enabled_drivers: {name} serves containers inside virtual machines and is ignored"
        for name in dict.fromkeys(names)
        if name in _UNUSED_BINDING_DRIVERS
    )


def _short_port_driver(name: str, installed: Collection[str]) -> str:
    short = name.removeprefix(PORT_DRIVER_PREFIX)
    if short in _IN_MACHINES and short not in installed:
        raise InvalidConfiguration(
            f"[DEFAULT] enabled_port_drivers: {short} serves containers inside virtual machines, which mooring does "
            "not; remove it"
        )
    if short not in installed:
        known = suggest(short, sorted(installed))
        raise InvalidConfiguration(f"[DEFAULT] enabled_port_drivers: unknown driver {name}; {known}")
    return short
