"""The core's verbs: lease, attach, detach, check, gc and status."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from mooring.attach.caretaker import Caretaker
from mooring.attach.devices import Devices
from mooring.attach.drift import differences
from mooring.attach.drivers import PortDriver
from mooring.attach.drivers.registry import PortDrivers
from mooring.attach.journal import Debt, DebtEntry, DebtKind
from mooring.attach.locks import KeyedLocks
from mooring.attach.pool import VfStatus
from mooring.attach.settlement import Settlement
from mooring.attach.types import Attachment, AttachRequest, Lease, LeaseStep
from mooring.errors import BindingRefused, DeviceBusy, InvalidRequest, MooringError, NeutronUnreachable, PortBusy
from mooring.host.kernel import VfSettings
from mooring.neutron.api import OWN_KEYS, Binding, NeutronPorts
from mooring.pci.device import PhysicalFunction, VirtualFunction

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long attaching waits, in seconds, for the port to become ACTIVE (0: not at all), and whether it must."""

    active_timeout_s: float = 0.0
    active_required: bool = False


class Engine:
    """Makes ports present in containers and takes them away again, without ever losing a VF.

    Implements ``attach.types.Attachments``. Thread-safe: the journal's keys arbitrate who gets a VF or a port, a lock
    for each attachment keeps its verbs in order, and a lock for each PF keeps changes to one card in series.
    """

    def __init__(
        self,
        *,
        devices: Devices,
        ports: NeutronPorts,
        drivers: PortDrivers,
        settlement: Settlement,
        host: str,
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._ports = ports
        self._drivers = drivers
        self._settlement = settlement
        self._host = host
        self._patience = patience
        self._attachments = KeyedLocks()
        self._cards = KeyedLocks()
        self._caretaker = Caretaker(devices, self._cards, self, clock=clock)

    def lease(self, request: AttachRequest) -> Lease:
        """Reserve a device for the request and journal it; see Attachments.lease."""
        with self._attachments.holding(request.attachment):
            if (known := self._journal.find(request.attachment)) is not None:
                return _same(known, request)
            self._journal.require_unleased(request.port.id)
            debt = self._debt_of(request.port.id)
            request = self._as_the_user_left_it(request, debt)
            vnic_type = request.vnic_type or request.port.vnic_type
            name = self._drivers.for_port(request.port.id, vnic_type)
            return self._lease_one(request, name, vnic_type, debt)

    def attach(self, attachment: str) -> Attachment:
        """Bind the port and prepare the leased device; see Attachments.attach."""
        with self._attachments.holding(attachment):
            lease = self._journal.find(attachment)
            if lease is None or lease.step is LeaseStep.RELEASING:
                raise InvalidRequest(f"attachment {attachment} has no lease: create the endpoint before joining it")
            if lease.step is not LeaseStep.READY:
                try:
                    lease = self._program(*self._bind(lease))
                    self._await_active(lease)
                except BaseException as exc:
                    self._release(lease, doubtful=isinstance(exc, NeutronUnreachable))
                    raise
                log.info("attachment.ready", attachment=attachment, port=lease.port.id, vf=str(lease.device))
            return self._present(lease)

    def detach(self, attachment: str) -> None:
        """Take the device back, clean it, and give the port back; see Attachments.detach."""
        with self._attachments.holding(attachment):
            lease = self._journal.find(attachment)
            if lease is not None:
                self._release(lease)
                log.info("attachment.ended", attachment=attachment, port=lease.port.id, vf=str(lease.device))

    def find(self, attachment: str) -> Lease | None:
        """Return the lease of an attachment."""
        return self._journal.find(attachment)

    def check(self, attachment: str) -> tuple[str, ...]:
        """Compare what the PF holds for an attachment with what was wanted; return each difference in words."""
        lease = self._journal.find(attachment)
        if lease is None:
            return (f"attachment {attachment} has no lease",)
        vf = self._kernel.find(lease.device)
        if not isinstance(vf, VirtualFunction):
            return (f"VF {lease.device} has left the host",)
        if lease.wanted is None:
            return (f"VF {lease.device} is not programmed yet: the lease is at step {lease.step}",)
        pf = self._kernel.find(lease.parent)
        held = self._kernel.read_settings(pf).get(vf.index) if isinstance(pf, PhysicalFunction) else None
        if held is None:
            return (f"PF {lease.parent} does not show VF {vf.index}",)
        return differences(lease.wanted, held, ignoring=lease.missing)

    def gc(self, living: Collection[str]) -> tuple[str, ...]:
        """Detach every attachment that is not among the living; return those that were."""
        dead = tuple(lease.attachment for lease in self._journal.leases() if lease.attachment not in living)
        for attachment in dead:
            self.detach(attachment)
        return dead

    def status(self) -> tuple[VfStatus, ...]:
        """Return the state of every VF that this host may hand out."""
        return self._pool.statuses()

    def recover(self) -> None:
        """Undo what a crash or a reboot left half done. Called once, before any door opens; sweep soon afterwards."""
        self._pool.rescan()
        boot_id = self._kernel.boot_id()
        for lease in self._journal.leases():
            if lease.boot_id != boot_id:
                # VFs do not outlive a boot: they were created anew, at their driver's defaults.
                self._end(lease, self._owed(lease, doubtful=lease.step is LeaseStep.BINDING), quarantine=None)
                log.warning("lease.lost-in-reboot", attachment=lease.attachment, vf=str(lease.device))
            elif lease.step is not LeaseStep.READY:
                self._release(lease, doubtful=lease.step is LeaseStep.BINDING)
                log.warning("lease.undone", attachment=lease.attachment, vf=str(lease.device), step=lease.step.value)

    def sweep(self) -> None:
        """Put in order what no call of Docker's will put in order; see Caretaker."""
        self._caretaker.sweep()

    def _lease_one(self, request: AttachRequest, driver: str, vnic_type: str, debt: DebtEntry | None) -> Lease:
        """Take the first device that nobody else takes in the same moment."""
        members = self._drivers[driver].choose(request)
        while True:
            # Ends by an error of the driver's own, which says why there is no other.
            member = next(members)
            lease = Lease(
                id=uuid.uuid4().hex,
                attachment=request.attachment,
                boot_id=self._kernel.boot_id(),
                device=member.address,
                parent=member.pf.address,
                physical_network=member.physical_network,
                driver=driver,
                step=LeaseStep.LEASED,
                port=request.port,
                former=request.port,
                network=request.network,
                device_owner=request.device_owner,
                created=request.created,
                vnic_type=vnic_type,
                pci_vendor_info=member.vf.vendor_info,
            )
            with suppress(DeviceBusy):
                self._journal.add(lease, settles=debt)
                return lease

    def _bind(self, lease: Lease) -> tuple[Lease, VfSettings]:
        """Bind the port to the leased device; return what the device must hold then."""
        lease = self._journal.save(replace(lease, step=LeaseStep.BINDING))
        profile = {
            "pci_slot": str(lease.device),
            "pci_vendor_info": lease.pci_vendor_info,
            "physical_network": lease.physical_network,
        }
        bound = self._ports.bind(
            lease.port,
            Binding(
                host=self._host,
                device_id=lease.attachment,
                device_owner=lease.device_owner,
                profile=profile,
                vnic_type=lease.vnic_type,
            ),
        )
        lease = self._journal.save(replace(lease, port=bound))
        wanted = self._driver(lease).plan(lease)
        return self._journal.save(replace(lease, wanted=wanted, step=LeaseStep.PROGRAMMING)), wanted

    def _program(self, lease: Lease, wanted: VfSettings) -> Lease:
        self._caretaker.clear_strays(lease.port.mac, lease.physical_network)
        with self._cards.holding(lease.parent):
            missing = self._driver(lease).create_host_iface(lease, wanted)
        if missing:
            log.warning("vf.settings-not-honoured", vf=str(lease.device), port=lease.port.id, settings=sorted(missing))
        return self._journal.save(replace(lease, step=LeaseStep.READY, missing=missing))

    def _await_active(self, lease: Lease) -> None:
        """Tell Neutron soon that the device is up; wait for its answer only where the operator asked for that."""
        timeout_s = self._patience.active_timeout_s
        if not timeout_s:
            self._settlement.nudge()
        elif not self._settlement.await_active(lease.attachment, timeout_s) and self._patience.active_required:
            raise BindingRefused(lease.port.id, self._host, f"it did not become ACTIVE within {timeout_s:g} s")

    def _present(self, lease: Lease) -> Attachment:
        return Attachment(
            id=lease.attachment,
            device=lease.device,
            interface=self._driver(lease).get_container_iface_name(lease),
        )

    def _release(self, lease: Lease, *, doubtful: bool = False) -> None:
        """Undo an attachment from whatever step it reached. What cannot be undone now is kept in mind, never lost.

        ``doubtful`` says that Neutron may still be about to carry out the binding.
        """
        current = self._journal.find(lease.attachment)
        if current is None or current.id != lease.id:
            return
        reached = current.step
        current = self._journal.save(replace(current, step=LeaseStep.RELEASING))
        quarantine = None
        if reached in (LeaseStep.PROGRAMMING, LeaseStep.READY, LeaseStep.RELEASING):
            quarantine = self._take_back(current)
        owed = None if reached is LeaseStep.LEASED and not current.created else self._owed(current, doubtful=doubtful)
        self._end(current, owed, quarantine=quarantine)

    def _take_back(self, lease: Lease) -> str | None:
        """Bring the device home and clean it; return why it may not be handed out, if it may not."""
        try:
            with self._cards.holding(lease.parent):
                self._driver(lease).delete_host_iface(lease)
        except MooringError as exc:
            log.error("vf.quarantined", vf=str(lease.device), attachment=lease.attachment, error=str(exc))
            return str(exc)
        return None

    def _end(self, lease: Lease, owed: Debt | None, *, quarantine: str | None) -> None:
        """Forget the lease, and settle with Neutron now if Neutron is there, later if it is not."""
        debt = self._journal.end(lease, owed=owed, quarantine=quarantine)
        if debt is not None:
            self._settlement.pay(debt)

    def _owed(self, lease: Lease, *, doubtful: bool) -> Debt:
        # What was meant to be bound counts as bound: the answer may have been lost on the way.
        port = replace(lease.port, host=self._host, device_id=lease.attachment)
        if lease.created:
            return Debt(kind=DebtKind.DELETE, port=port, former=lease.former)
        return Debt(kind=DebtKind.UNBIND, port=port, former=lease.former, doubtful=doubtful)

    def _as_the_user_left_it(self, request: AttachRequest, debt: DebtEntry | None) -> AttachRequest:
        """Take a port over that reads as an earlier attachment of this host's: what we wrote in it is no wish."""
        port = request.port
        if port.host != self._host or port.device_owner != request.device_owner:
            return request
        # Owed still, or given back since the port was read: the profile as it was is known.
        former = debt.debt.former if debt is not None else self._settlement.former(port.id)
        if former is not None:
            profile = former.profile
        else:
            # The journal that knew it is gone.
            profile = {key: value for key, value in port.profile.items() if key not in OWN_KEYS}
        return replace(request, port=replace(port, profile=profile))

    def _driver(self, lease: Lease) -> PortDriver:
        return self._drivers[lease.driver]

    def _debt_of(self, port_id: str) -> DebtEntry | None:
        for entry in self._journal.debts():
            if entry.debt.port.id == port_id:
                if entry.debt.kind is DebtKind.DELETE:
                    raise PortBusy(port_id, "its own deletion, which Neutron has not confirmed yet")
                return entry
        return None


def _same(known: Lease, request: AttachRequest) -> Lease:
    if known.port.id != request.port.id:
        raise InvalidRequest(f"attachment {known.attachment} already holds port {known.port.id}, not {request.port.id}")
    return known
