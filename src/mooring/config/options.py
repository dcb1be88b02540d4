"""Every option, declared once, with the help that the sample file shows. Here are those of a node."""

from __future__ import annotations

from keystoneauth1 import exceptions, loading
from oslo_config import cfg

from mooring.config.listen_address import ListenAddress
from mooring.config.service_options import service_options
from mooring.config.settings import LibnetworkSettings
from mooring.errors import InvalidConfiguration

_ABSOLUTE = "^/"
_LIBNETWORK = LibnetworkSettings()

_DEFAULT: list[cfg.Opt] = [
    cfg.StrOpt(
        "host",
        sample_default="<host name of the machine>",
        help="Name of this host in Neutron. Change it where Neutron's agents run under another name than the one that "
        "'hostname' prints (an FQDN, or their own host option): a port is bound only on a host that Neutron knows.",
    ),
    cfg.StrOpt(
        "state_dir",
        default="/var/lib/mooring",
        regex=_ABSOLUTE,
        help="Directory of the journal that says which VF is whose. Change it to keep the journal on another local "
        "disk; never to one that is shared or emptied at boot, and only while no container uses a VF.",
    ),
    cfg.StrOpt(
        "plugin_socket",
        default="/run/docker/plugins/kuryr.sock",
        regex=_ABSOLUTE,
        help="Unix socket on which Docker finds the plugin; the file's name without .sock is the driver's name for "
        "'docker network create -d'. Change it when kuryr-libnetwork still serves that name on this host.",
    ),
    cfg.StrOpt(
        "docker_url",
        default="unix:///var/run/docker.sock",
        regex="^unix:///",
        help="Where Docker of this host answers, so that mooring can ask which endpoints there still are. Change it "
        "when Docker listens on another socket (a rootless one does).",
    ),
    cfg.Opt(
        "metrics_address",
        type=ListenAddress(),
        default="127.0.0.1:9709",
        help="Address and port on which Prometheus may read metrics. Name the address of a management network to have "
        "them read from elsewhere: nobody is asked for a password. Empty: nothing listens.",
    ),
    cfg.ListOpt(
        "enabled_port_drivers",
        default=["sriov"],
        help="Port drivers that may serve ports, one for each vnic_type: veth (normal), sriov (direct), macvtap "
        "(macvtap), physical (direct-physical). Add one to serve ports of its kind; kuryr's dotted names are "
        "understood.",
    ),
    cfg.BoolOpt(
        "debug",
        default=False,
        help="Log what is read and decided, too. Turn it on to follow a problem; the log then grows with every call.",
    ),
    cfg.StrOpt(
        "capability_scope",
        default=_LIBNETWORK.capability_scope,
        choices=[("local", "each Docker daemon knows its own networks"), ("global", "a swarm shares them")],
        help="What Docker is told of the reach of its networks. Leave it at local unless every Docker daemon of a "
        "swarm uses this plugin and networks are created on the swarm's managers.",
    ),
    cfg.StrOpt(
        "local_default_address_space",
        default=_LIBNETWORK.local_address_space,
        help="Name that Docker keeps with addresses of local networks. Change it only to what networks already bear; "
        "while it differs from the global one, Docker asks again for pools that overlap the host's routes.",
    ),
    cfg.StrOpt(
        "global_default_address_space",
        default=_LIBNETWORK.global_address_space,
        help="The same for networks of global scope.",
    ),
    cfg.StrOpt(
        "subnetpool_name_prefix",
        default=_LIBNETWORK.subnetpool_prefix,
        help="Start of the names of subnet pools that are made for Docker networks. Change it only together on every "
        "host: pools are found again by their names.",
    ),
]

_PCI: list[cfg.Opt] = [
    cfg.MultiStrOpt(
        "device_spec",
        default=[],
        sample_default=['{"devname": "enp59s0f0", "physical_network": "physnet1"}'],
        help="Devices that may be given to containers, and the physical network each is on: a JSON object, or a list "
        "of them, in Nova's syntax; may be given several times, and the first entry that matches a device counts. "
        "Required. Naming a PF by address or devname admits its VFs.",
    ),
    cfg.MultiStrOpt(
        "passthrough_whitelist",
        default=[],
        help="The name Zun gives to device_spec; its entries come after those of device_spec. Use one of the two.",
    ),
]

_NEUTRON: list[cfg.Opt] = [
    cfg.StrOpt(
        "transport_url",
        default="",
        secret=True,
        help="Address of Neutron's own message bus, as in neutron.conf (rabbit://user:password@controller:5672/). "
        "Without it Neutron is never told that a device is up, and the status of ports stays DOWN.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=10,
        min=0.1,
        help="Seconds to wait for an answer of Neutron or Keystone, and for a connection to Keystone; a connection to "
        "Neutron is given 5. Raise it for a Neutron that is slow under load; Docker's user waits that much longer for "
        "an error when it does not answer.",
    ),
    cfg.StrOpt("cafile", help="CA certificates (PEM) to verify Neutron and Keystone with. Set it for a private CA."),
    cfg.StrOpt("certfile", help="Client certificate (PEM). Set it where the servers ask for one."),
    cfg.StrOpt("keyfile", help="Key of the client certificate (PEM). Set it unless certfile holds the key, too."),
    cfg.BoolOpt(
        "insecure",
        default=False,
        help="Do not verify the servers' certificates. Leave it off: the service's password goes to whoever answers.",
    ),
    cfg.StrOpt("region_name", help="Region to choose from the catalogue. Set it where the cloud has more than one."),
    cfg.StrOpt(
        "endpoint_type",
        default="public",
        choices=[("public", "the users' address"), ("internal", "the services' address"), ("admin", "the operators'")],
        help="Kind of Neutron's endpoint to use. Set it to internal where hosts do not reach the public network.",
    ),
    cfg.ListOpt(
        "valid_interfaces",
        help="Kinds of endpoint to use, in order of preference; wins over endpoint_type.",
    ),
    cfg.StrOpt(
        "endpoint_override",
        help="Neutron's URL instead of the catalogue's. Set it where there is no catalogue (auth_type = none).",
    ),
    cfg.BoolOpt(
        "enable_dhcp",
        default=_LIBNETWORK.enable_dhcp,
        help="Whether subnets made for Docker networks have DHCP. Turn it off to save Neutron's DHCP port on them.",
    ),
    cfg.StrOpt(
        "default_subnetpool_v4",
        default=_LIBNETWORK.default_pool_v4,
        help="Subnet pool for Docker networks created without --subnet. Name one that exists in Neutron.",
    ),
    cfg.StrOpt("default_subnetpool_v6", default=_LIBNETWORK.default_pool_v6, help="The same for IPv6."),
    cfg.IntOpt(
        "vif_plugging_timeout",
        default=0,
        min=0,
        help="Seconds a starting container waits for its port to become ACTIVE; 0 does not wait. Raise it where the "
        "application must find its network ready.",
    ),
    cfg.BoolOpt(
        "vif_plugging_is_fatal",
        default=False,
        help="Whether a container fails to start when its port is not ACTIVE in vif_plugging_timeout seconds. Without "
        "it the container starts all the same.",
    ),
]

_BINDING: list[cfg.Opt] = [
    cfg.ListOpt(
        "enabled_drivers",
        help="kuryr's binding drivers. The port's vnic_type decides, so leave it unset; where it is set and SR-IOV is "
        "enabled, it must name hw_veb.",
    ),
    cfg.StrOpt(
        "veth_dst_prefix",
        default=_LIBNETWORK.interface_prefix,
        regex=r"^[^\s/:]{1,12}$",
        help="Start of interface names inside containers; Docker appends a number.",
    ),
]


def auth_common_options() -> list[cfg.Opt]:
    """Return the options that choose keystoneauth's plugin and the section of its options."""
    return list(loading.get_auth_common_conf_options())


def auth_plugin_options(auth_type: str) -> list[cfg.Opt]:
    """Return the options of one of keystoneauth's plugins; raise InvalidConfiguration when there is no such plugin."""
    try:
        return list(loading.get_auth_plugin_conf_options(auth_type))
    except exceptions.NoMatchingPlugin as exc:
        known = ", ".join(sorted(loading.get_available_plugin_names()))
        raise InvalidConfiguration(f"there is no such plugin; known: {known}") from exc


def own_options() -> list[tuple[str, list[cfg.Opt]]]:
    """Return mooring's own options by section."""
    sections = {"DEFAULT": _DEFAULT, "pci": _PCI, "neutron": _NEUTRON, "binding": _BINDING}
    for section, options in service_options():
        sections[section] = [*sections.get(section, []), *options]
    return list(sections.items())


def list_options() -> list[tuple[str, list[cfg.Opt]]]:
    """Return every option by section for oslo-config-generator, with those of the usual auth_type, password."""
    sections = dict(own_options())
    sections["neutron"] = [*sections["neutron"], *auth_common_options(), *auth_plugin_options("password")]
    return list(sections.items())
