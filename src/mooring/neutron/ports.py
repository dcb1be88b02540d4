"""Ports over REST: read, reserve, bind, unbind, create, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mooring.errors import MooringError, NetworkUnusable, NeutronConflict, NeutronRefused, PortBusy, PortNotFound
from mooring.neutron.api import OWN_KEYS, Binding, NewPort
from mooring.neutron.model import BINDING_FAILED, UNBOUND, EgressLimits, IpAddress, Port
from mooring.neutron.parse import parse_egress_limits, parse_port
from mooring.neutron.resources import CONFLICT, NOT_FOUND, PRECONDITION_FAILED, RestResources

_GONE: Final = "it was deleted, or the account mooring uses may not see it"


class RestPorts(RestResources):
    """The port calls of NeutronPorts."""

    def port(self, port_id: str) -> Port:
        """Return the port; raise PortNotFound."""
        doing = f"reading port {port_id}"
        try:
            body = self._http.send("show_port", doing, "GET", f"ports/{port_id}")
        except NeutronRefused as exc:
            raise (PortNotFound(f"id {port_id}", _GONE) if exc.status == NOT_FOUND else exc) from exc
        return parse_port(doing, body.get("port"))

    def ports(
        self,
        *,
        network_id: str | None = None,
        address: IpAddress | None = None,
        mac: str | None = None,
        device_id: str | None = None,
        device_owner: str | None = None,
        host: str | None = None,
        name: str | None = None,
        project_id: str | None = None,
    ) -> tuple[Port, ...]:
        """Return the ports to which every given filter applies."""
        query = {
            "network_id": network_id,
            "fixed_ips": None if address is None else f"ip_address={address}",
            "mac_address": mac,
            "device_id": device_id,
            "device_owner": device_owner,
            "binding:host_id": host,
            "name": name,
            "project_id": project_id,
        }
        doing = "listing ports"
        return tuple(parse_port(doing, body) for body in self._list("ports", doing, query))

    def reserve(self, port: Port, *, device_id: str, device_owner: str) -> Port:
        """Let a port that is nobody's bear a device's id, in one conditional PUT; see NeutronPorts."""
        doing = f"reserving port {port.id} for {device_id}"
        change = {"device_id": device_id, "device_owner": device_owner}
        try:
            try:
                return self._reserved(doing, port, change)
            except NeutronConflict as exc:
                if exc.status != PRECONDITION_FAILED:
                    raise
                return self._reserved(doing, self.port(port.id), change)
        except NeutronConflict as exc:
            if exc.status != PRECONDITION_FAILED:
                raise
            raise PortBusy(port.id, f"somebody who keeps changing it ({exc.message})") from exc
        except NeutronRefused as exc:
            raise (PortNotFound(f"id {port.id}", _GONE) if exc.status == NOT_FOUND else exc) from exc

    def bind(self, port: Port, binding: Binding) -> Port:
        """Bind in one conditional PUT; see NeutronPorts."""
        doing = f"binding port {port.id} on host {binding.host}"
        try:
            try:
                return self._put(doing, "bind_port", port, _bound(port, binding))
            except NeutronConflict as exc:
                if exc.status != PRECONDITION_FAILED:
                    raise
                current = self.port(port.id)
                if not (_is_half_way(current, binding) or _still_to_be_had(current, port)):
                    raise PortBusy(port.id, _user_of(current)) from exc
            return self._put(doing, "bind_port", current, _bound(current, binding))
        except NeutronConflict as exc:
            if exc.status != PRECONDITION_FAILED:
                raise
            raise PortBusy(port.id, f"somebody who keeps changing it ({exc.message})") from exc
        except NeutronRefused as exc:
            raise (PortNotFound(f"id {port.id}", _GONE) if exc.status == NOT_FOUND else exc) from exc

    def unbind(self, port: Port, *, restore: Mapping[str, object]) -> None:
        """Unbind in one conditional PUT; see NeutronPorts."""
        doing = f"unbinding port {port.id} from host {port.host}"
        try:
            try:
                self._put(doing, "unbind_port", port, _unbound(port, restore))
            except NeutronConflict as exc:
                if exc.status != PRECONDITION_FAILED:
                    raise
                current = self.port(port.id)
                if _is_still_held(current, port):
                    self._put(doing, "unbind_port", current, _unbound(current, restore))
        except PortNotFound:
            return
        except NeutronRefused as exc:
            if exc.status != NOT_FOUND:
                raise

    def create_port(self, new: NewPort) -> Port:
        """Create a port; raise NetworkUnusable when the address cannot be had."""
        doing = f"creating a port on network {new.network_id}"
        body: dict[str, object] = {
            "network_id": new.network_id,
            "name": new.name,
            "description": new.description,
            "binding:vnic_type": new.vnic_type,
            "device_owner": new.device_owner,
        }
        if new.addresses:
            body["fixed_ips"] = [
                {"subnet_id": subnet_id} | ({} if address is None else {"ip_address": str(address)})
                for subnet_id, address in new.addresses
            ]
        if new.mac is not None:
            body["mac_address"] = new.mac
        if new.device_id:
            body["device_id"] = new.device_id
        if new.project_id is not None:
            body["project_id"] = new.project_id
        if new.security_groups is not None:
            body["security_groups"] = list(new.security_groups)
        try:
            port = self._create("ports", doing, body, new.tags, parse_port)
        except NeutronRefused as exc:
            if exc.status in (CONFLICT, NOT_FOUND):
                raise NetworkUnusable(new.network_id, exc.message) from exc
            raise
        return self._reread(port) if new.tags else port

    def delete_port(self, port_id: str) -> None:
        """Delete a port; one that does not exist is a success."""
        self._delete("ports", port_id)

    def egress_limits(self, policy_id: str) -> EgressLimits:
        """Return what a QoS policy limits on the way out; a policy that is gone has no limits."""
        doing = f"reading QoS policy {policy_id}"
        try:
            body = self._http.send("show_qos_policy", doing, "GET", f"qos/policies/{policy_id}")
        except NeutronRefused as exc:
            if exc.status != NOT_FOUND:
                raise
            return EgressLimits()
        return parse_egress_limits(doing, body.get("policy"))

    def _reread(self, port: Port) -> Port:
        """Return a port that was just created and tagged: tagging raised the revision, which bind() compares."""
        try:
            return self.port(port.id)
        except MooringError:
            self.delete_port(port.id)
            raise

    def _reserved(self, doing: str, port: Port, change: Mapping[str, str]) -> Port:
        if port.device_id == change["device_id"]:
            return port
        # A binding that failed makes a port nobody's.
        if port.device_id or (port.host and port.vif_type not in (UNBOUND, BINDING_FAILED)):
            raise PortBusy(port.id, _user_of(port))
        return self._put(doing, "reserve_port", port, change)

    def _put(self, doing: str, operation: str, port: Port, change: Mapping[str, object]) -> Port:
        body = self._http.send(
            operation, doing, "PUT", f"ports/{port.id}", body={"port": change}, revision=port.revision
        )
        return parse_port(doing, body.get("port"))


def _bound(port: Port, binding: Binding) -> dict[str, object]:
    change: dict[str, object] = {
        "device_id": binding.device_id,
        "device_owner": binding.device_owner,
        "binding:host_id": binding.host,
        "binding:profile": _writable(port) | dict(binding.profile),
    }
    if binding.vnic_type is not None and binding.vnic_type != port.vnic_type:
        change["binding:vnic_type"] = binding.vnic_type
    return change


def _unbound(port: Port, restore: Mapping[str, object]) -> dict[str, object]:
    foreign = {key: value for key, value in _writable(port).items() if key not in OWN_KEYS}
    former = {key: value for key, value in restore.items() if key in OWN_KEYS}
    return {"device_id": "", "device_owner": "", "binding:host_id": "", "binding:profile": foreign | former}


def _writable(port: Port) -> dict[str, object]:
    """Return the profile without what Neutron itself shows in it.

    With the extension ``port_trusted`` the port's own field is injected into the profile on reading; to write it back
    counts as a change of the profile, which unbinds the port.
    """
    return {key: value for key, value in port.profile.items() if key != "trusted" or port.trusted is None}


def _is_half_way(current: Port, binding: Binding) -> bool:
    """Tell whether a port bears the device that is to be bound, and no other host: an answer may have been lost."""
    return current.device_id == binding.device_id and current.host in ("", binding.host)


def _still_to_be_had(current: Port, seen: Port) -> bool:
    """Tell whether a port is what it was seen to be, and nobody's by now or in the same hands as then.

    A status or a name may have changed since, and whoever had it may have given it back. The MAC of a direct-physical
    port is not its own, but comes and goes with the device.
    """

    def nature(port: Port) -> tuple[object, ...]:
        mac = None if port.vnic_type == "direct-physical" else port.mac
        return port.vnic_type, mac, port.fixed_ips, port.admin_state_up

    def hands(port: Port) -> tuple[object, ...]:
        return port.host, port.device_id, port.profile

    is_free = not (current.host or current.device_id)
    return nature(current) == nature(seen) and (is_free or hands(current) == hands(seen))


def _is_still_held(current: Port, bound: Port) -> bool:
    """Tell whether a port still bears what its binding wrote, be it that somebody took half of it away by hand."""
    ours = bound.host, bound.device_id
    return (current.host, current.device_id) in {ours, (bound.host, ""), ("", bound.device_id)} - {("", "")}


def _user_of(port: Port) -> str:
    if not (port.device_id or port.host):
        return "somebody who changed it at the same time"
    return f"{port.device_owner or 'device'} {port.device_id or 'unknown'} on host {port.host or 'unknown'}"
