"""The ways to the container service: a plain endpoint, or Keystone as clouds.yaml or the OS_ variables name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from keystoneauth1 import exceptions, token_endpoint
from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session

import mooring
from mooring.errors import InvalidConfiguration, ServiceUnreachable

SERVICE_TYPE: Final = "container"
# The command line speaks as the newest of Zun's clients does.
MICROVERSION: Final = "1.40"
_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 120.0

_CHOICES: Final = (
    "name a cloud of clouds.yaml (--os-cloud, OS_CLOUD), set the OS_ variables, or give the service's address and who "
    "you are (--endpoint, --token user:project:role)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a person says of the way to the service. ``token`` is Keystone's, or user:project:role without one."""

    endpoint: str | None = None
    token: str | None = None
    cloud: str | None = None

    @property
    def project(self) -> str | None:
        """The project that user:project:role names."""
        _, separator, scope = (self.token or "").partition(":")
        return scope.partition(":")[0] if separator else None


def open_adapter(access: Access) -> Adapter:
    """Return a way to the service; asks nobody yet. Raises InvalidConfiguration when it is not known who asks."""
    if access.token is not None:
        if access.endpoint is None:
            raise InvalidConfiguration("--token needs --endpoint: a token does not say where the service is")
        endpoint = access.endpoint.rstrip("/")
        return _adapter(Session(auth=token_endpoint.Token(endpoint, access.token)), endpoint_override=endpoint)
    try:
        from openstack.config import OpenStackConfig  # noqa: PLC0415 - large, and not there on a container host
        from openstack.exceptions import ConfigException  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise InvalidConfiguration(
            "it is not known who you are: give --endpoint and --token user:project:role, or install mooring[client] "
            "and use Keystone"
        ) from exc
    try:
        region = OpenStackConfig(app_name="mooring", app_version=mooring.__version__).get_one(access.cloud)
        session = region.get_session()
    except (ConfigException, exceptions.AuthPluginException) as exc:
        raise InvalidConfiguration(f"it is not known who you are ({exc}); {_CHOICES}") from exc
    override = access.endpoint or region.get_endpoint(SERVICE_TYPE)
    return _adapter(
        session,
        service_type=SERVICE_TYPE,
        interface=region.get_interface(SERVICE_TYPE),
        region_name=region.get_region_name(),
        endpoint_override=override.rstrip("/") if override else None,
    )


def _adapter(session: Session, **where: Any) -> Adapter:  # noqa: ANN401 - keystoneauth's own keywords
    return Adapter(
        session,
        raise_exc=False,
        additional_headers={"OpenStack-API-Version": f"{SERVICE_TYPE} {MICROVERSION}"},
        connect_retries=0,
        **where,
    )


@contextmanager
def service_errors(doing: str) -> Iterator[None]:
    """Let what keeps the service from answering be told in our words: the only door for keystoneauth's errors."""
    try:
        yield
    except exceptions.EndpointNotFound as exc:
        raise ServiceUnreachable(doing, "the cloud's catalogue has no container service", "name --endpoint") from exc
    except (exceptions.Unauthorized, exceptions.MissingRequiredOptions) as exc:
        raise ServiceUnreachable(doing, f"Keystone does not let you in ({exc})", _CHOICES) from exc
    except exceptions.ConnectionError as exc:
        raise ServiceUnreachable(doing, str(exc), "see whether the service runs and --endpoint is right") from exc
    except exceptions.ClientException as exc:
        raise ServiceUnreachable(doing, str(exc), "try again, or ask the administrator") from exc
