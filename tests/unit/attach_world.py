"""A host with two cards, a Neutron, and the core between them: what the core's tests play in."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mooring.attach.devices import Devices, devices_of
from mooring.attach.drivers.registry import PortDrivers, load_port_drivers
from mooring.attach.engine import Engine, Patience
from mooring.attach.follower import Follower
from mooring.attach.journal import Journal
from mooring.attach.pool import VfState
from mooring.attach.publishing import VfioDevice, VfioPublisher
from mooring.attach.readings import CardReadings
from mooring.attach.reconcile import Reconciler
from mooring.attach.settlement import Settlement
from mooring.attach.types import Attachment, AttachRequest, Lease, LeaseStep, Whereabouts
from mooring.errors import KernelRefused
from mooring.host.kernel import VFIO, VfSettings
from mooring.neutron.model import Network, Port, Segment
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction
from mooring.pci.device_spec import DeviceSpec
from mooring.testing.kernel import FakeKernel
from mooring.testing.neutron import FakeNeutron
from mooring.testing.switch import FakeSwitch

HOST = "host-a"
OWNER = "compute:kuryr"
VF = PciAddress.parse("0000:01:10.0")
VF_2 = PciAddress.parse("0000:02:10.0")
DRIVERS = ("sriov", "veth", "macvtap", "physical")
SERVICE = "compute:mooring"
CONTAINER = "6f1f5c1e-0000-4000-8000-00000000c0de"
IN_CONTAINER = "eth0"
KINDS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "direct": ("direct", {}),
    "vfio": ("direct", {"vf_driver": VFIO}),
    "macvtap": ("macvtap", {}),
    "direct-physical": ("direct-physical", {}),
    "normal": ("normal", {}),
}
"""The kinds of attachments: the port's vnic_type, and what is wished for besides (see World.run)."""
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
        device_owner=OWNER,
        created=False,
        vnic_type="direct",
        profile={"pci_slot": str(VF), "pci_vendor_info": "8086:10ca", "physical_network": "physnet1"},
    )
    return replace(lease, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One life of the daemon's core."""

    devices: Devices
    drivers: PortDrivers
    engine: Engine
    settlement: Settlement
    reconciler: Reconciler
    follower: Follower

    @property
    def journal(self) -> Journal:
        return self.devices.journal

    def round(self) -> None:
        """Do what the housekeeper does in a round."""
        self.settlement.settle()
        self.reconciler.sweep()
        self.follower.round()


class Catalogue:
    """What container engines know of VFs for programs; while ``broken`` it cannot be written."""

    def __init__(self) -> None:
        self.devices: tuple[VfioDevice, ...] = ()
        self.broken = False

    def write(self, devices: tuple[VfioDevice, ...]) -> None:
        if self.broken:
            raise KernelRefused("writing the CDI specification", "mooring.json", errno.EROFS)
        self.devices = devices

    @property
    def names(self) -> list[str]:
        return [device.name for device in self.devices]


class World:
    """What outlives the daemon: the kernel, Open vSwitch, Docker, Neutron, and the state directory.

    ``containers`` are the attachments that Docker's containers hold; None is a Docker that does not answer.
    """

    def __init__(self, state: Path, specs: tuple[DeviceSpec, ...] = SPECS) -> None:
        self._specs = specs
        self.kernel = FakeKernel()
        self.switch = FakeSwitch()
        self.catalogue = Catalogue()
        self.containers: set[str] | None = None
        self.on_pause: Callable[[], None] = lambda: None
        self.kernel.add_pf("0000:01:00.0", "enp1s0")
        self.kernel.add_pf("0000:02:00.0", "enp2s0", vfs=3)
        self.neutron = FakeNeutron()
        self.network = self.neutron.add_network("net04", physical_network="physnet2", vlan=150)
        self.neutron.add_subnet(self.network)
        self.neutron.add_ovs_agent(HOST)
        self._profiles: dict[str, Mapping[str, object]] = {}
        self._uplinks = {pf.address: self.kernel.netdev(pf) for pf in self.kernel.physical_functions()}
        self._state = state
        self.now_s = 0.0
        self.core = self.start()
        self.neutron.report_agent(HOST, self.core.devices.pool.mappings(), started=True)
        self.neutron.calls.clear()

    def start(self, patience: Patience | None = None) -> Core:
        """Start the core, as the daemon does: the journal is opened, the host is put in order."""
        journal = Journal(self._state / "node.sqlite")
        devices = devices_of(self.kernel, self.kernel, self.switch, journal, self._specs)
        drivers = load_port_drivers(DRIVERS, devices)
        settlement = Settlement(
            ports=self.neutron, bus=self.neutron, journal=journal, host=HOST, drivers=drivers, clock=self.clock
        )
        publisher = VfioPublisher(devices, self.catalogue)
        engine = Engine(
            devices=devices,
            ports=self.neutron,
            drivers=drivers,
            settlement=settlement,
            host=HOST,
            patience=patience or Patience(pause=self.pause),
            publisher=publisher,
        )
        reconciler = Reconciler(
            devices=devices,
            drivers=drivers,
            engine=engine,
            settlement=settlement,
            containers=self,
            publisher=publisher,
            clock=self.clock,
        )
        follower = Follower(
            devices=devices,
            engine=engine,
            ports=self.neutron,
            owners=[OWNER],
            wake=settlement.nudge,
            containers=self,
            clock=self.clock,
        )
        self.core = Core(
            devices=devices,
            drivers=drivers,
            engine=engine,
            settlement=settlement,
            reconciler=reconciler,
            follower=follower,
        )
        reconciler.recover()
        self.core.round()
        return self.core

    def clock(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        """Wait, as the engine does for what is about to happen: it happens at once here."""
        del seconds
        self.on_pause()

    def living(self) -> frozenset[str] | None:
        """Answer for Docker; see mooring.attach.types.Containers."""
        return None if self.containers is None else frozenset(self.containers)

    def later(self, seconds: float = 600, rounds: int = 3) -> None:
        """Let time go by, with the housekeeper making its rounds."""
        for _ in range(rounds):
            self.now_s += seconds / rounds
            self.core.round()

    def kill(self) -> None:
        """End the daemon as kill -9 does: nothing is tidied up but what the kernel closes."""
        self.core.journal.close()

    def port(self, **attributes: object) -> Port:
        port = self.neutron.add_port(self.network, **attributes)  # type: ignore[arg-type]
        self._profiles[port.id] = dict(self.neutron.server.tables["ports"][port.id]["binding:profile"])
        return port

    def bound_port(self, *, vnic_type: str = "direct", device: PciAddress | None = VF_2, **attributes: object) -> Port:
        """Return a port that a controller has bound to this host, for one of its containers."""
        port = self.port(vnic_type=vnic_type, **attributes)
        profile = {}
        if vnic_type != "normal" and device is not None:
            known = self.device(device)
            assert known is not None
            profile = {
                "pci_slot": str(device),
                "pci_vendor_info": known.vendor_info,
                "physical_network": "physnet2",
            }
        if vnic_type == "direct-physical" and (uplink := self._uplinks[device]) is not None:
            profile["device_mac_address"] = uplink.mac
        binding = {"binding:host_id": HOST, "device_id": CONTAINER, "device_owner": SERVICE, "binding:profile": profile}
        self._profiles.pop(port.id)
        return self.neutron.change_port(port.id, **binding)

    def write_in_profile(self, port: Port, **keys: str) -> Port:
        """Add keys to a port's profile, as somebody else would: they are to stay there."""
        self._profiles[port.id] = {**self._profiles[port.id], **keys}
        profile = {**self.neutron.now(port.id).profile, **keys}
        return self.neutron.change_port(port.id, **{"binding:profile": profile})

    def request(self, port: Port, attachment: str = "endpoint-1", **changes: object) -> AttachRequest:
        known = self.neutron.now(port.id)
        return AttachRequest(
            attachment=attachment,
            port=known,
            network=self.neutron_network(port),
            device_owner=known.device_owner if known.device_owner == SERVICE else OWNER,
            is_bound=known.device_owner == SERVICE,
            **changes,  # type: ignore[arg-type]
        )

    def neutron_network(self, port: Port) -> Network:
        return self.neutron.network(port.network_id)

    def run(self, port: Port, attachment: str = "endpoint-1", **changes: object) -> Any:  # noqa: ANN401
        """Do what a container's start does: lease, attach, move the interface into the container, of whatever kind.

        Returns the leased device as it is then: a VF, a PF, or None for a veth pair.
        """
        lease = self.core.engine.lease(self.request(port, attachment, **changes))
        self.move_in(lease, self.core.engine.attach(attachment))
        return None if lease.device is None else self.device(lease.device)

    def move_in(self, lease: Lease, attached: Attachment) -> None:
        """Move what was attached into its container, as Docker does."""
        attachment, interface = lease.attachment, attached.interface
        match self._kind(lease):
            case "vfio":
                self.kernel.open_vfio(self.kernel.vf(lease.device))
            case "vf":
                self.kernel.move_to_container(self.kernel.vf(lease.device), IN_CONTAINER, container=attachment)
            case "pf":
                self.kernel.move_pf_to_container(self.pf(lease.device), IN_CONTAINER, container=attachment)
            case _:
                self.kernel.move_link_to_container(interface, IN_CONTAINER, container=attachment)
        if self.containers is not None:
            self.containers.add(attachment)

    def end(self, attachment: str = "endpoint-1") -> None:
        """Do what a container's removal does: the interface comes home, the endpoint is deleted."""
        lease = self.core.engine.find(attachment)
        assert lease is not None
        self.leave(lease)
        self.core.engine.detach(attachment)

    def leave(self, lease: Lease) -> None:
        """Let a container end in good order: Docker fetches the interface home, but nobody calls DeleteEndpoint."""
        interface = self.core.engine.attach(lease.attachment).interface
        match self._kind(lease):
            case "vfio":
                self.kernel.close_vfio(self.kernel.vf(lease.device))
            case "vf":
                self.kernel.move_to_host(self.kernel.vf(lease.device), interface)
            case "pf":
                self.kernel.pf_comes_home(self.pf(lease.device), interface)
            case _:
                self.kernel.move_link_to_host(IN_CONTAINER, interface, container=lease.attachment)
        self._forget_container(lease.attachment)

    def die(self, lease: Lease) -> None:
        """Kill a container: its namespace ends with all that is in it, and what is a device comes home changed."""
        match self._kind(lease):
            case "vfio":
                self.kernel.close_vfio(self.kernel.vf(lease.device))
            case "vf":
                self.kernel.container_dies(self.kernel.vf(lease.device))
            case "pf":
                self.kernel.pf_container_dies(self.pf(lease.device))
            case _:
                self.kernel.links_die(lease.attachment)
        self._forget_container(lease.attachment)

    def device(self, address: PciAddress) -> PciDevice | None:
        """Return a device as it is now, without counting as a call."""
        return self.kernel._find(address)

    def pf(self, address: PciAddress) -> PhysicalFunction:
        """Return a PF as it is now, without counting as a call."""
        device = self.device(address)
        assert isinstance(device, PhysicalFunction), f"{address} is {device}"
        return device

    @staticmethod
    def _kind(lease: Lease) -> str:
        if lease.vf_driver == VFIO:
            return "vfio"
        return {"direct": "vf", "direct-physical": "pf"}.get(lease.vnic_type, "link")

    def _forget_container(self, attachment: str) -> None:
        if self.containers is not None:
            self.containers.discard(attachment)

    def check(self, attachment: str = "endpoint-1") -> tuple[str, ...]:
        """Return in words where an attachment's device is not as it should be in a running container."""
        lease = self.core.engine.find(attachment)
        if lease is None or lease.step is not LeaseStep.READY:
            return (f"attachment {attachment} is {lease and lease.step}",)
        sight = self.core.drivers[lease.driver].look(lease, CardReadings(self.kernel))
        if sight.whereabouts is not Whereabouts.AWAY:
            return (f"{lease.place} is {sight.whereabouts.value} {sight.detail}",)
        return tuple(map(str, sight.differences))

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
            for status in self.core.devices.pool.statuses()
            if status.state is not VfState.FREE
        ]
        wrong += [f"lease {lease.attachment}" for lease in self.core.journal.leases()]
        wrong += [f"debt {entry.debt.kind} {entry.last_error}" for entry in self.core.journal.debts()]
        wrong += [
            f"port {port['id']} is bound to {port['binding:host_id']}, device {port['device_id']}"
            for port in self.neutron.server.tables["ports"].values()
            if port["device_owner"] != SERVICE
            if port["binding:host_id"] or port["device_id"] or port["device_owner"]
        ]
        wrong += [
            f"port {port['id']} has profile {port['binding:profile']}, had {self._profiles[port['id']]}"
            for port in self.neutron.server.tables["ports"].values()
            if port["binding:profile"] != self._profiles.get(port["id"], port["binding:profile"])
        ]
        macs = {port["mac_address"] for port in self.neutron.server.tables["ports"].values()}
        wrong += [
            f"{vf.address} carries {self.held(vf.address).mac}"
            for pf in self.kernel.physical_functions()
            for vf in pf.vfs
            if pf.netdev is not None and self.held(vf.address).mac in macs
        ]
        wrong += [
            f"{pf.address} has {self.kernel.netdev(pf)}, had {self._uplinks[pf.address]}"
            for pf in self.kernel.physical_functions()
            if self.kernel.netdev(pf) != self._uplinks[pf.address]
        ]
        wrong += [f"link {link.name} in {link.namespace}" for link in self.kernel._links if link.kind != "bridge"]
        wrong += [f"port {name} of Open vSwitch" for name in self.switch.plugged()]
        return wrong
