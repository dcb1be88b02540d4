"""A network namespace of a test's own, with this thread in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2 import netns

from mooring.host import netlink


@contextmanager
def private_namespace() -> Iterator[str]:
    """Put this thread and all that it starts into a new namespace, and give its name."""
    name = f"mooring-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(name)
        yield name
    finally:
        _enter(home)
        os.close(home)
        subprocess.run(["ip", "netns", "delete", name], check=True)


def _enter(namespace: str | int) -> None:
    netlink._close_idle()  # sockets stay in the namespace that they were opened in
    netns.setns(namespace)
