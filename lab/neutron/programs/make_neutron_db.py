"""make_neutron_db.py --config-file FILE...: Neutron's tables on an empty SQLite database.

`neutron-db-manage upgrade` cannot run on SQLite, which lacks ALTER of constraints. So: the tables of the
models, the only rows that the migrations insert, and the mark that all migrations have run.
"""
# The packages are in the servers' environment only.
# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator"

import sys

from neutron.common import config
from neutron.db.migration import cli
from neutron.db.migration.models import head
from neutron.objects.securitygroup_default_rules import SecurityGroupDefaultRule
from neutron_lib import context
from neutron_lib.db import api

DEFAULT_RULES = (
    ("egress", "IPv4", None, True),
    ("egress", "IPv6", None, True),
    ("ingress", "IPv4", "PARENT", False),
    ("ingress", "IPv6", "PARENT", False),
)


def main(arguments: list[str]) -> None:
    """Fill the database that the configuration files name."""
    config.register_common_config_options()
    config.init(arguments)
    config.set_config_defaults()
    head.get_metadata().create_all(api.get_writer_session().get_bind())
    admin = context.get_admin_context()
    for direction, ethertype, remote_group, in_other_groups in DEFAULT_RULES:
        SecurityGroupDefaultRule(
            admin,
            direction=direction,
            ethertype=ethertype,
            remote_group_id=remote_group,
            used_in_default_sg=True,
            used_in_non_default_sg=in_other_groups,
        ).create()
    cli.CONF([*arguments, "stamp", "heads"], project="neutron")
    for alembic in cli.get_alembic_configs():
        cli.do_stamp(alembic, "stamp")


main(sys.argv[1:])
