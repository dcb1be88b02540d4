"""The fake engine keeps to the contract of the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from containers_world import World
from runtime_contract import RuntimeContract


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


class TestFakeDocker(RuntimeContract):
    pass
