"""What is asked of containers from outside: checked, written down, and left to the workers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, cast

from mooring.config.settings import ControllerSettings
from mooring.container.model import AliasClaim, Container, Interface, InterfacePhase, Operation
from mooring.container.spec import ContainerSpec
from mooring.container.states import TASK_OF, TaskState, Verb
from mooring.controller import steps
from mooring.controller.api import Caller, ContainerChange, NetworkWish
from mooring.controller.changes import Changes, action_of, check_idle
from mooring.controller.clock import Clock, utc_now
from mooring.controller.finding import find_container
from mooring.controller.interfaces import InterfaceReader, check_apart
from mooring.controller.room import HostRoom
from mooring.db.api import Event, Resource, Store
from mooring.errors import InvalidRequest, NameTaken, QuotaExceeded
from mooring.neutron.api import Neutron
from mooring.pci.alias import parse_alias_request

ALIAS_HINT: Final = "pci_passthrough:alias"

_Arguments = Mapping[str, str | int | bool]
_STOP_TIMEOUT_S: Final = 10
_NOT_ENFORCED: Final = "security groups are not enforced on SR-IOV ports: {ports}"


class ContainerLifecycle:
    """Lifecycle, over the database. ``wake`` lets the workers look at what was written."""

    def __init__(
        self,
        *,
        store: Store,
        neutron: Neutron,
        settings: ControllerSettings,
        wake: Callable[[], None],
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._settings = settings
        self._reader = InterfaceReader(neutron=neutron, hosts=store, default_vnic_type=settings.default_vnic_type)
        self._changes = Changes(store=store, wake=wake, clock=clock)
        self._room = HostRoom(store=store, settings=settings.scheduler)
        self._wake = wake
        self._clock = clock

    def find(self, caller: Caller, key: str, *, everywhere: bool = False) -> Container:
        """Return a container as it is known; asks no node."""
        return find_container(self._store, caller, key, everywhere=everywhere)

    # Creating

    def create(self, caller: Caller, spec: ContainerSpec, nets: Sequence[NetworkWish], *, run: bool) -> Container:
        """Write a new container down, and its ports as taken; see Lifecycle."""
        if spec.host is not None:
            spec = spec.model_copy(update={"host": self._store.host(spec.host).name})
        aliases = self._aliases(spec)
        groups = self._reader.security_groups(caller, spec.security_groups or ())
        interfaces = self._reader.read(caller, nets, security_groups=groups)
        check_apart(interfaces)
        now = self._clock()
        warning = _not_enforced(groups, interfaces)
        container = Container(
            uuid=str(uuid.uuid4()),
            project_id=caller.project_id,
            user_id=caller.user_id,
            spec=spec.model_copy(update={"security_groups": groups or None}),
            created_at=now,
            status_reason=warning,
            task_state=TASK_OF[Verb.CREATE],
            interfaces=interfaces,
            aliases=aliases,
            operation=Operation(number=1, verb=Verb.CREATE, arguments={"run": run}),
            action=caller.request_id,
            due_at=now,
        )
        added = self._store.add_container(
            container,
            action=action_of(caller, container, Verb.CREATE, now),
            limits=self._limits(caller.project_id),
            unique_names=cast("Literal['', 'project', 'global']", self._settings.unique_names),
        )
        self._warn(added, caller, warning)
        self._wake()
        return added

    def _aliases(self, spec: ContainerSpec) -> tuple[AliasClaim, ...]:
        if ALIAS_HINT not in spec.hints:
            return ()
        names = parse_alias_request(spec.hints[ALIAS_HINT], self._settings.aliases)
        return tuple(AliasClaim(id=str(uuid.uuid4()), alias=name) for name in names)

    def _limits(self, project_id: str) -> Mapping[Resource, float]:
        return cast("Mapping[Resource, float]", {**self._settings.quotas, **self._store.quotas(project_id)})

    def _warn(self, container: Container, caller: Caller, warning: str | None) -> None:
        """Write into the history of a request what does not follow from it, though it was asked for."""
        if warning is not None:
            now = self._clock()
            event = Event(name=warning, start=now, finish=now, result="Success")
            self._store.add_event(container.uuid, caller.request_id, event)

    # Its state

    def start(self, caller: Caller, key: str) -> None:
        """Have a container started."""
        self._operate(caller, key, Verb.START)

    def stop(self, caller: Caller, key: str, *, timeout_s: int) -> None:
        """Have a container stopped, by force after ``timeout_s``."""
        self._operate(caller, key, Verb.STOP, {"timeout_s": timeout_s})

    def reboot(self, caller: Caller, key: str, *, timeout_s: int) -> None:
        """Have a container stopped and started."""
        self._operate(caller, key, Verb.REBOOT, {"timeout_s": timeout_s})

    def pause(self, caller: Caller, key: str) -> None:
        """Have a container's processes frozen."""
        self._operate(caller, key, Verb.PAUSE)

    def unpause(self, caller: Caller, key: str) -> None:
        """Let a container's processes go on."""
        self._operate(caller, key, Verb.UNPAUSE)

    def kill(self, caller: Caller, key: str, *, signal: str | None) -> None:
        """Have a signal sent to a container; None is SIGKILL."""
        self._operate(caller, key, Verb.KILL, {} if signal is None else {"signal": signal})

    def rebuild(self, caller: Caller, key: str, *, image: str | None, image_driver: str | None) -> None:
        """Have a container made anew, with the same ports and devices; started again if it was running."""
        wanted = {"image": image, "image_driver": image_driver}
        change = {name: value for name, value in wanted.items() if value is not None}

        def rebuilt(container: Container) -> Container:
            return steps.rebuilding(
                replace(container, spec=container.spec.model_copy(update=change)), action=caller.request_id
            )

        self._changes.apply(caller, key, Verb.REBUILD, rebuilt)

    def update(self, caller: Caller, key: str, change: ContainerChange) -> Container:
        """Change a container's name, limits or healing; see Lifecycle."""
        container = find_container(self._store, caller, key)
        self._check_name(container, change.name)
        self._check_quota(container, change)
        wanted = {
            "name": change.name,
            "cpu": change.cpu,
            "memory_mib": change.memory_mib,
            "auto_heal": change.auto_heal,
        }
        values = {name: value for name, value in wanted.items() if value is not None}

        def updated(container: Container) -> Container:
            container = replace(container, spec=container.spec.model_copy(update=values))
            if change.cpu is None and change.memory_mib is None:
                return container
            return steps.told(container, Verb.UPDATE, action=caller.request_id)

        return self._changes.apply(caller, key, Verb.UPDATE, updated, save=self._room.save)

    def _check_name(self, container: Container, name: str | None) -> None:
        if name is None or not self._settings.unique_names:
            return
        project = container.project_id if self._settings.unique_names == "project" else None
        for other in self._store.find_containers(name, project):
            if other.uuid != container.uuid and other.spec.name == name:
                raise NameTaken(name, other.uuid)

    def _check_quota(self, container: Container, change: ContainerChange) -> None:
        """Raise QuotaExceeded when a container is to grow by more than its project may have."""
        limits, used = self._limits(container.project_id), self._store.usage(container.project_id)
        amounts: tuple[tuple[Resource, float | None, float], ...] = (
            ("cpu", change.cpu, container.spec.cpu),
            ("memory", change.memory_mib, container.spec.memory_mib),
        )
        for resource, wanted, has in amounts:
            more, limit = (wanted or 0) - has, limits.get(resource, -1)
            if wanted is not None and more > 0 and limit >= 0 and used.get(resource, 0) + more > limit:
                raise QuotaExceeded(resource, limit=limit, in_use=used.get(resource, 0), wanted=more)

    def _operate(self, caller: Caller, key: str, verb: Verb, arguments: _Arguments | None = None) -> None:
        self._changes.apply(
            caller, key, verb, lambda container: steps.told(container, verb, arguments, action=caller.request_id)
        )

    # Its end

    def delete(
        self, caller: Caller, key: str, *, stop: bool = False, force: bool = False, everywhere: bool = False
    ) -> None:
        """Have a container taken away: from its host, then its ports given back, then its row deleted."""
        allowed = "delete_force" if force else "delete_after_stop" if stop else "delete"
        arguments: dict[str, str | int | bool] = {"force": True} if force else {}
        if stop:
            arguments["timeout_s"] = _STOP_TIMEOUT_S

        def deleted(container: Container) -> Container:
            if container.is_going:
                # It is on its way; an administrator may only take away the reasons to wait.
                operation = replace(container.operation, arguments={**container.operation.arguments, **arguments})
                return replace(container, operation=operation)
            return steps.going(container, arguments, action=caller.request_id)

        self._changes.apply(caller, key, Verb.DELETE, deleted, allowed=allowed, everywhere=everywhere)

    # Its ports

    def attach(self, caller: Caller, key: str, wish: NetworkWish | None) -> None:
        """Have a port put into a container, in the way of its creation; None is one on the project's own network."""
        container = find_container(self._store, caller, key)
        check_idle(container, Verb.ATTACH, allowed="network_attach")
        groups = container.spec.security_groups or ()
        (interface,) = self._reader.read(caller, [] if wish is None else [wish], security_groups=groups)
        check_apart((*container.interfaces, interface))

        def attached(container: Container) -> Container:
            check_apart((*container.interfaces, interface))
            return replace(
                container,
                interfaces=(*container.interfaces, interface),
                task_state=TaskState.ATTACHING,
                action=caller.request_id,
            )

        changed = self._changes.apply(caller, key, Verb.ATTACH, attached, allowed="network_attach")
        self._warn(changed, caller, _not_enforced(groups, [interface]))

    def detach(self, caller: Caller, key: str, *, port: str | None = None, network: str | None = None) -> None:
        """Have one port, or all ports of a network, taken out of a container; InvalidRequest when none is in it."""

        def detached(container: Container) -> Container:
            interface = _meant(container, port=port, network=network)
            container = steps.with_interface(container, replace(interface, phase=InterfacePhase.LEAVING))
            arguments = {"port": str(interface.port_id)}
            return steps.told(container, Verb.DETACH, arguments, action=caller.request_id)

        self._changes.apply(caller, key, Verb.DETACH, detached, allowed="network_detach")


def _not_enforced(groups: Sequence[str], interfaces: Sequence[Interface]) -> str | None:
    """Return what a user must know who asks for security groups on ports that have no filter."""
    ports = [each.port_id or f"the one on network {each.network_id}" for each in interfaces if each.takes_device]
    return _NOT_ENFORCED.format(ports=", ".join(ports)) if groups and ports else None


def _meant(container: Container, *, port: str | None, network: str | None) -> Interface:
    """Return the interface that a port or a network of a container names."""
    if (port is None) == (network is None):
        raise InvalidRequest("name the port or the network that is to be detached: one of the two, and not both")
    for interface in container.interfaces:
        thing = interface.port if port is not None else interface.network
        given_id = interface.port_id if port is not None else interface.network_id
        if (port or network) in (given_id, thing and thing.name):
            return interface
    what = f"port {port}" if port is not None else f"network {network}"
    raise InvalidRequest(f"container {container.uuid} has no {what} attached")
