"""make_keystone_db.py CONFIG_FILE REGION ACCOUNTS ENDPOINTS: Keystone's tables, users and catalog.

ACCOUNTS is a JSON list of {user, project, roles, password}, `admin` among them; ENDPOINTS is a JSON object
{service type: {interface: url}}. The same steps as `keystone-manage db_sync` and `bootstrap`, in one process.
"""
# The packages are in the servers' environment only.
# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator"

import json
import sys
import uuid
from typing import Any

import keystone.conf
import keystone.server
from keystone.cmd.bootstrap import Bootstrapper
from keystone.common import provider_api
from keystone.common.sql import upgrades

PROVIDERS = provider_api.ProviderAPIs
SERVICE_NAMES = {"identity": "keystone", "network": "neutron", "container": "mooring"}


def main(config_file: str, region: str, accounts: str, endpoints: str) -> None:
    """Fill the database that the configuration file names."""
    keystone.server.configure(config_files=[config_file])
    upgrades.offline_sync_database_to_version(None)
    people = json.loads(accounts)
    catalog = json.loads(endpoints)
    bootstrap(region, next(person for person in people if person["user"] == "admin"))
    for person in people:
        if person["user"] != "admin":
            add_account(person)
    for service_type, urls in catalog.items():
        add_service(service_type, urls, region)


def bootstrap(region: str, admin: dict[str, Any]) -> None:
    """The default domain, the roles, the region and the administrator."""
    work = Bootstrapper()
    work.admin_username = admin["user"]
    work.admin_password = admin["password"]
    work.project_name = admin["project"]
    work.admin_role_name = "admin"
    work.region_id = region
    work.bootstrap()


def add_account(person: dict[str, Any]) -> None:
    """One user with its roles in its project, which is made if need be."""
    domain = keystone.conf.CONF.identity.default_domain_id
    projects = {project["name"]: project["id"] for project in PROVIDERS.resource_api.list_projects()}
    project_id = projects.get(person["project"])
    if project_id is None:
        project_id = uuid.uuid4().hex
        reference = {"id": project_id, "name": person["project"], "domain_id": domain, "enabled": True}
        PROVIDERS.resource_api.create_project(project_id, reference)
    user = PROVIDERS.identity_api.create_user(
        {"name": person["user"], "password": person["password"], "domain_id": domain, "enabled": True}
    )
    roles = {role["name"]: role["id"] for role in PROVIDERS.role_api.list_roles()}
    for name in person["roles"]:
        PROVIDERS.assignment_api.add_role_to_user_and_project(user["id"], project_id, roles[name])


def add_service(service_type: str, urls: dict[str, str], region: str) -> None:
    """One service and its addresses in the catalog."""
    service = {"id": uuid.uuid4().hex, "name": SERVICE_NAMES[service_type], "type": service_type, "enabled": True}
    PROVIDERS.catalog_api.create_service(service["id"], service)
    for interface, url in urls.items():
        endpoint = {
            "id": uuid.uuid4().hex,
            "interface": interface,
            "url": url,
            "service_id": service["id"],
            "region_id": region,
            "enabled": True,
        }
        PROVIDERS.catalog_api.create_endpoint(endpoint["id"], endpoint)


own_arguments = sys.argv[1:]
# Keystone hands the rest of the command line to oslo.config.
del sys.argv[1:]
main(*own_arguments)
