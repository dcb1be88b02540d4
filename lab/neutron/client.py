"""A light Neutron client for tests and the demo: what a person with a token can see and do.

Resources are given and returned as the Networking API's own JSON, with its own names: what a test reads here
must not pass through a model of ours.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Self

import requests
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session

from lab.errors import LabError
from lab.neutron.accounts import DOMAIN, Account
from lab.neutron.facts import CloudFacts

Resource = dict[str, Any]
Resources = list[Resource]


class NeutronRefusedError(LabError):
    """Neutron answered with an HTTP error; ``status`` is its code."""

    def __init__(self, request: str, status: int, answer: str) -> None:
        self.status = status
        super().__init__(f"{request} was answered {status}: {answer}")


class NetworkClient:
    """Neutron, as one account sees it. Every method raises NeutronRefusedError when Neutron says no."""

    def __init__(self, facts: CloudFacts, account: Account) -> None:
        auth = Password(
            auth_url=facts.auth_url(),
            username=account.user,
            password=account.password,
            project_name=account.project,
            user_domain_id=DOMAIN,
            project_domain_id=DOMAIN,
        )
        self._http = requests.Session()
        # No proxy of the environment stands between us and our own loopback interface.
        self._http.trust_env = False
        self._session = Session(auth=auth, session=self._http)
        self._api = Adapter(session=self._session, endpoint_override=f"{facts.network_url()}/v2.0", raise_exc=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client works on, with new ones."""
        self._http.close()

    def endpoint(self, service_type: str, interface: str) -> str | None:
        """Return the address that Keystone's catalog gives for a service, such as ("network", "internal")."""
        found: str | None = self._session.get_endpoint(
            service_type=service_type, interface=interface, skip_discovery=True
        )
        return found

    def call(self, method: str, path: str, body: Resource | None = None, **filters: object) -> Resource:
        """Send one request, such as ``call("GET", "/ports", name="sriov_port")``; the answer's JSON, {} if none."""
        answer = self._api.request(path, method, json=body, params=filters)
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            raise NeutronRefusedError(f"{method} {path}", answer.status_code, answer.text)
        found: Resource = answer.json() if answer.content else {}
        return found

    def create(self, kind: str, **attributes: object) -> Resource:
        """Create a resource of any kind: ``create("subnetpool", name=..., prefixes=[...])``."""
        return self._one("POST", kind, f"/{_collection(kind)}", attributes)

    def get(self, kind: str, resource_id: str) -> Resource:
        """Return the resource."""
        return self._one("GET", kind, f"/{_collection(kind)}/{resource_id}")

    def list(self, kind: str, **filters: object) -> Resources:
        """Return the resources to which every filter applies."""
        collection = _collection(kind)
        found: Resources = self.call("GET", f"/{collection}", None, **filters)[collection.replace("-", "_")]
        return found

    def update(self, kind: str, resource_id: str, **attributes: object) -> Resource:
        """Change attributes of the resource and return it."""
        return self._one("PUT", kind, f"/{_collection(kind)}/{resource_id}", attributes)

    def delete(self, kind: str, resource_id: str) -> None:
        """Delete the resource."""
        self.call("DELETE", f"/{_collection(kind)}/{resource_id}")

    def create_network(
        self, name: str, *, physical_network: str, vlan: int | None = None, **attributes: object
    ) -> Resource:
        """Create a provider network with that VLAN, or a flat one without (role admin)."""
        segment = {"provider:network_type": "flat"}
        if vlan is not None:
            segment = {"provider:network_type": "vlan", "provider:segmentation_id": str(vlan)}
        attributes |= {"name": name, "provider:physical_network": physical_network, **segment}
        return self.create("network", **attributes)

    def create_subnet(self, network_id: str, cidr: str, **attributes: object) -> Resource:
        """Create a subnet; IPv4 or IPv6 as the CIDR says."""
        version = 6 if ":" in cidr else 4
        return self.create("subnet", network_id=network_id, cidr=cidr, ip_version=version, **attributes)

    def create_port(
        self, network_id: str, *, vnic_type: str = "normal", profile: Resource | None = None, **attributes: object
    ) -> Resource:
        """Create a port; ``profile`` is its binding:profile (role service)."""
        binding: Resource = {"binding:vnic_type": vnic_type}
        if profile is not None:
            binding["binding:profile"] = profile
        return self.create("port", network_id=network_id, **binding, **attributes)

    def bind_port(self, port_id: str, *, host: str, profile: Resource | None = None) -> Resource:
        """Ask Neutron to bind the port on a host. A binding that failed is no error: see binding:vif_type."""
        attributes: Resource = {"binding:host_id": host}
        if profile is not None:
            attributes["binding:profile"] = profile
        return self.update("port", port_id, **attributes)

    def get_port(self, port_id: str) -> Resource:
        """Return the port."""
        return self.get("port", port_id)

    def agents(self) -> Resources:
        """Return the agents that Neutron knows (role admin; others see none)."""
        return self.list("agent")

    def _one(self, method: str, kind: str, path: str, attributes: Resource | None = None) -> Resource:
        body = None if attributes is None else {kind: attributes}
        found: Resource = self.call(method, path, body)[kind]
        return found


def _collection(kind: str) -> str:
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    # The API's one irregularity: these collections are spelt with hyphens in addresses.
    return plural.replace("security_group", "security-group")
