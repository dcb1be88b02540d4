"""An Open vSwitch in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mooring.errors import MooringError, SwitchRefused
from mooring.testing.calls import CountedCalls, counted


class FakeSwitch(CountedCalls):
    """Switch, with the bridges that a test gives it. While ``away`` its database does not answer."""

    def __init__(self, *bridges: str) -> None:
        super().__init__()
        self.away = False
        self.bridges: dict[str, dict[str, Mapping[str, str]]] = {bridge: {} for bridge in bridges or ("br-int",)}

    def refusal(self, doing: str, error: int, hint: str = "") -> MooringError:
        """Return the error that a failing call raises."""
        return SwitchRefused(doing, "; ".join(filter(None, [os.strerror(error), hint])))

    @counted
    def plug(self, bridge: str, name: str, external_ids: Mapping[str, str]) -> None:
        """Make the interface a port of the bridge; a port of another bridge is not moved."""
        self._answer(f"plugging {name} into {bridge}")
        if bridge not in self.bridges:
            raise SwitchRefused(f"plugging {name} into {bridge}", f"it has no bridge {bridge}")
        if any(name in ports for other, ports in self.bridges.items() if other != bridge):
            raise SwitchRefused(f"plugging {name} into {bridge}", "it is a port of another bridge")
        self.bridges[bridge][name] = dict(external_ids)

    @counted
    def unplug(self, name: str) -> None:
        """Take the port away."""
        self._answer(f"unplugging {name}")
        for ports in self.bridges.values():
            ports.pop(name, None)

    @counted
    def plugged(self) -> Mapping[str, str]:
        """Return the ``iface-id`` of each interface that has one."""
        self._answer("listing interfaces")
        return {
            name: ids["iface-id"] for ports in self.bridges.values() for name, ids in ports.items() if "iface-id" in ids
        }

    def state(self) -> object:
        """Return a value equal to another when both switches have the same ports."""
        return {bridge: {name: dict(ids) for name, ids in ports.items()} for bridge, ports in self.bridges.items()}

    def _answer(self, doing: str) -> None:
        if self.away:
            raise SwitchRefused(doing, "its database does not answer")
