"""A container host of the service: its agent, plugin and core, with an engine, a kernel and a controller in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from attach_world import HOST, SPECS, VF_2
from attach_world import World as Host

from mooring.attach.engine import Engine
from mooring.attach.types import Attachment, Attachments
from mooring.config.settings import LibnetworkSettings, ServiceSettings
from mooring.container.spec import ContainerSpec
from mooring.container.states import Verb
from mooring.errors import BusUnavailable
from mooring.libnetwork.plugin import Plugin
from mooring.neutron.model import Network, Port
from mooring.neutron.parse import parse_subnet
from mooring.node.containers.agent import Agent
from mooring.node.containers.runtime import Runtime
from mooring.node.containers.wiring import Parts, agent_of
from mooring.pci.address import PciAddress
from mooring.pci.device_spec import DeviceSpec
from mooring.rpc.messages import (
    ContainerReport,
    Failure,
    NodeReport,
    Wanted,
    WantedContainer,
    WantedInterface,
    WantedOperation,
)
from mooring.testing.docker import FakeDocker, PluginFailed

SERVICE = "5e41ce00-0000-4000-8000-000000000001"
UUID = "6f1f5c1e-0000-4000-8000-00000000c0de"
IMAGE = "busybox"
VFS = tuple(replace(VF_2, function=number) for number in (0, 2, 4))


class Controller:
    """Wants what a test says, and keeps the last report. ``away`` is a bus that nobody answers on."""

    def __init__(self) -> None:
        self.away = False
        self.service = SERVICE
        self.wanted: dict[str, WantedContainer] = {}
        self.reports: list[NodeReport] = []

    def sync(self, report: NodeReport) -> Wanted:
        if self.away:
            raise BusUnavailable("reporting to a controller", "the fake is switched off")
        # What travels is JSON.
        self.reports.append(NodeReport.model_validate_json(report.model_dump_json()))
        wanted = Wanted(service=self.service, containers=tuple(self.wanted.values()))
        return Wanted.model_validate_json(wanted.model_dump_json())

    def want(
        self,
        verb: Verb,
        *interfaces: WantedInterface,
        uuid: str = UUID,
        spec: ContainerSpec | None = None,
        devices: tuple[PciAddress, ...] = (),
        **arguments: str | int | bool,
    ) -> None:
        """Give the node the next operation of a container."""
        before = self.wanted.get(uuid)
        number = 1 if before is None else before.operation.number + 1
        self.wanted[uuid] = WantedContainer(
            uuid=uuid,
            spec=spec or (before.spec if before else ContainerSpec(name="web", image=IMAGE)),
            interfaces=interfaces or (before.interfaces if before and verb is not Verb.DETACH else ()),
            devices=devices or (before.devices if before else ()),
            operation=WantedOperation(number=number, verb=verb, arguments=arguments),
        )


class World:
    """What outlives the daemon, and one life of it. Operations are carried out in the thread that syncs."""

    def __init__(self, state: Path, runtime: Runtime | None = None, specs: tuple[DeviceSpec, ...] = SPECS) -> None:
        self.state = state
        self.host = Host(state, specs)
        self.host.containers = set()
        self.docker = FakeDocker(self)
        self.docker.images.add(IMAGE)
        self.runtime = runtime or self.docker
        self.controller = Controller()
        self.spawn: Callable[[str, Callable[[], None]], None] = lambda _name, do: do()
        self.agent = self._begin()

    @property
    def neutron(self) -> Any:  # noqa: ANN401 - FakeNeutron
        return self.host.neutron

    def attachments(self, engine: Engine) -> Attachments:
        """Return what the plugin is a front of."""
        return engine

    # The plugin as the fake engine calls it

    def call(self, name: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        statuses: list[str] = []
        text = json.dumps(body).encode()
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": f"/{name}",
            "CONTENT_LENGTH": str(len(text)),
            "wsgi.input": io.BytesIO(text),
        }
        answer = json.loads(
            b"".join(self.plugin.app(environ, lambda status, _headers, _exc=None: statuses.append(status)))
        )
        if not statuses[0].startswith("200"):
            raise PluginFailed(answer["Err"])
        return dict(answer)

    def moved_in(self, endpoint: str, interface: str) -> None:
        lease = self.host.core.engine.find(endpoint)
        assert lease is not None
        self.host.move_in(lease, Attachment(id=endpoint, device=lease.device, interface=interface))

    def moved_out(self, endpoint: str) -> None:
        lease = self.host.core.engine.find(endpoint)
        if lease is not None and self.host.check(endpoint) == ():
            self.host.leave(lease)

    # What a test does

    def port(self, vnic_type: str = "direct", device: PciAddress = VF_2, container: str = UUID) -> Port:
        """Return a port that the controller has bound to this host."""
        port = self.host.bound_port(vnic_type=vnic_type, device=device)
        return self.neutron.change_port(port.id, device_id=container) if container != UUID else port

    def interface(
        self,
        vnic_type: str = "direct",
        device: PciAddress = VF_2,
        container: str = UUID,
        network: Network | None = None,
    ) -> WantedInterface:
        """Return such a port as the node is told of it."""
        before, self.host.network = self.host.network, network or self.host.network
        port = self.port(vnic_type, device, container)
        network, self.host.network = self.host.network, before
        return WantedInterface(
            port=port,
            network=network,
            subnets=tuple(parse_subnet("telling", item) for item in self.neutron.server.tables["subnets"].values()),
            device=None if vnic_type == "normal" else device,
        )

    def settle(self) -> None:
        """Let the agent sync until it has told all and nothing more is to be done; then what is owed is told."""
        for _ in range(3):
            with suppress(BusUnavailable):
                self.agent.sync()
        self.host.core.reconciler.sweep()
        self.host.core.settlement.settle()

    def restart(self) -> None:
        """Kill the daemon and start it anew."""
        self.plugin.close()
        self.parts.memory.close()
        self.host.kill()
        self.host.start()
        self.agent = self._begin()
        self.agent.resume()

    def report(self, uuid: str = UUID) -> ContainerReport | None:
        """Return what the controller was last told of a container."""
        return {item.uuid: item for item in self.controller.reports[-1].containers}.get(uuid)

    def told(self, uuid: str = UUID) -> ContainerReport:
        report = self.report(uuid)
        assert report is not None
        return report

    def failure(self, uuid: str = UUID) -> Failure:
        done = self.told(uuid).done
        assert done is not None
        assert done.failure is not None
        return done.failure

    def left(self) -> list[str]:
        """Return in words what is on the host that is not there where no container is."""
        left = [f"container {uuid}" for uuid in self.docker.by_uuid]
        left += [f"network {name}" for name in self.docker.nets]
        left += [f"lease {lease.place}" for lease in self.host.core.journal.leases()]
        left += [f"memory of {uuid}" for uuid in self.parts.memory.containers()]
        left += [f"files {path}" for path in (self.state / "mounts").glob("*")]
        return left + self.host.unclean()

    def close(self) -> None:
        self.plugin.close()
        self.parts.memory.close()
        self.host.kill()

    def _begin(self) -> Agent:
        self.plugin = Plugin(
            neutron=self.neutron,
            attachments=self.attachments(self.host.core.engine),
            host=HOST,
            settings=LibnetworkSettings(),
            state_dir=self.state,
        )
        core = self.host.core
        self.parts = Parts.open(
            devices=core.devices,
            engine=core.engine,
            bound_ports=self.plugin.bound_ports,
            runtime=self.runtime,
            state_dir=self.state,
        )
        return agent_of(
            self.parts,
            host=HOST,
            settings=ServiceSettings(transport_url="fake://"),
            controller=self.controller,
            spawn=self.spawn,
            pause=lambda _: None,
        )
