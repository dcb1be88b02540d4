"""The files that a cloud's services read."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from lab.neutron.accounts import ACCOUNTS, BROKER_USER, DOMAIN, LAB_PASSWORD, REGION
from lab.neutron.facts import (
    GUEST_VIEW_OF_HOST,
    HOST,
    PHYSICAL_NETWORKS,
    SERVICE_VIRTUAL_HOST,
    VLAN_RANGE,
    CloudFacts,
)
from lab.neutron.layout import Layout

# Ports are chosen at each start: the cached database holds these, a started cloud's holds addresses.
# People and services on this machine use the interfaces public and admin, the guests use internal.
ENDPOINT_TEMPLATES = {
    "identity": {
        "public": "<host>:<identity>/v3",
        "admin": "<host>:<identity>/v3",
        "internal": "<guest>:<identity>/v3",
    },
    "network": {"public": "<host>:<network>", "admin": "<host>:<network>", "internal": "<guest>:<network>"},
    # Mooring's own service, which whoever wants it starts beside the cloud.
    "container": {
        "public": "<host>:<container>/v1",
        "admin": "<host>:<container>/v1",
        "internal": "<guest>:<container>/v1",
    },
}
VIRTUAL_HOSTS = ("/", SERVICE_VIRTUAL_HOST)
# Nothing but the loopback interface: the lab's databases and bus are no service to the neighbourhood.
BROKER_CONF = """\
listeners.tcp.1 = {host}:{port}
load_definitions = {definitions}
log.file = false
log.console = true
log.console.level = warning
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
"""


def write_database_configs(layout: Layout) -> None:
    """As much configuration as the making of the databases needs."""
    _write(layout.keystone_conf, _keystone(layout))
    neutron = {
        "DEFAULT": {"core_plugin": "ml2", "service_plugins": "qos", "transport_url": "fake:/"},
        "database": {"connection": f"sqlite:///{layout.neutron_db}"},
        "oslo_concurrency": {"lock_path": str(layout.state / "lock")},
    }
    _write(layout.etc / "neutron.conf", neutron)
    _write(layout.etc / "ml2_conf.ini", _ml2())


def write_configs(layout: Layout, facts: CloudFacts, api_paste: Path) -> None:
    """Everything the services of a running cloud read."""
    _write(layout.keystone_conf, _keystone(layout))
    _write(layout.etc / "neutron.conf", _neutron(layout, facts, api_paste))
    _write(layout.etc / "ml2_conf.ini", _ml2())
    definitions = layout.broker / "definitions.json"
    definitions.write_text(json.dumps(_broker_definitions(), indent=2) + "\n")
    broker = BROKER_CONF.format(host=HOST, port=facts.broker_port, definitions=definitions)
    (layout.broker / "rabbitmq.conf").write_text(broker)
    (layout.broker / "enabled_plugins").write_text("[].\n")


def write_fernet_keys(layout: Layout) -> None:
    """Give Keystone keys for its tokens: a staged one, 0, and the primary one."""
    for index in range(2):
        (layout.fernet_keys / str(index)).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))


def write_catalog(database: Path, facts: CloudFacts) -> None:
    """Put the addresses of this start into Keystone's catalog."""
    words = {
        "<host>": f"http://{HOST}",
        "<guest>": f"http://{GUEST_VIEW_OF_HOST}",
        "<identity>": str(facts.identity_port),
        "<network>": str(facts.network_port),
        "<container>": str(facts.container_port),
    }
    with closing(sqlite3.connect(database)) as connection, connection:
        for word, value in words.items():
            connection.execute("UPDATE endpoint SET url = replace(url, ?, ?)", (word, value))


def _broker_definitions() -> dict[str, object]:
    """Return the broker's one user and its virtual hosts: the cloud's own, and one for mooring's service."""
    salt = os.urandom(4)
    # RabbitMQ, rabbit_password_hashing_sha256: salt and digest, together in base64.
    digest = base64.b64encode(salt + hashlib.sha256(salt + LAB_PASSWORD.encode()).digest()).decode()
    everything = {"user": BROKER_USER, "configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [
            {
                "name": BROKER_USER,
                "password_hash": digest,
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": [],
            }
        ],
        "vhosts": [{"name": name} for name in VIRTUAL_HOSTS],
        "permissions": [{"vhost": name, **everything} for name in VIRTUAL_HOSTS],
    }


def _keystone(layout: Layout) -> dict[str, Mapping[str, str]]:
    return {
        "DEFAULT": {"use_stderr": "true"},
        "database": {"connection": f"sqlite:///{layout.keystone_db}"},
        "token": {"provider": "fernet"},
        "fernet_tokens": {"key_repository": str(layout.fernet_keys)},
        "fernet_receipts": {"key_repository": str(layout.fernet_keys)},
        # The default costs a quarter of a second of processor time for each token.
        "identity": {"password_hash_rounds": "4"},
        "cache": {"enabled": "true", "backend": "dogpile.cache.memory"},
    }


def _neutron(layout: Layout, facts: CloudFacts, api_paste: Path) -> dict[str, Mapping[str, str]]:
    service = ACCOUNTS["neutron"]
    quotas = ("network", "subnet", "subnetpool", "port", "security_group", "security_group_rule", "rbac_policy")
    return {
        "DEFAULT": {
            "core_plugin": "ml2",
            "service_plugins": "qos",
            "auth_strategy": "keystone",
            "api_paste_config": str(api_paste),
            "transport_url": facts.transport_url(),
            "dhcp_agent_notification": "false",
            "notify_nova_on_port_status_changes": "false",
            "notify_nova_on_port_data_changes": "false",
            "use_stderr": "true",
        },
        "database": {"connection": f"sqlite:///{layout.neutron_db}"},
        "oslo_concurrency": {"lock_path": str(layout.state / "lock")},
        "oslo_messaging_notifications": {"driver": "noop"},
        "quotas": {f"quota_{resource}": "-1" for resource in quotas},
        "keystone_authtoken": {
            "www_authenticate_uri": facts.auth_url(),
            "auth_url": facts.auth_url(),
            "auth_type": "password",
            "username": service.user,
            "password": service.password,
            "project_name": service.project,
            "user_domain_id": DOMAIN,
            "project_domain_id": DOMAIN,
            "region_name": REGION,
            # The catalog's internal addresses are the guests'.
            "interface": "public",
            "service_token_roles_required": "true",
        },
    }


def _ml2() -> dict[str, Mapping[str, str]]:
    first, last = VLAN_RANGE
    return {
        "ml2": {
            "type_drivers": "flat,vlan",
            "tenant_network_types": "vlan",
            # Together, as clouds run them: "normal" ports are Open vSwitch's, "direct" ones the cards'.
            "mechanism_drivers": "openvswitch,sriovnicswitch",
            "extension_drivers": "port_security,qos,port_trusted",
        },
        "ml2_type_flat": {"flat_networks": "*"},
        "ml2_type_vlan": {"network_vlan_ranges": ",".join(f"{name}:{first}:{last}" for name in PHYSICAL_NETWORKS)},
    }


def _write(path: Path, sections: Mapping[str, Mapping[str, str]]) -> None:
    lines = []
    for section, options in sections.items():
        lines += [f"[{section}]", *(f"{name} = {value}" for name, value in options.items()), ""]
    path.write_text("\n".join(lines))
