"""The real API behind a socket over a core that does a step of its work whenever it is looked at."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from api_world import NOW, SETTINGS
from controller_world import empty_store

from mooring.api.app import create_app
from mooring.container.model import Container, Interface
from mooring.container.spec import ContainerSpec
from mooring.container.states import Status, TaskState, check_allowed
from mooring.controller.api import Caller, NetworkWish
from mooring.db.api import Action, Event
from mooring.errors import ContainerNotFound
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind
from mooring.process.server import Server
from mooring.rpc.messages import DeviceReport, HostFacts, Image, LogQuery, Output, ProcessTable, Usage

PORT = "7a1d54c0-33d5-4f0e-8f5c-6a2f0a1b9c11"
NO_HOST = "no valid host: 2 hosts: 2 PciPassthroughFilter (0 of 14 VFs free on physnet1)"

FACTS = HostFacts(
    cpus=8,
    memory_mib=16000,
    disk_gib=100,
    architecture="x86_64",
    os_type="linux",
    os="Debian",
    kernel_version="6.1",
)


class Core:
    """A Lifecycle and an Inside. Its work on a container is done step by step, one whenever somebody looks."""

    def __init__(self) -> None:
        self.store = empty_store()
        self.full = False
        self.executed: list[tuple[str, ...]] = []
        self.asked_logs: list[LogQuery] = []
        self._steps: dict[str, list[Callable[[Container], None]]] = {}

    def add_host(self, name: str) -> None:
        vf = DeviceReport(
            address=PciAddress.parse("0000:3b:10.0"),
            kind=DeviceKind.VF,
            vendor_id="8086",
            product_id="154c",
            parent=PciAddress.parse("0000:3b:00.0"),
            physical_network="physnet1",
        )
        self.store.note_host(name, boot_id="b", facts=FACTS, devices=[vf], now=NOW)

    # Lifecycle

    def create(self, caller: Caller, spec: ContainerSpec, nets: Sequence[NetworkWish], *, run: bool) -> Container:
        container = Container(
            uuid=str(uuid.uuid4()),
            project_id=caller.project_id,
            user_id=caller.user_id,
            spec=spec,
            created_at=datetime.now(UTC),
            interfaces=tuple(
                Interface(id=str(uuid.uuid4()), network_id="n1", vnic_type="direct", port_id=net.port) for net in nets
            ),
        )
        request = caller.request_id
        added = self.store.add_container(container, action=self._action(caller, container, "create"), limits={})
        end = Status.RUNNING if run else Status.CREATED
        self._steps[container.uuid] = (
            [lambda it: self._end(it, request, Status.ERROR, NO_HOST)]
            if self.full
            else [
                lambda it: self._change(it, task_state=TaskState.IMAGE_PULLING),
                lambda it: self._event(it, request, "bind"),
                lambda it: self._end(it, request, end),
            ]
        )
        return added

    def find(self, caller: Caller, key: str, *, everywhere: bool = False) -> Container:
        project = None if everywhere or caller.is_admin else caller.project_id
        found = self.store.find_containers(key, project)
        if not found:
            raise ContainerNotFound(key)
        (container,) = found
        if steps := self._steps.get(container.uuid):
            steps.pop(0)(container)
        return self.store.find_containers(key, project)[0] if self.store.container(container.uuid) else container

    def start(self, caller: Caller, key: str) -> None:
        self._begin(caller, key, "start", Status.RUNNING)

    def stop(self, caller: Caller, key: str, *, timeout_s: int) -> None:
        assert timeout_s == 10
        self._begin(caller, key, "stop", Status.STOPPED)

    def delete(
        self, caller: Caller, key: str, *, stop: bool = False, force: bool = False, everywhere: bool = False
    ) -> None:
        del stop, everywhere
        container = self.find(caller, key)
        check_allowed("delete_force" if force else "delete", container.uuid, container.status)
        self.store.start_action(self._action(caller, container, "delete"))
        self._steps[container.uuid] = [lambda it: self._change(it, status=Status.DELETING), self.store.remove]

    def _begin(self, caller: Caller, key: str, verb: str, end: Status) -> None:
        container = self.find(caller, key)
        check_allowed(verb, container.uuid, container.status)
        self.store.start_action(self._action(caller, container, verb))
        self._steps[container.uuid] = [lambda it: self._end(it, caller.request_id, end)]

    # Inside

    def execute(self, caller: Caller, key: str, command: Sequence[str]) -> Output:
        del caller, key
        self.executed.append(tuple(command))
        return Output(text="hello\n", exit_code=7)

    def logs(self, caller: Caller, key: str, query: LogQuery) -> str:
        del caller, key
        self.asked_logs.append(query)
        return "one\ntwo\n"

    def top(self, caller: Caller, key: str, ps_arguments: str | None) -> ProcessTable:
        del caller, key, ps_arguments
        return ProcessTable(titles=("PID", "CMD"), processes=(("1", "sleep 60"),))

    def stats(self, caller: Caller, key: str) -> tuple[Container, Usage]:
        usage = Usage(
            cpu_percent=0.4,
            memory_bytes=1 << 20,
            memory_limit_bytes=4 << 20,
            block_read_bytes=0,
            block_write_bytes=0,
            received_bytes=1,
            sent_bytes=2,
        )
        return self.find(caller, key), usage

    def images(self, host: str | None) -> tuple[tuple[str, Image], ...]:
        del host
        return (("node1", Image(id="sha256:1", repository="cirros", tag="latest", size_bytes=9)),)

    # Steps

    def _action(self, caller: Caller, container: Container, verb: str) -> Action:
        return Action(
            request_id=caller.request_id,
            container=container.uuid,
            action=verb,
            project_id=caller.project_id,
            user_id=caller.user_id,
            start=NOW,
        )

    def _change(self, container: Container, **change: Status | TaskState | str | None) -> None:
        self.store.save(replace(container, **change))

    def _event(self, container: Container, request: str, name: str) -> None:
        event = Event(name=name, start=NOW, finish=NOW, result="Success")
        self.store.add_event(container.uuid, request, event)

    def _end(self, container: Container, request: str, status: Status, reason: str | None = None) -> None:
        self._change(container, status=status, task_state=None, status_reason=reason)
        self.store.finish_action(container.uuid, request, now=NOW, message=reason)


class _Latest:
    """What there is of something at the moment."""

    def __init__(self, find: Callable[[], object]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> object:
        return getattr(self._find(), name)


class Front:
    """The API as a server on loopback has it, over one core after the other: both take longer to make than a test."""

    def __init__(self) -> None:
        self._core: Core
        core: Any = _Latest(lambda: self._core)  # as much of Lifecycle and Inside as the tests ask for
        store: Any = _Latest(lambda: self._core.store)
        self._app = create_app(lifecycle=core, inside=core, store=store, settings=SETTINGS, clock=lambda: NOW)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._app(environ, start_response)

    def serve(self, core: Core) -> None:
        """Answer for this core from now on."""
        self._core = core


@contextmanager
def served(front: Front) -> Iterator[str]:
    """Serve on loopback, and yield the endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(front, listener.dup(), max_body=SETTINGS.max_body_bytes)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.stop()
            thread.join()
