"""Real Neutron, Keystone and RabbitMQ for tests: import ``cloud`` in a conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.neutron import NeutronCloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NeutronCloud]:
    """One cloud for the whole session. Tests share it, so each makes networks of its own."""
    running = NeutronCloud(tmp_path_factory.mktemp("cloud"))
    running.start()
    try:
        yield running
    finally:
        running.stop()
