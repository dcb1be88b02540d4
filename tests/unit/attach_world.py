"""A host with two cards, a Neutron, and the core between them: what the core's tests play in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mooring.attach.devices import Devices, devices_of
from mooring.attach.drivers.registry import load_port_drivers
from mooring.attach.engine import Engine, Patience
from mooring.attach.journal import Journal
from mooring.attach.pool import VfState
from mooring.attach.settlement import Settlement
from mooring.attach.types import AttachRequest, Lease, LeaseStep
from mooring.host.kernel import VfSettings
from mooring.neutron.model import Network, Port, Segment
from mooring.pci.address import PciAddress
from mooring.pci.device import VirtualFunction
from mooring.pci.device_spec import DeviceSpec
from mooring.testing.kernel import FakeKernel
from mooring.testing.neutron import FakeNeutron

HOST = "host-a"
VF = PciAddress.parse("0000:01:10.0")
SPECS = DeviceSpec.parse_all(
    [
        '{"devname": "enp1s0", "physical_network": "physnet1", "trusted": "true"}',
        '{"devname": "enp2s0", "physical_network": "physnet2"}',
    ]
)


def a_lease(**changes: object) -> Lease:
    port = Port(id="port-1", network_id="net", mac="fa:16:3e:00:00:01", revision=4, profile={"pci_slot": "x"})
    lease = Lease(
        id="lease-1",
        attachment="endpoint-1",
        boot_id="boot",
        device=VF,
        parent=PciAddress.parse("0000:01:00.0"),
        physical_network="physnet1",
        driver="sriov",
        step=LeaseStep.LEASED,
        port=port,
        former=port,
        network=Network(
            id="net",
            name="net",
            mtu=1500,
            segments=(Segment(network_type="vlan", physical_network="physnet1", segmentation_id=100),),
        ),
        device_owner="compute:kuryr",
        created=False,
        vnic_type="direct",
        pci_vendor_info="8086:10ca",
    )
    return replace(lease, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One life of the daemon's core."""

    devices: Devices
    engine: Engine
    settlement: Settlement

    @property
    def journal(self) -> Journal:
        return self.devices.journal

    def round(self) -> None:
        """Do what the housekeeper does in a round."""
        self.settlement.settle()
        self.engine.sweep()


class World:
    """What outlives the daemon: the kernel, Neutron, and the state directory."""

    def __init__(self, state: Path) -> None:
        self.kernel = FakeKernel()
        self.kernel.add_pf("0000:01:00.0", "enp1s0")
        self.kernel.add_pf("0000:02:00.0", "enp2s0", vfs=3)
        self.neutron = FakeNeutron()
        self.network = self.neutron.add_network("net04", physical_network="physnet2", vlan=150)
        self.neutron.add_subnet(self.network)
        self._state = state
        self.now_s = 0.0
        self.core = self.start()
        self.neutron.report_agent(HOST, self.core.devices.pool.mappings(), started=True)
        self.neutron.calls.clear()

    def start(self, patience: Patience | None = None) -> Core:
        """Start the core, as the daemon does: the journal is opened, the host is put in order."""
        devices = devices_of(self.kernel, Journal(self._state / "node.sqlite"), SPECS)
        settlement = Settlement(
            ports=self.neutron, bus=self.neutron, journal=devices.journal, host=HOST, clock=lambda: self.now_s
        )
        engine = Engine(
            devices=devices,
            ports=self.neutron,
            drivers=load_port_drivers(["sriov"], devices),
            settlement=settlement,
            host=HOST,
            patience=patience or Patience(),
            clock=lambda: self.now_s,
        )
        self.core = Core(devices=devices, engine=engine, settlement=settlement)
        engine.recover()
        self.core.round()
        return self.core

    def later(self, seconds: float = 600, rounds: int = 3) -> None:
        """Let time go by, with the housekeeper making its rounds."""
        for _ in range(rounds):
            self.now_s += seconds / rounds
            self.core.round()

    def kill(self) -> None:
        """End the daemon as kill -9 does: nothing is tidied up but what the kernel closes."""
        self.core.journal.close()

    def port(self, **attributes: object) -> Port:
        return self.neutron.add_port(self.network, **attributes)  # type: ignore[arg-type]

    def request(self, port: Port, attachment: str = "endpoint-1", **changes: object) -> AttachRequest:
        return AttachRequest(
            attachment=attachment,
            port=self.neutron.now(port.id),
            network=self.neutron_network(port),
            device_owner="compute:kuryr",
            **changes,  # type: ignore[arg-type]
        )

    def neutron_network(self, port: Port) -> Network:
        return self.neutron.network(port.network_id)

    def run(self, port: Port, attachment: str = "endpoint-1", **changes: object) -> VirtualFunction:
        """Do what a container's start does: lease, attach, move the interface into the container."""
        lease = self.core.engine.lease(self.request(port, attachment, **changes))
        self.core.engine.attach(attachment)
        vf = self.kernel.vf(lease.device)
        self.kernel.move_to_container(vf, "eth0", container=attachment)
        return self.kernel.vf(lease.device)

    def end(self, attachment: str = "endpoint-1") -> None:
        """Do what a container's removal does: the interface comes home, the endpoint is deleted."""
        lease = self.core.engine.find(attachment)
        assert lease is not None
        self.kernel.move_to_host(self.kernel.vf(lease.device), self.core.engine.attach(attachment).interface)
        self.core.engine.detach(attachment)

    def held(self, address: PciAddress) -> VfSettings:
        """Return what the PF holds for a VF."""
        for pf in self.kernel.physical_functions():
            for vf in pf.vfs:
                if vf.address == address:
                    return self.kernel.read_settings(pf)[vf.index]
        raise AssertionError(f"{address} is not there")

    def unclean(self) -> list[str]:
        """Return everything that is not as it should be on a host without containers, in words."""
        wrong = [
            f"{status.pooled.address} is {status.state}: {status.reason}"
            for status in self.core.engine.status()
            if status.state is not VfState.FREE
        ]
        wrong += [f"lease {lease.attachment}" for lease in self.core.journal.leases()]
        wrong += [f"debt {entry.debt.kind} {entry.last_error}" for entry in self.core.journal.debts()]
        wrong += [
            f"port {port['id']} is bound to {port['binding:host_id']}, device {port['device_id']}"
            for port in self.neutron.server.tables["ports"].values()
            if port["binding:host_id"] or port["device_id"] or port["device_owner"]
        ]
        macs = {port["mac_address"] for port in self.neutron.server.tables["ports"].values()}
        wrong += [
            f"{vf.address} carries {self.held(vf.address).mac}"
            for pf in self.kernel.physical_functions()
            for vf in pf.vfs
            if self.held(vf.address).mac in macs
        ]
        return wrong
