"""What the commands of the service have in common: how it is reached, and whether to wait for what was asked."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mooring.cli.service.answers import Container
    from mooring.cli.service.client import Accepted, ServiceClient


def access_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where the service is and who asks, as ``open_service`` takes them."""
    cloud = click.option("--os-cloud", metavar="NAME", help="Cloud of clouds.yaml. Default: OS_CLOUD, OS_ variables.")
    token = click.option(
        "--token", envvar="MOORING_TOKEN", help="Token of Keystone, or user:project:role (MOORING_TOKEN)."
    )
    endpoint = click.option("--endpoint", envvar="MOORING_ENDPOINT", help="The service's URL (MOORING_ENDPOINT).")
    return cloud(token(endpoint(command)))


def open_service(*, endpoint: str | None, token: str | None, os_cloud: str | None) -> ServiceClient:
    """Return the service's client. Raises InvalidConfiguration when it is not known where it is, or who asks."""
    # What speaks HTTP is large, and the commands that only look at the host do without it.
    from mooring.cli.service.access import Access, open_adapter  # noqa: PLC0415
    from mooring.cli.service.client import ServiceClient  # noqa: PLC0415

    access = Access(endpoint=endpoint, token=token, cloud=os_cloud)
    return ServiceClient(open_adapter(access), project=access.project)


def with_service(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``access_options``, and the service's client as the first argument."""

    @access_options
    @functools.wraps(command)
    def reaching(*, endpoint: str | None, token: str | None, os_cloud: str | None, **words: Any) -> None:  # noqa: ANN401
        command(open_service(endpoint=endpoint, token=token, os_cloud=os_cloud), **words)

    return reaching


def wait_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --wait and --timeout, as ``wait`` and ``timeout``."""
    wait = click.option("--wait", is_flag=True, help="Return when it is done, and tell meanwhile how far it is.")
    return wait(timeout_option(command))


timeout_option = click.option(
    "--timeout", type=click.FloatRange(min=0), default=600.0, show_default=True, help="Seconds to wait at most."
)


def await_it(client: ServiceClient, accepted: Accepted, timeout_s: float) -> Container | None:
    """Wait until a change is done; raise OperationRefused when it has failed."""
    from mooring.cli.service.waiting import Waiter  # noqa: PLC0415

    return Waiter(client=client, timeout_s=timeout_s).wait(accepted)
