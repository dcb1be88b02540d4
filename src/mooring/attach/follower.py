"""Compares the journal with Neutron: devices follow their ports, and what Neutron took away is given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from enum import Enum, auto
from http import HTTPStatus
from queue import Empty, SimpleQueue

import structlog

from mooring.attach.devices import Devices
from mooring.attach.drift import nature
from mooring.attach.engine import Engine
from mooring.attach.findings import Finding, FindingKind, Findings
from mooring.attach.lasting import Lasting, Paced, Turns
from mooring.attach.leftovers import orphans
from mooring.attach.observer import Nobody, Observer
from mooring.attach.readings import PolicyReadings
from mooring.attach.types import Containers, Lease, LeaseStep, short_id
from mooring.errors import (
    BindingRefused,
    EdgeFailure,
    NetworkUnusable,
    NeutronRefused,
    NeutronUnreachable,
    PortBusy,
    PortNotFound,
)
from mooring.neutron.api import NeutronPorts, PortNews
from mooring.neutron.model import Port

# Longer than Neutron keeps a request waiting whose client has gone, and than a start or a removal takes.
_ORPHANED_S = 120.0
# A Neutron that fails over, or an account that has lost a role, is told of and mended within a few minutes.
_MISSING_S = 300.0
# Whatever is owed to Neutron, or reported to it, asks for the next look: a Neutron that fails is to be spared.
_ASK_AGAIN_S = 30.0

log = structlog.get_logger(__name__)


class _Outcome(Enum):
    """What came of a look at a port: all that can be done is done, there is none, or Neutron failed, which passes."""

    DONE = auto()
    ABSENT = auto()
    FAILED = auto()


class Follower:
    """Neutron's side of reconciling. Its rounds belong in one thread; ``hear`` may be called in any.

    ``owners`` are the values of device_owner that this host's front doors write.
    """

    def __init__(
        self,
        *,
        devices: Devices,
        engine: Engine,
        ports: NeutronPorts,
        owners: Collection[str],
        wake: Callable[[], None],
        containers: Containers | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = devices.journal
        self._engine = engine
        self._ports = ports
        self._host = engine.host
        self._owners = frozenset(owners)
        self._wake = wake
        self._containers = containers
        self.findings = Findings(observer or Nobody())
        self._orphans: Lasting[str] = Lasting(clock)
        self._missing: Lasting[str] = Lasting(clock)
        self._heard: SimpleQueue[PortNews] = SimpleQueue()
        self._due: dict[str, set[PortNews]] = {}
        self._turns: Turns[str] = Turns()
        self._asked: Paced[str] = Paced(clock, every_s=_ASK_AGAIN_S)

    def hear(self, news: PortNews) -> None:
        """Take note of a change that Neutron announced; it is looked at soon, in the thread of the rounds.

        Neutron tells every host of every port: what is none of this host's is passed over here.
        """
        if news.port_id is None or self._journal.has_port(news.port_id):
            self._heard.put(news)
            self._wake()

    def attend(self) -> None:
        """Look at the ports that Neutron has announced changes of, and at no others.

        What cannot be looked at, because Neutron falls silent or a verb is under way, is looked at the next time; where
        Neutron fails, within a minute. What Neutron refuses to show, it would refuse again: the rounds tell of it.
        """
        self._sort_news()
        if not self._due:
            return
        policies = PolicyReadings(self._ports)
        due = {lease.id: lease for lease in self._at_rest() if lease.id in self._due}
        for lease_id in self._turns.each(due):
            if not self._asked.is_due(lease_id):
                continue
            lease = due[lease_id]
            try:
                outcome = self._look_afresh(lease, policies)
            except NeutronUnreachable:
                self._asked.forget(lease_id)
                raise
            if outcome is _Outcome.FAILED:
                continue
            self._asked.forget(lease_id)
            if outcome is _Outcome.ABSENT and any(news.deleted for news in self._due[lease_id]):
                self._give_up(FindingKind.PORT_DELETED, lease, "Neutron has deleted it")
            del self._due[lease_id]

    def _sort_news(self) -> None:
        """Add what was heard to what is due of each lease, and forget what is known by now."""
        heard = set()
        with suppress(Empty):
            while True:
                heard.add(self._heard.get_nowait())
        if not (heard or self._due):
            return
        due = {}
        for lease in self._journal.leases():
            told = heard | self._due.get(lease.id, set())
            if concerning := {news for news in told if _concerns(news, lease)}:
                due[lease.id] = concerning
        self._due = due

    def round(self) -> None:
        """Look at all ports of this host: one call, and one more for each that is missing and for each QoS policy."""
        with self.findings.round():
            policies = PolicyReadings(self._ports)
            leases = self._at_rest()
            ports = {port.id: port for port in self._ports.ports(host=self._host)}
            missing = {}
            for lease in leases:
                port = ports.get(lease.port.id)
                if port is not None and lease.has(port):
                    self._look_at(lease, port, policies)
                elif self._look_afresh(lease, policies) is _Outcome.ABSENT:
                    missing[lease.id] = lease
            # A list may show what Neutron fails to show by itself.
            for lease in leases:
                if lease.id in self._due:
                    self.findings.keep(FindingKind.PORT_UNSEEN, lease.port.id)
            self._give_up_missing(missing)
            self._unbind_orphans(ports.values())

    def _at_rest(self) -> tuple[Lease, ...]:
        """Return the ready leases whose verbs are not under way: to wait for a start would hold up all others."""
        return tuple(
            lease
            for lease in self._journal.leases()
            if lease.step is LeaseStep.READY and not self._engine.is_busy(lease.attachment)
        )

    def _look_afresh(self, lease: Lease, policies: PolicyReadings) -> _Outcome:
        """Read the port of a lease and look at it."""
        try:
            port = self._ports.port(lease.port.id)
        except PortNotFound:
            return _Outcome.ABSENT
        except NeutronUnreachable:
            raise
        except EdgeFailure as exc:
            return self._not_seen(lease, exc)
        if lease.has(port):
            return self._look_at(lease, port, policies)
        if port.revision > lease.port.revision:  # an older one comes from a copy of Neutron's that lags
            holder = f"device {port.device_id}" if port.device_id else "nothing"
            where = f"on host {port.host}" if port.host else "on no host"
            self._give_up(FindingKind.PORT_TAKEN, lease, f"it is bound to {holder} {where}")
        return _Outcome.DONE

    def _look_at(self, lease: Lease, port: Port, policies: PolicyReadings) -> _Outcome:
        """Let the device follow its port; one that cannot be followed must not keep the others from it."""
        try:
            self._compare(lease, port, policies)
        except NeutronUnreachable:
            raise
        except EdgeFailure as exc:
            return self._not_seen(lease, exc)
        return _Outcome.DONE

    def _not_seen(self, lease: Lease, problem: EdgeFailure) -> _Outcome:
        self._note(FindingKind.PORT_UNSEEN, lease, str(problem))
        has_failed = isinstance(problem, NeutronRefused) and problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return _Outcome.FAILED if has_failed else _Outcome.DONE

    def _give_up_missing(self, missing: Mapping[str, Lease]) -> None:
        """End attachments whose ports Neutron has not had for long, if it shows the ports' networks.

        An account that has lost a role sees nothing either, and nor does a Neutron that was put in another's place.
        """
        lasting = self._missing.seen(missing, for_s=_MISSING_S)
        for lease_id, lease in missing.items():
            self._note(FindingKind.PORT_UNSEEN, lease, "Neutron shows no such port")
            if lease_id not in lasting:
                continue
            with suppress(NetworkUnusable):
                self._ports.network(lease.port.network_id)
                self._give_up(FindingKind.PORT_DELETED, lease, "Neutron has it no more")

    def _compare(self, lease: Lease, port: Port, policies: PolicyReadings) -> None:
        """Let the device follow a port that is still its own."""
        limits = policies.limits(port)
        if nature(port) == nature(lease.port) and limits == lease.limits:
            if port.revision != lease.port.revision or port.status != lease.port.status:
                self._journal.note_port(lease, port)
            return
        self._note(FindingKind.PORT_CHANGED, lease, _told(lease.port, port) or "its QoS limits changed")
        try:
            self._engine.follow(lease, port, limits)
        except (BindingRefused, PortBusy, PortNotFound) as exc:
            self._note(FindingKind.PORT_TAKEN, lease, str(exc))
        except EdgeFailure as exc:
            log.error("port.not-followed", port=port.id, device=lease.place, error=str(exc))
        # A port that was set up or down is to be reported so.
        self._wake()

    def _give_up(self, kind: FindingKind, lease: Lease, detail: str) -> None:
        """End an attachment that has no port: its MAC, its VLAN and its addresses may be somebody else's by now."""
        if self._engine.end(lease):
            self._note(kind, lease, f"{detail}; its container loses the interface")

    def _unbind_orphans(self, ports: Iterable[Port]) -> None:
        """Unbind ports that this host bound for attachments that are no more, and that no debt speaks of."""
        living = self._containers.living() if self._containers is not None else None
        unknown = orphans(ports, self._host, self._owners, self._journal.leases(), self._journal.debts())
        suspects = {port.id: port for port in unknown if living is not None and port.device_id not in living}
        for port_id in self._orphans.seen(suspects, for_s=_ORPHANED_S):
            port = suspects[port_id]
            finding = Finding(
                kind=FindingKind.PORT_ORPHANED,
                subject=port_id,
                detail=f"bound to attachment {short_id(port.device_id)}, which is no more",
            )
            self.findings.note(finding)
            try:
                self._ports.unbind(port, restore={})
            except NeutronUnreachable:
                raise
            except EdgeFailure as exc:
                log.error("port.not-unbound", port=port_id, error=str(exc))

    def _note(self, kind: FindingKind, lease: Lease, detail: str) -> None:
        self.findings.note(Finding(kind=kind, subject=lease.port.id, detail=detail, attachment=lease.attachment))


def _concerns(news: PortNews, lease: Lease) -> bool:
    """Tell whether news are of a lease's port, and newer than what is known: Neutron announces our own writes, too."""
    if news.network_id == lease.port.network_id:
        return True
    is_known = news.revision is not None and news.revision <= lease.port.revision
    return news.port_id == lease.port.id and (news.deleted or not is_known)


def _told(before: Port, after: Port) -> str:
    old, new = asdict(nature(before)), asdict(nature(after))
    return ", ".join(f"{name} was {old[name]}, is {new[name]}" for name in old if old[name] != new[name])
