"""Every option of the container service, in Zun's names where Zun has one. A node reads the first few, too."""

from __future__ import annotations

from typing import Final

from oslo_config import cfg

from mooring.config.listen_address import ListenAddress
from mooring.controller.scheduler.names import DEFAULT_FILTERS, MULTIPLIERS

DEFAULT_QUOTAS: Final = {"containers": 40, "cpu": 20, "memory": 51200, "disk": 100}
"""Zun's: containers, processors, MiB, GiB."""

_WEIGHERS: Final = {
    "spread": "is for hosts with much left of what a container takes, and packs if negative",
    "sparing": "keeps containers that take no device away from hosts with free VFs",
    "locality": "is for hosts where several devices come from one card, or at least from one NUMA node",
}

_DEFAULT: list[cfg.Opt] = [
    cfg.StrOpt(
        "transport_url",
        default="",
        secret=True,
        help="Address of the message bus that controllers and nodes of the container service share "
        "(rabbit://user:password@controller:5672/mooring); give it a virtual host of its own. A node without it runs "
        "no containers of the service and serves 'docker run' all the same; a controller must have it.",
    ),
    cfg.StrOpt(
        "availability_zone",
        default="nova",
        regex=r"^[^\s:,]+$",
        help="Availability zone of this host. Change it where users are to choose between rooms or racks.",
    ),
    cfg.DictOpt(
        "host_labels",
        default={},
        help="Labels of this host (key:value, several with commas), which users ask for with the hint label:KEY=VALUE. "
        "Set them where LabelFilter is enabled.",
    ),
    cfg.IntOpt(
        "service_down_time",
        default=180,
        min=1,
        help="Seconds that a host may be silent before it gets no new containers and its own are shown as Unknown. Not "
        "below a minute: hosts report every twenty seconds.",
    ),
]

_API: list[cfg.Opt] = [
    cfg.HostAddressOpt(
        "host_ip",
        default="127.0.0.1",
        help="Address on which the REST API listens. Name one that users, or the proxy that speaks TLS with them, "
        "reach. With auth_strategy = noauth only loopback is allowed.",
    ),
    cfg.PortOpt("port", default=9517, min=1, help="Port of the REST API. Change it when another service has it."),
    cfg.StrOpt(
        "auth_strategy",
        choices=[("keystone", "tokens of Keystone"), ("noauth", "the token is believed: user:project:role")],
        sample_default="keystone",
        help="How users are known. Unset: keystone for 'mooring controller', noauth for 'mooring all-in-one'. With "
        "noauth everybody who reaches the port is whoever they say: for trying things out on one machine.",
    ),
    cfg.IntOpt(
        "max_request_body_size",
        default=8 * 1024 * 1024,
        min=64 * 1024,
        help="Largest request in bytes; a larger one is answered 413. Raise it where users put large files into "
        "containers.",
    ),
]

_CONTROLLER: list[cfg.Opt] = [
    cfg.IntOpt(
        "workers",
        default=4,
        min=1,
        max=64,
        help="How many containers a controller carries on at the same time. Raise it where Neutron is slow to answer "
        "but can answer more at once.",
    ),
    cfg.Opt(
        "metrics_address",
        type=ListenAddress(),
        default="127.0.0.1:9710",
        help="Address and port on which Prometheus may read a controller's metrics; nobody is asked for a password. "
        "Empty: nothing listens.",
    ),
]

_DATABASE: list[cfg.Opt] = [
    cfg.StrOpt(
        "connection",
        default="",
        secret=True,
        sample_default="sqlite:///<state_dir>/service.sqlite",
        help="The service's database, in SQLAlchemy's form (postgresql+psycopg://user:password@host/mooring, "
        "mysql+pymysql://user:password@host/mooring). Set it where there is more than one controller: unset, it is a "
        "SQLite file in state_dir.",
    ),
]

_SCHEDULER: list[cfg.Opt] = [
    cfg.ListOpt(
        "enabled_filters",
        default=list(DEFAULT_FILTERS),
        help="Filters that a host must pass, by Zun's names, dotted ones too. Leave CPUFilter, RamFilter or DiskFilter "
        "out where a host's processors, memory or disk are no limit. Devices are looked at whether "
        "PciPassthroughFilter is named or not, and so is the silence of a host.",
    ),
    cfg.FloatOpt(
        "cpu_allocation_ratio",
        default=16.0,
        min=0.01,
        help="How many times a host's processors may be promised, where CPUFilter is enabled.",
    ),
    cfg.FloatOpt(
        "ram_allocation_ratio",
        default=1.5,
        min=0.01,
        help="How many times a host's memory may be promised, where RamFilter is enabled.",
    ),
    cfg.FloatOpt(
        "disk_allocation_ratio",
        default=1.0,
        min=0.01,
        help="How many times a host's disk may be promised, where DiskFilter is enabled.",
    ),
    *(
        cfg.FloatOpt(
            f"{name}_weight_multiplier",
            default=default,
            help=f"What this weigher counts for among the hosts that pass the filters: it {_WEIGHERS[name]}. Set 0 to "
            "leave it out.",
        )
        for name, default in MULTIPLIERS.items()
    ),
]

_PCI: list[cfg.Opt] = [
    cfg.MultiStrOpt(
        "alias",
        default=[],
        sample_default=['{"name": "nic", "vendor_id": "8086", "product_id": "154c", "device_type": "type-VF"}'],
        help="A name for a kind of device: a JSON object in Nova's or Zun's syntax; may be given several times. "
        "Containers ask for devices by the hint pci_passthrough:alias=NAME:COUNT. Read by controllers.",
    ),
]

_QUOTA: list[cfg.Opt] = [
    cfg.IntOpt(
        name,
        default=limit,
        min=-1,
        help=f"{what} that a project may have; -1 is no limit. An administrator may set others for a project.",
    )
    for (name, limit), what in zip(
        DEFAULT_QUOTAS.items(), ("Containers", "Processors", "Memory in MiB", "Disk in GiB"), strict=True
    )
]

_COMPUTE: list[cfg.Opt] = [
    cfg.StrOpt(
        "unique_container_name_scope",
        default="",
        choices=[("", "nowhere"), ("project", "in each project"), ("global", "in the whole cloud")],
        help="Where a container's name must be the only one of its kind. Set it where users work with names.",
    ),
    cfg.StrOpt(
        "default_image_pull_policy",
        default="ifnotpresent",
        choices=[("always", "at each creation"), ("ifnotpresent", "if the host lacks it"), ("never", "not at all")],
        help="When an image is fetched, unless an administrator asks otherwise for a container. Set always where tags "
        "are moved.",
    ),
]

_NEUTRON: list[cfg.Opt] = [
    cfg.StrOpt(
        "default_vnic_type",
        default="normal",
        choices=[("normal", "a veth pair"), ("direct", "a VF"), ("macvtap", "a macvtap over a VF")],
        help="Kind of port that is made where a user names a network and no port. Set direct where every network of "
        "containers is for VFs.",
    ),
]

_POLICY: list[cfg.Opt] = [
    cfg.StrOpt(
        "policy_file",
        regex="^/",
        help="File with rules that differ from the API's own, in oslo.policy's YAML. Unset: the API's own.",
    ),
]


def service_options() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the service's options by section."""
    return [
        ("DEFAULT", _DEFAULT),
        ("api", _API),
        ("controller", _CONTROLLER),
        ("database", _DATABASE),
        ("scheduler", _SCHEDULER),
        ("pci", _PCI),
        ("quota", _QUOTA),
        ("compute", _COMPUTE),
        ("neutron", _NEUTRON),
        ("oslo_policy", _POLICY),
    ]
