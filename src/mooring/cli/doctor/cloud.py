"""Neutron: whether it answers, shows and allows what mooring needs, and knows this host."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Protocol

from mooring.attach.pool import PooledVf, VfPool
from mooring.cli.doctor.verdicts import Verdict, well, wrong
from mooring.errors import EdgeFailure, NeutronRefused, NeutronUnreachable
from mooring.neutron.agent import is_own
from mooring.neutron.api import AGENT_TYPE, NeutronBus, NeutronNetworks, NeutronPorts
from mooring.neutron.model import Agent

_NEEDED = ("admin", "service")
_GRANT = "openstack role add --user <mooring's user> --project <its project> {}"


class Neutron(NeutronPorts, NeutronNetworks, Protocol):
    """Neutron over REST."""


def answers(neutron: Neutron, host: str) -> Iterator[Verdict]:
    """Read a network and a port, and see whether the account is shown what mooring goes by."""
    try:
        networks = neutron.networks()
        yield well("Neutron", f"answers, and shows {len(networks)} networks with their segments")
        ports = neutron.ports(host=host) or (neutron.ports(network_id=networks[0].id) if networks else ())
    except NeutronUnreachable as exc:
        yield wrong("Neutron", str(exc), "see [neutron] auth_url, endpoint_override and cafile, and whether it runs")
    except NeutronRefused as exc:
        yield wrong("Neutron's answers", str(exc), _GRANT.format("admin") + ", and the same for service")
    else:
        told = "with their bindings" if ports else "none to judge by"
        yield well("Neutron's answers", f"ports are shown, {told}")


def roles(held: Collection[str] | None) -> Verdict:
    """Compare the account's roles with what Neutron's default policy asks for."""
    check = "roles"
    if held is None:
        return well(check, "none are asked for: there is no Keystone")
    missing = [role for role in _NEEDED if role not in held]
    if not missing:
        return well(check, ", ".join(sorted(held)))
    told = f"the account lacks {' and '.join(missing)}: admin shows networks' segments and agents, service binds ports"
    return wrong(check, told, "; ".join(_GRANT.format(role) for role in missing))


def agent(neutron: NeutronNetworks, host: str, aliases: Iterable[str], pool: VfPool) -> Iterator[Verdict]:
    """Look at the agent row without which no VF is bound here; ``aliases`` are other names that this host may have.

    Where it is a real agent's, say what must stand in that one's configuration, which is not ours to read.
    """
    rows = neutron.agents(host=host, agent_type=AGENT_TYPE)
    if not rows:
        others = [name for name in aliases if name != host and neutron.agents(host=name, agent_type=AGENT_TYPE)]
        told = f"Neutron shows none of type '{AGENT_TYPE}' on host {host}"
        if others:
            yield wrong("agent", f"{told}, but one on {others[0]}", f"set [DEFAULT] host = {others[0]}")
        else:
            remedy = f"start mooring-node with [neutron] transport_url; to see agents takes {_GRANT.format('admin')}"
            yield wrong("agent", told, remedy)
    for row in rows:
        yield _agent(row, pool.mappings())
        if row.alive and not is_own(row):
            told = "it runs on this host, and fights mooring over VFs unless [sriov_nic] of its sriov_agent.ini has"
            yield well("neutron-sriov-nic-agent", f"{told} exclude_devices = {exclude_devices(pool.members())}")


def _agent(row: Agent, mappings: Mapping[str, tuple[str, ...]]) -> Verdict:
    whose = "mooring's" if is_own(row) else "neutron-sriov-nic-agent's"
    if not row.alive:
        remedy = "start mooring-node (or that agent), and keep the clocks in step: 75 s without a report are too long"
        return wrong("agent", f"{whose} row of host {row.host} is not alive", remedy)
    mapped = row.configurations.get("device_mappings")
    known = mapped if isinstance(mapped, Mapping) else {}
    if missing := sorted(set(mappings) - set(known)):
        told = f"{whose} row of host {row.host} does not map {', '.join(missing)}"
        remedy = "restart mooring-node" if is_own(row) else "add it to [sriov_nic] physical_device_mappings"
        return wrong("agent", told, remedy)
    return well("agent", f"{whose} row of host {row.host} is alive and maps {', '.join(sorted(known))}")


def exclude_devices(members: Iterable[PooledVf]) -> str:
    """Return the agent's option that leaves mooring's VFs alone: ``ens1f0:0000:01:10.1;0000:01:10.2,ens2f0:...``."""
    families = groupby(
        sorted(members, key=lambda member: member.address), key=lambda member: member.pf.netdev or member.pf.address
    )
    return ",".join(f"{pf}:{';'.join(str(member.address) for member in family)}" for pf, family in families)


def bus_answers(bus: NeutronBus | None, host: str) -> Verdict:
    """Report nothing about no device, which Neutron answers like any report."""
    check = "message bus"
    if bus is None:
        remedy = "set [neutron] transport_url as in neutron.conf; until then ports stay DOWN"
        return wrong(check, "not configured", remedy)
    try:
        bus.report_devices(host)
    except EdgeFailure as exc:
        return wrong(check, str(exc), "see [neutron] transport_url, the broker, and whether neutron-rpc-server runs")
    return well(check, "Neutron answers on it")
