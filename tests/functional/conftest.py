"""What functional tests share."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest
from neutron_cloud import cloud

from lab.packages import HostPackage, ensure_packages

__all__ = ["cloud"]

PACKAGES = (
    HostPackage(
        name="docker.io",
        file="/usr/sbin/dockerd",
        units=("docker.service", "docker.socket", "containerd.service"),
    ),
    # The file tells it from busybox, which a container cannot run.
    HostPackage(name="busybox-static", file="/usr/share/doc/busybox-static/copyright"),
    HostPackage(name="iproute2", file="/usr/bin/ip"),
)
# Part of docker.io until Debian 12.
DOCKER_CLIENT = HostPackage(name="docker-cli", file="/usr/bin/docker")


@pytest.fixture(scope="session", autouse=True)
def debian_packages() -> None:
    """Install what the tests need of Debian; a cloud installs its own."""
    ensure_packages(PACKAGES)
    ensure_packages([DOCKER_CLIENT])


@pytest.fixture(scope="session", autouse=True)
def lost_connections() -> Iterator[None]:
    """Collect at the end the sockets of lost connections, which kombu leaves open: pytest would fail for each."""
    yield
    _collect()


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure() -> None:
    """Collect those that a thread of oslo.messaging has held for longer than the last test."""
    _collect()


def _collect() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
