"""Who exists in the lab's Keystone, and what they may do there."""

from __future__ import annotations

from dataclasses import dataclass

# Known to everyone on purpose: the services listen on the loopback interface only, and hold nothing of worth.
LAB_PASSWORD = "mooring-lab"  # noqa: S105
BROKER_USER = "openstack"
REGION = "RegionOne"
DOMAIN = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A Keystone user, the project it works in, and its roles there."""

    user: str
    project: str
    roles: tuple[str, ...]
    password: str = LAB_PASSWORD


ACCOUNTS = {
    account.user: account
    for account in (
        Account(user="admin", project="admin", roles=("admin",)),
        Account(user="neutron", project="service", roles=("admin", "service")),
        # Neutron's default policy lets only the role `service` write binding:profile, and only `admin` see
        # provider:* attributes and agents: mooring needs both.
        Account(user="mooring", project="service", roles=("admin", "service")),
        Account(user="demo", project="demo", roles=("member", "reader")),
    )
}
