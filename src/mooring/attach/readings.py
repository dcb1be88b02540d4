"""One look at each card, at Open vSwitch and at each QoS policy, shared by all that is judged in one round."""

from __future__ import annotations

from collections.abc import Mapping

from mooring.errors import SwitchRefused
from mooring.host.kernel import Kernel, Netdev, VfSettings
from mooring.host.virtual import Switch
from mooring.neutron.api import NeutronPorts
from mooring.neutron.model import EgressLimits, Port
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction


class CardReadings:
    """What the PFs hold for their VFs, and how their interfaces are. Each card is read once, when it is asked for."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._settings: dict[PciAddress, Mapping[int, VfSettings]] = {}
        self._uplinks: dict[PciAddress, Netdev | None] = {}
        self._plugged: Mapping[str, str] | SwitchRefused | None = None

    def settings(self, pf: PhysicalFunction) -> Mapping[int, VfSettings]:
        """Return the settings of the card's VFs by VF index; raises KernelRefused or DeviceGone."""
        if pf.address not in self._settings:
            self._settings[pf.address] = self._kernel.read_settings(pf)
        return self._settings[pf.address]

    def uplink(self, pf: PhysicalFunction) -> Netdev | None:
        """Return the PF's interface, None while it is not in the host's namespace."""
        if pf.address not in self._uplinks:
            self._uplinks[pf.address] = self._kernel.netdev(pf)
        return self._uplinks[pf.address]

    def plugged(self, switch: Switch) -> Mapping[str, str]:
        """Return the ``iface-id`` of each interface that the switch has; raises SwitchRefused.

        A switch that did not answer once is not waited for again.
        """
        if self._plugged is None:
            try:
                self._plugged = switch.plugged()
            except SwitchRefused as exc:
                self._plugged = exc
        if isinstance(self._plugged, SwitchRefused):
            raise self._plugged
        return self._plugged


class PolicyReadings:
    """What QoS policies allow. Each is read once, when it is asked for."""

    def __init__(self, ports: NeutronPorts) -> None:
        self._ports = ports
        self._limits: dict[str, EgressLimits] = {}

    def limits(self, port: Port) -> EgressLimits:
        """Return what a port's policy allows, all of a port without one; raises what ``egress_limits`` does."""
        if (policy := port.qos_policy_id) is None:
            return EgressLimits()
        if policy not in self._limits:
            self._limits[policy] = self._ports.egress_limits(policy)
        return self._limits[policy]
