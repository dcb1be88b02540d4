from __future__ import annotations

import pytest
from switch_contract import BRIDGE, IDS, SwitchContract

from mooring.errors import SwitchRefused
from mooring.testing.switch import FakeSwitch


class FakeWorld:
    """The fake switch as the contract's world."""

    def __init__(self) -> None:
        self.switch = FakeSwitch("br-int", "br-other")
        self.other_bridge = "br-other"
        self.names = ("tap0", "tap1")

    def external_ids(self, name: str) -> dict[str, str]:
        return dict(self.switch.bridges[BRIDGE][name])

    def stop(self) -> None:
        self.switch.away = True


class TestFakeSwitch(SwitchContract):
    @pytest.fixture
    def world(self) -> FakeWorld:
        return FakeWorld()


def test_a_refused_call_changes_nothing() -> None:
    switch = FakeSwitch()
    before = switch.state()
    switch.fail_call(1)
    with pytest.raises(SwitchRefused):
        switch.plug(BRIDGE, "tap0", IDS)
    assert switch.state() == before


def test_a_call_whose_reply_is_lost_was_done() -> None:
    switch = FakeSwitch()
    switch.fail_call(1, reply_lost=True)
    with pytest.raises(SwitchRefused):
        switch.plug(BRIDGE, "tap0", IDS)
    assert set(switch.plugged()) == {"tap0"}
