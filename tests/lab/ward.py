"""A card of a node in trouble, its containers, and what mooring tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from lab.neutron.client import Resource
from lab.node import MooringNode
from lab.state import PfState
from tests.lab.stage import LOOK_AGAIN_S, Container, Stage, eventually, findings, slot_of

# Two minutes until a container that nobody speaks of is given up, and a round on top.
RECONCILED_S = 240
VFIO = "vfio-pci"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A container with its port and its VF."""

    stage: Stage
    container: Container
    port: Resource
    vf: str

    @property
    def node(self) -> MooringNode:
        return self.container.node

    def told(self, kind: str) -> list[str]:
        return findings(self.node, kind, self.port["id"])

    def await_told(self, kind: str) -> None:
        """Wait until mooring tells of it."""
        what = f"{kind} is told of port {self.port['id']}"
        eventually(lambda: self.told(kind) != [], what, seconds=RECONCILED_S, every=LOOK_AGAIN_S)

    def await_status(self, status: str) -> None:
        self.stage.await_status(self.port, status)

    def is_held(self) -> bool:
        """Tell whether mooring has its lease still."""
        return any(row["port"] == self.port["id"] for row in self.node.leases())

    def await_freed(self) -> None:
        """Wait until Neutron has its port back, which is the last that mooring does for it."""

        def is_unbound() -> bool:
            return self.stage.now(self.port)["binding:vif_type"] == "unbound"

        eventually(is_unbound, f"port {self.port['id']} is unbound", seconds=RECONCILED_S)

    def await_loss(self) -> None:
        """Wait until the container has lost its interface."""

        def is_lost() -> bool:
            return "eth0" not in self.container.run("ls /sys/class/net").stdout

        eventually(is_lost, f"{self.vf} is taken back", every=LOOK_AGAIN_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """A card of a node, with a network for its containers."""

    stage: Stage
    node: MooringNode
    pf: PfState
    docker_network: str
    network: Resource

    def patient(self, options: str = "") -> Patient:
        """Run a container and wait until its port is ACTIVE."""
        port = self.stage.port(self.network)
        container = self.stage.start_at(self.node, self.docker_network, port, options)
        self.stage.await_status(port, "ACTIVE")
        return Patient(stage=self.stage, container=container, port=port, vf=slot_of(self.stage.now(port)))

    def row(self, vf: str) -> dict[str, str]:
        """What ``mooring pci list`` says of a VF."""
        (row,) = [row for row in self.node.vfs() if row["address"] == vf]
        return row

    def spare_vf(self) -> str:
        """The VF that is handed out last."""
        return max(row["address"] for row in self.node.vfs() if row["pf"] == self.pf.name)

    def run(self, command: str, *, seconds: float = 120) -> str:
        return self.node.guest.run(command, timeout=seconds).stdout

    def bind_by_hand(self, vf: str, driver: str) -> None:
        """Bind a VF to a driver as root does without asking anybody; an empty one is its own."""
        device = f"/sys/bus/pci/devices/{vf}"
        self.run(
            f"modprobe {VFIO}; echo {vf} > {device}/driver/unbind; echo {driver or ''} > {device}/driver_override; "
            f"echo {vf} > /sys/bus/pci/drivers_probe"
        )

    def make_vfs(self) -> None:
        """Make the card's VFs, as the guest does when it starts."""
        self.run(f"/usr/local/lib/mooring-lab/create-vfs {self.pf.name} && udevadm settle")


class Telling:
    """How often mooring has told of a finding since now: a device may have had a fault before."""

    def __init__(self, *, node: MooringNode, kind: str, subject: str) -> None:
        self._told = partial(findings, node, kind, subject)
        self._before = len(self._told())

    def times(self) -> int:
        return len(self._told()) - self._before
