"""A lab for the session: the one that MOORING_LAB_DIR names if it is up, else one of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from lab.cache import Cache
from lab.guest import Guest
from lab.lab import Lab
from lab.node import UNIT, MooringNode
from lab.process import TAIL_LINES
from lab.progress import Progress
from lab.state import LabPaths
from tests.lab.stage import Stage

RELEASE = os.environ.get("MOORING_LAB_GUEST_RELEASE", "bookworm")
running_lab = pytest.StashKey[Lab]()


# The first test may have to build the images, on a machine that has nothing yet.
FIRST_BOOT_SECONDS = 900
SETTLED_SECONDS = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(FIRST_BOOT_SECONDS))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Lab]:
    found = Lab.default() if "MOORING_LAB_DIR" in os.environ else None
    if found is not None and found.is_up():
        pytestconfig.stash[running_lab] = found
        yield found
        return
    own = Lab(LabPaths(tmp_path_factory.mktemp("lab")), Cache.default())
    pytestconfig.stash[running_lab] = own
    own.up(RELEASE, Progress(Console(stderr=True)), neutron=True)
    try:
        yield own
    finally:
        own.down()


@pytest.fixture(scope="session")
def node1(lab: Lab) -> Guest:
    return lab.guest("node1")


@pytest.fixture(scope="session")
def node2(lab: Lab) -> Guest:
    return lab.guest("node2")


@pytest.fixture(scope="module")
def without_mooring(lab: Lab) -> Iterator[None]:
    """Both guests with the daemon stopped, if other tests have started it.

    What is done to VFs by hand meanwhile, the daemon would respect for a minute: it is told to clean up at once.
    """
    running = [
        guest for guest in lab.guests().values() if guest.run(["systemctl", "is-active", UNIT], check=False).code == 0
    ]
    for guest in running:
        guest.run(["systemctl", "stop", UNIT])
    yield
    for guest in running:
        guest.run(["systemctl", "start", UNIT])
        guest.run(["mooring", "gc"])


@pytest.fixture(scope="session")
def stage(lab: Lab) -> Iterator[Stage]:
    """Mooring on both guests, as the guide configures it."""
    one, two = (MooringNode(guest=guest, cloud=lab.cloud) for guest in lab.guests().values())
    with ThreadPoolExecutor() as pool:
        list(pool.map(_set_up, (one, two)))
    with lab.cloud.client("mooring") as neutron:
        stage = Stage(nodes=(one, two), neutron=neutron)
        yield stage
        stage.clear()
        # What Neutron never confirmed is asked of it again and again for a minute.
        stage.await_nothing_left(seconds=SETTLED_SECONDS)


def _set_up(node: MooringNode) -> None:
    node.configure()
    node.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Say at each failure where the logs are, and how the guests' consoles end."""
    report = yield
    lab = item.config.stash.get(running_lab, None)
    if report.failed and lab is not None:
        report.sections.append(("lab", f"logs: {lab.paths.log} and {lab.cloud.log}"))
        for console in sorted(lab.paths.log.glob("*-console.log")):
            tail = console.read_text(errors="replace").splitlines()[-TAIL_LINES:]
            report.sections.append((f"end of {console}", "\n".join(tail)))
    return report
