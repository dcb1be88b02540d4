"""What every Open vSwitch promises, the one in memory and a real one alike."""

from __future__ import annotations

from typing import Protocol

import pytest

from mooring.errors import SwitchRefused
from mooring.host.virtual import Switch

PORT = "6c3b4ddd-8d3e-4a16-9b0f-0e7e7d6ac2c1"
OTHER = "0a5cbb29-30a4-4c75-9f75-3a1b6df1dd50"
IDS = {"iface-id": PORT, "attached-mac": "fa:16:3e:00:00:0a", "vm-uuid": "endpoint-1", "iface-status": "active"}
BRIDGE = "br-int"


class World(Protocol):
    """A switch with two bridges, and two interfaces on the host."""

    switch: Switch
    other_bridge: str
    names: tuple[str, str]

    def external_ids(self, name: str) -> dict[str, str]: ...
    def stop(self) -> None: ...


class SwitchContract:
    """Inherit and give a ``world`` fixture."""

    def test_an_interface_is_plugged_with_what_the_controllers_look_for(self, world: World) -> None:
        world.switch.plug(BRIDGE, world.names[0], IDS)
        assert world.external_ids(world.names[0]) == IDS
        assert world.switch.plugged() == {world.names[0]: PORT}

    def test_an_interface_may_be_plugged_again_for_another_port(self, world: World) -> None:
        world.switch.plug(BRIDGE, world.names[0], IDS)
        world.switch.plug(BRIDGE, world.names[0], {"iface-id": OTHER})
        assert world.external_ids(world.names[0]) == {"iface-id": OTHER}

    def test_every_plugged_interface_is_listed(self, world: World) -> None:
        first, second = world.names
        world.switch.plug(BRIDGE, first, IDS)
        world.switch.plug(world.other_bridge, second, {**IDS, "iface-id": OTHER})
        assert world.switch.plugged() == {first: PORT, second: OTHER}

    def test_unplugging_takes_one_interface_from_whichever_bridge(self, world: World) -> None:
        first, second = world.names
        world.switch.plug(BRIDGE, first, IDS)
        world.switch.plug(world.other_bridge, second, {**IDS, "iface-id": OTHER})
        world.switch.unplug(second)
        assert world.switch.plugged() == {first: PORT}

    def test_unplugging_what_is_not_there_is_a_success(self, world: World) -> None:
        world.switch.unplug(world.names[0])

    def test_a_bridge_that_is_not_there_is_refused_with_what_to_do(self, world: World) -> None:
        with pytest.raises(SwitchRefused, match="nosuchbr"):
            world.switch.plug("nosuchbr", world.names[0], IDS)
        assert world.switch.plugged() == {}

    def test_a_port_of_another_bridge_is_not_moved(self, world: World) -> None:
        world.switch.plug(BRIDGE, world.names[0], IDS)
        with pytest.raises(SwitchRefused):
            world.switch.plug(world.other_bridge, world.names[0], IDS)
        assert world.switch.plugged() == {world.names[0]: PORT}

    def test_a_switch_that_is_away_says_so(self, world: World) -> None:
        world.stop()
        for attempt in (
            lambda: world.switch.plug(BRIDGE, world.names[0], IDS),
            lambda: world.switch.unplug(world.names[0]),
            world.switch.plugged,
        ):
            with pytest.raises(SwitchRefused):
                attempt()
