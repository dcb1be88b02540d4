"""Every failure mooring can report, as one small hierarchy.

MooringError
├── InvalidInput          what was asked cannot mean anything; asking again will not help
│   ├── InvalidPciAddress, InvalidDeviceSpec, InvalidAlias, InvalidConfiguration, InvalidRequest
├── Refused               it was understood, but the state of the world forbids it
│   ├── DeviceUnusable, DeviceBusy, NoFreeDevice
│   ├── PortUnusable, PortBusy, PortNotFound, NetworkUnusable, BindingRefused
│   ├── NetworkNotFound, NoNetwork
│   ├── OperationRefused
│   ├── UnsupportedVnicType
│   ├── ContainerNotFound, HostNotFound, ActionNotFound, NameAmbiguous, NameTaken, WrongState
│   ├── NoValidHost, NoRoom, QuotaExceeded, PolicyForbids
│   └── ClaimLost, Outdated   somebody else was faster: look again, and decide anew
├── EdgeFailure           a neighbour failed; asking again may help
│   ├── KernelRefused, DeviceGone, SwitchRefused
│   ├── NeutronUnreachable, NeutronRefused (NeutronConflict)
│   ├── NodeUnreachable, EngineUnreachable, EngineRefused
│   ├── DatabaseUnavailable, BusUnavailable
│   ├── ServiceUnreachable, ServiceRefused
│   └── NotClean
└── StateFileUnusable     mooring's own memory fails: what it cannot write down, it must not do

Each class composes its own sentence: what failed, on which device or port, why, and what to do next. That sentence is
for operators and for the log. Users of the service are told ``public``, which leaves out what neighbours answer, where
they are and as whom they are asked. ``code`` is part of the interface: programs may rely on it, so it is never renamed.
"""

from __future__ import annotations

import errno as errno_names
import os
from typing import ClassVar


class MooringError(Exception):
    """The root of all errors that mooring raises on purpose."""

    code: ClassVar[str] = "error"

    @property
    def public(self) -> str:
        """The sentence for users of the service, who are not to see its insides."""
        return str(self)


class InvalidInput(MooringError):
    """What was asked for cannot mean anything."""

    code = "invalid-input"


class InvalidPciAddress(InvalidInput):
    """Text that should have been a PCI address."""

    code = "invalid-pci-address"

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"{text!r} is not a PCI address; write domain:bus:device.function in hexadecimal, for example 0000:3b:02.1"
        )


class InvalidDeviceSpec(InvalidInput):
    """An entry of ``[pci] device_spec`` (or ``passthrough_whitelist``) that cannot be used."""

    code = "invalid-device-spec"

    def __init__(self, spec: str, problem: str) -> None:
        self.spec, self.problem = spec, problem
        super().__init__(f"[pci] device_spec {spec}: {problem}")


class InvalidAlias(InvalidInput):
    """An entry of ``[pci] alias``, or a request for one, that cannot mean anything."""

    code = "invalid-alias"

    def __init__(self, alias: str, problem: str) -> None:
        self.alias, self.problem = alias, problem
        super().__init__(f"PCI alias {alias}: {problem}")


class InvalidConfiguration(InvalidInput):
    """A configuration file that the daemon will not start with."""

    code = "invalid-configuration"


class InvalidRequest(InvalidInput):
    """A request at a front door that does not follow its protocol."""

    code = "invalid-request"


class Refused(MooringError):
    """The request was understood, but the state of the world forbids it."""

    code = "refused"


class DeviceUnusable(Refused):
    """The named device can never serve this port as things are configured."""

    code = "device-unusable"

    def __init__(self, device: object, problem: str) -> None:
        self.device, self.problem = str(device), problem
        super().__init__(f"PCI device {device} cannot be used: {problem}")


class DeviceBusy(Refused):
    """The named device is in use by somebody else."""

    code = "device-busy"

    def __init__(self, device: object, holder: str, remedy: str) -> None:
        self.device, self.holder = str(device), holder
        super().__init__(f"PCI device {device} is in use by {holder}; {remedy}")


class NoFreeDevice(Refused):
    """Every device that could serve the port is taken."""

    code = "no-free-device"

    def __init__(self, physical_network: str, *, total: int, detail: str) -> None:
        self.physical_network, self.total = physical_network, total
        super().__init__(
            f"no free VF on {physical_network}: 0 of {total} VFs free ({detail}); remove a container that has one "
            "('mooring pci list' shows them), or use another host"
        )


class PortUnusable(Refused):
    """The port's own attributes rule it out."""

    code = "port-unusable"

    def __init__(self, port: str, problem: str) -> None:
        self.port, self.problem = port, problem
        super().__init__(f"Neutron port {port} cannot be used: {problem}")


class PortBusy(Refused):
    """The port is in use by another container, machine or service."""

    code = "port-busy"

    def __init__(self, port: str, holder: str) -> None:
        self.port, self.holder = port, holder
        super().__init__(
            f"Neutron port {port} is in use by {holder}; choose another port, or remove that user of it first"
        )


class PortNotFound(Refused):
    """No port answers to the selector the user gave."""

    code = "port-not-found"

    def __init__(self, selector: str, remedy: str) -> None:
        self.selector = selector
        super().__init__(f"no Neutron port with {selector}; {remedy}")


class NetworkUnusable(Refused):
    """The network, subnet or pool cannot serve the request."""

    code = "network-unusable"

    def __init__(self, network: str, problem: str) -> None:
        self.network, self.problem = network, problem
        super().__init__(f"Neutron network {network} cannot be used: {problem}")


class NetworkNotFound(Refused):
    """No network that the asker may use answers to a name or an id."""

    code = "network-not-found"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"no network {key} that the project has, or that is shared with it; see 'openstack network list'"
        )


class NoNetwork(Refused):
    """No network was asked for, and the project has none of its own."""

    code = "no-network"

    def __init__(self, project_id: str) -> None:
        self.project_id = project_id
        super().__init__(f"project {project_id} has no network, and none is shared with it; create one, or name a port")


class BindingRefused(Refused):
    """Neutron answered the binding request, but not with a binding that fits the device."""

    code = "binding-refused"

    def __init__(self, port: str, host: str, problem: str) -> None:
        self.port, self.host, self.problem = port, host, problem
        super().__init__(f"Neutron port {port} could not be bound on host {host}: {problem}")


class UnsupportedVnicType(Refused):
    """No enabled port driver serves this kind of port."""

    code = "unsupported-vnic-type"

    def __init__(self, port: str, vnic_type: str, remedy: str) -> None:
        self.port, self.vnic_type = port, vnic_type
        super().__init__(f"Neutron port {port} has vnic_type {vnic_type}, which cannot be served here; {remedy}")


class OperationRefused(Refused):
    """The running daemon refused what an operator asked of it; the sentence is the daemon's own."""

    code = "operation-refused"


class ContainerNotFound(Refused):
    """No container that the asker may see answers to a name or an id."""

    code = "container-not-found"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"Container {key} could not be found; 'list' shows those there are")


class HostNotFound(Refused):
    """No container host is known by a name or an id."""

    code = "host-not-found"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"Host {key} could not be found: no mooring node has reported from a host of that name")


class ActionNotFound(Refused):
    """A container has no action of a request."""

    code = "action-not-found"

    def __init__(self, uuid: str, request_id: str) -> None:
        self.uuid, self.request_id = uuid, request_id
        super().__init__(f"Container {uuid} has no action with request id {request_id}")


class NameAmbiguous(Refused):
    """Several things of the asker's have the name that was given."""

    code = "name-ambiguous"

    def __init__(self, kind: str, name: str, count: int) -> None:
        self.kind, self.name, self.count = kind, name, count
        super().__init__(f"{count} {kind}s are named {name}; use the id of the one you mean")


class NameTaken(Refused):
    """Another container of the project, or of the cloud, has the name, and names are to be unique."""

    code = "name-taken"

    def __init__(self, name: str, holder: str) -> None:
        self.name, self.holder = name, holder
        super().__init__(f"Container {holder} has the name {name} already; choose another, or delete that container")


class WrongState(Refused):
    """What was asked of a container cannot be done in the state that it is in."""

    code = "invalid-state"

    def __init__(self, uuid: str, verb: str, status: str) -> None:
        self.uuid, self.verb, self.status = uuid, verb, str(status)
        super().__init__(f"Cannot {verb} container {uuid} in {status} state")


class NoValidHost(Refused):
    """No host can take a container; ``reasons`` says for each filter that turned hosts away how many, and why."""

    code = "no-valid-host"

    def __init__(self, reasons: str) -> None:
        self.reasons = reasons
        super().__init__(f"no valid host: {reasons}")


class NoRoom(Refused):
    """A container is to grow by more than its host has left."""

    code = "no-room"

    def __init__(self, what: str, *, wanted: float, free: float) -> None:
        self.what, self.wanted, self.free = what, wanted, free
        super().__init__(
            f"the container's host has no room for that: {wanted:g} {what} wanted, {max(free, 0):g} to be had there; "
            "ask for less, or create the container anew"
        )


class QuotaExceeded(Refused):
    """A project would have more of something than it may."""

    code = "quota-exceeded"

    def __init__(self, resource: str, *, limit: float, in_use: float, wanted: float) -> None:
        self.resource, self.limit, self.in_use, self.wanted = resource, limit, in_use, wanted
        super().__init__(
            f"Quota exceeded for {resource}: {wanted:g} wanted, {in_use:g} of {limit:g} in use; delete containers, or "
            "ask the administrator for more"
        )


class PolicyForbids(Refused):
    """The asker's roles do not allow it."""

    code = "policy-forbids"

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(f"Policy does not allow {rule} to be performed")


class ClaimLost(Refused):
    """A device that was to be claimed has been claimed by somebody else, or cannot be claimed any more."""

    code = "claim-lost"

    def __init__(self, host: str, device: object) -> None:
        self.host, self.device = host, str(device)
        super().__init__(f"device {device} of host {host} was taken at the same moment; choose another")


class Outdated(Refused):
    """A container, or a host, was changed since it was read."""

    code = "outdated"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} was changed at the same moment; look at it again")


class EdgeFailure(MooringError):
    """A neighbour failed; the same request may succeed later."""

    code = "edge-failure"


class KernelRefused(EdgeFailure):
    """The kernel or a network driver refused an operation on a device."""

    code = "kernel-refused"

    def __init__(self, doing: str, device: object, error: int, hint: str = "") -> None:
        self.doing, self.device, self.errno = doing, str(device), error
        name = errno_names.errorcode.get(error, str(error))
        super().__init__(f"{doing} failed on {device}: {os.strerror(error)} ({name})" + (f"; {hint}" if hint else ""))


class DeviceGone(EdgeFailure):
    """A device that was there has left the host, its driver or its network namespace."""

    code = "device-gone"

    def __init__(self, doing: str, device: object, problem: str) -> None:
        self.doing, self.device = doing, str(device)
        super().__init__(f"{doing} failed on {device}: {problem}")


class SwitchRefused(EdgeFailure):
    """Open vSwitch did not do what was asked of it, or does not run."""

    code = "switch-refused"

    def __init__(self, doing: str, problem: str) -> None:
        self.doing = doing
        super().__init__(f"{doing} failed in Open vSwitch: {problem}")


class NotClean(EdgeFailure):
    """A device did not read back as it was written; it must not be handed out."""

    code = "not-clean"

    def __init__(self, device: object, problem: str) -> None:
        self.device, self.problem = str(device), problem
        super().__init__(f"PCI device {device} is not clean: {problem}")


class NeutronUnreachable(EdgeFailure):
    """Neutron, Keystone or the message bus did not answer."""

    code = "neutron-unreachable"

    def __init__(self, doing: str, cause: str) -> None:
        self.doing = doing
        super().__init__(f"{doing}: Neutron did not answer ({cause}); try again when it does")

    @property
    def public(self) -> str:
        """Name no address and no account."""
        return f"{self.doing}: Neutron does not answer; try again later"


class NeutronRefused(EdgeFailure):
    """Neutron answered with an HTTP error."""

    code = "neutron-refused"

    def __init__(self, doing: str, status: int, message: str) -> None:
        self.doing, self.status, self.message = doing, status, message
        super().__init__(f"{doing}: Neutron answered {status}: {message}")


class NeutronConflict(NeutronRefused):
    """Neutron answered 409 or 412: the object changed, or is in a state that forbids the call."""

    code = "neutron-conflict"


class NodeUnreachable(EdgeFailure):
    """The daemon of this host did not answer on its socket."""

    code = "node-unreachable"

    def __init__(self, socket_path: object, cause: str, remedy: str) -> None:
        self.socket_path = str(socket_path)
        super().__init__(f"mooring node does not answer on {socket_path} ({cause}); {remedy}")


class EngineUnreachable(EdgeFailure):
    """The container engine did not answer, or with an error."""

    code = "engine-unreachable"

    def __init__(self, url: str, cause: str) -> None:
        self.url = url
        super().__init__(f"Docker does not answer on {url}: {cause}; start it, or set [DEFAULT] docker_url")

    @property
    def public(self) -> str:
        """Name no address and no account."""
        return "Docker does not answer on the container's host; try again later"


class EngineRefused(EdgeFailure):
    """The container engine answered with an error: its own words say which."""

    code = "engine-refused"

    def __init__(self, doing: str, status: int, message: str) -> None:
        self.doing, self.status, self.message = doing, status, message
        super().__init__(f"{doing}: Docker answered {status}: {message}")


class DatabaseUnavailable(EdgeFailure):
    """The service's database does not answer."""

    code = "database-unavailable"

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(f"the database does not answer ({cause}); try again when it does")

    @property
    def public(self) -> str:
        """Name no address and no account."""
        return "the service's database does not answer; try again later"


class BusUnavailable(EdgeFailure):
    """The message bus, or who was called over it, does not answer."""

    code = "bus-unavailable"

    def __init__(self, doing: str, cause: str) -> None:
        self.doing, self.cause = doing, cause
        super().__init__(f"{doing}: no answer over the message bus ({cause}); try again later")

    @property
    def public(self) -> str:
        """Name no address and no account."""
        return f"{self.doing}: no answer over the message bus; try again later"


class ServiceUnreachable(EdgeFailure):
    """The container service, or the Keystone that lets a user in, did not answer the command line."""

    code = "service-unreachable"

    def __init__(self, doing: str, cause: str, remedy: str) -> None:
        self.doing = doing
        super().__init__(f"{doing}: {cause}; {remedy}")


class ServiceRefused(EdgeFailure):
    """The container service answered the command line with an error; ``message`` is its own sentence."""

    code = "service-refused"

    def __init__(self, message: str, status: int, request_id: str) -> None:
        self.message, self.status, self.request_id = message, status, request_id
        known_as = f", request {request_id}" if request_id else ""
        super().__init__(f"{message} (HTTP {status}{known_as})")


class StateFileUnusable(MooringError):
    """A file in the state directory cannot be opened, read or written. No edge failure: a debt could not be noted."""

    code = "state-file-unusable"

    def __init__(self, path: object, problem: str, remedy: str) -> None:
        self.path, self.problem = str(path), problem
        super().__init__(f"mooring's state file {path} cannot be used: {problem}; {remedy}")

    @property
    def public(self) -> str:
        """Name no file."""
        return "mooring cannot write on the container's host; the log there says why"
