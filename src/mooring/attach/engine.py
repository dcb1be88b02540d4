"""The core's verbs: lease, attach and detach, and what reconciling asks of an attachment besides."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from mooring.attach.caretaker import Caretaker
from mooring.attach.devices import Devices
from mooring.attach.drivers import PortDriver
from mooring.attach.drivers.registry import PortDrivers
from mooring.attach.journal import DebtEntry
from mooring.attach.locks import KeyedLocks, card_of
from mooring.attach.observer import Nobody, Observer, observed
from mooring.attach.readings import PolicyReadings
from mooring.attach.release import Releaser, log_facts
from mooring.attach.settlement import Settlement
from mooring.attach.sights import is_forsaken
from mooring.attach.types import (
    Attachment,
    AttachRequest,
    Lease,
    LeaseStep,
    Placement,
    Publisher,
    short_id,
)
from mooring.errors import (
    BindingRefused,
    DeviceBusy,
    InvalidRequest,
    NeutronUnreachable,
    PortUnusable,
)
from mooring.neutron.api import Binding, NeutronPorts
from mooring.neutron.model import DIRECT, EgressLimits, Port

# The kernel ends a namespace tenths of a second after the last process has left it.
_LOOKS = 20
_LOOK_AGAIN_S = 0.1

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long attaching waits, in seconds, for the port to become ACTIVE (0: not at all), and whether it must.

    ``pause`` waits for so many seconds.
    """

    active_timeout_s: float = 0.0
    active_required: bool = False
    pause: Callable[[float], None] = time.sleep


class Engine:
    """Makes ports present in containers and takes them away again, without ever losing a device.

    Implements ``attach.types.Attachments``. Thread-safe: the journal's keys arbitrate who gets a device or a port, a
    lock for each attachment keeps its verbs in order, and a lock for each PF (``card_locks``) keeps changes to one card
    in series.
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
        publisher: Publisher | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._kernel = devices.kernel
        self._journal = devices.journal
        self._pool = devices.pool
        self._ports = ports
        self._drivers = drivers
        self._settlement = settlement
        self.host = host
        self._patience = patience
        self._publisher = publisher
        self._observer = observer or Nobody()
        self._attachments = KeyedLocks()
        self.card_locks = KeyedLocks()
        self.caretaker = Caretaker(devices, self.card_locks)
        self._releaser = Releaser(
            devices=devices,
            drivers=drivers,
            settlement=settlement,
            host=host,
            card_locks=self.card_locks,
            publish=self._publish,
            observer=self._observer,
        )

    def lease(self, request: AttachRequest) -> Lease:
        """Reserve a device for the request and journal it; see Attachments.lease."""
        with self._attachments.holding(request.attachment):
            if (known := self._journal.find(request.attachment)) is not None:
                return _same(known, request)
            self._journal.require_unleased(request.port.id)
            debt = None
            if not request.is_bound:
                debt = self._settlement.debt_of(request.port.id)
                port = self._settlement.as_the_user_left_it(request.port, request.device_owner)
                request = replace(request, port=port)
            elif request.port.host != self.host:
                raise PortUnusable(request.port.id, f"it is bound to host {request.port.host}, not to {self.host}")
            vnic_type = request.kind
            if request.vf_driver is not None and vnic_type != DIRECT:
                raise PortUnusable(
                    request.port.id, f"its vnic_type is {vnic_type}, and {request.vf_driver} serves {DIRECT} ports only"
                )
            name = self._drivers.for_port(request.port.id, vnic_type)
            with observed(self._observer, "attach", "lease"):
                return self._lease_one(request, name, vnic_type, debt)

    def attach(self, attachment: str) -> Attachment:
        """Bind the port and prepare the leased device; see Attachments.attach."""
        with self._attachments.holding(attachment):
            lease = self._journal.find(attachment)
            if lease is None or lease.step is LeaseStep.RELEASING:
                raise InvalidRequest(f"attachment {attachment} has no lease: create the endpoint before joining it")
            with log_facts(lease):
                return self._present(lease) if lease.step is LeaseStep.READY else self._make_ready(lease)

    def detach(self, attachment: str) -> None:
        """Take the device back, clean it, and give the port back; see Attachments.detach."""
        with self._attachments.holding(attachment):
            lease = self._journal.find(attachment)
            if lease is not None:
                self._end_now(lease)

    def make_way(self, port_id: str) -> None:
        """End the attachment that has a port, if its container is gone for certain; see Attachments.make_way."""
        for _ in range(_LOOKS):
            lease = self._journal.lease_of_port(port_id)
            if lease is None:
                return
            if not self.is_busy(lease.attachment) and is_forsaken(lease, self._drivers, self._kernel):
                log.warning("attachment.forsaken", attachment=short_id(lease.attachment), port=port_id)
                # Docker holds a lock meanwhile: whoever gets the port, or a round, settles what is owed of it.
                self.end(lease, may_wait=False)
                return
            self._patience.pause(_LOOK_AGAIN_S)

    def is_busy(self, attachment: str) -> bool:
        """Tell whether one of the attachment's verbs is under way: whatever the lease says then will not last."""
        return attachment in self._attachments

    def end(self, lease: Lease, *, may_wait: bool = True) -> bool:
        """Detach what a lease stands for, if it is still that lease at that step; tell whether it was.

        Whoever may not wait leaves to others what Neutron is owed.
        """
        with self._attachments.holding(lease.attachment):
            current = self._journal.current(lease)
            if current is None or current.step is not lease.step:
                return False
            self._end_now(current, may_wait=may_wait)
            return True

    def undo(self, lease: Lease, *, rebooted: bool, put_off: bool = False) -> None:
        """Undo a lease that a crash or a reboot left behind. Nothing else may be using the engine yet.

        With ``put_off``, what takes more than writing it down is left to the reconciler's next round.
        """
        self._releaser.undo(lease, rebooted=rebooted, put_off=put_off)

    def follow(self, lease: Lease, port: Port, limits: EgressLimits) -> None:
        """Let the device of a ready lease follow its port, as Neutron has it now; leaves a newer lease alone.

        A port that is not bound any more as its device needs is bound once more, unless others bound it. Raises
        BindingRefused when that does not help, what ``NeutronPorts.bind`` raises, and KernelRefused, NotClean or
        DeviceGone when the device does not follow: it then differs from what its lease wants.
        """
        with self._attachments.holding(lease.attachment):
            current = self._journal.current(lease)
            if current is None or current.step is not LeaseStep.READY:
                return
            changed = replace(current, port=port, limits=limits)
            try:
                changed = self._planned(changed)
            except BindingRefused:
                if current.is_bound:
                    raise
                changed = self._planned(replace(changed, port=self._ports.bind(port, self._binding(current))))
            self._journal.save(changed)
            if changed.wanted != current.wanted:
                self._adjust(changed)

    def repair(self, lease: Lease) -> None:
        """Make the device of a ready lease hold again what the lease wants.

        Raises KernelRefused, NotClean or DeviceGone.
        """
        with self._attachments.holding(lease.attachment):
            current = self._journal.current(lease)
            if current is not None and current.step is LeaseStep.READY:
                self._adjust(current)

    def find(self, attachment: str) -> Lease | None:
        """Return the lease of an attachment."""
        return self._journal.find(attachment)

    def _lease_one(self, request: AttachRequest, driver: str, vnic_type: str, debt: DebtEntry | None) -> Lease:
        """Take the first device that nobody else takes in the same moment."""
        places = self._drivers[driver].choose(request)
        while True:
            # Ends by an error of the driver's own, which says why there is no other.
            place = next(places)
            if request.is_bound:
                _check_device(request, place)
            lease = self._new_lease(request, driver, vnic_type, place)
            with suppress(DeviceBusy):
                self._journal.add(lease, settles=debt)
                return lease

    def _new_lease(self, request: AttachRequest, driver: str, vnic_type: str, place: Placement) -> Lease:
        return Lease(
            id=uuid.uuid4().hex,
            attachment=request.attachment,
            boot_id=self._kernel.boot_id(),
            driver=driver,
            step=LeaseStep.LEASED,
            port=request.port if request.is_bound else replace(request.port, mac=place.mac or request.port.mac),
            former=request.port,
            network=request.network,
            device_owner=request.device_owner,
            created=request.created,
            vnic_type=vnic_type,
            device=place.device,
            parent=place.parent,
            physical_network=place.physical_network,
            profile=place.profile,
            vf_driver=place.vf_driver,
            uplink=place.uplink,
            limits=request.limits,
            is_bound=request.is_bound,
        )

    def _make_ready(self, lease: Lease) -> Attachment:
        try:
            with observed(self._observer, "attach", "bind"):
                lease = self._bind(lease)
            with observed(self._observer, "attach", "program"):
                lease = self._program(lease)
            with observed(self._observer, "attach", "active"):
                self._await_active(lease)
            attachment = self._present(lease)
        except NeutronUnreachable:
            self._settlement.note_silence()
            self._releaser.release(lease, doubtful=True)
            raise
        except BaseException:
            self._releaser.release(lease)
            raise
        log.info("attachment.ready")
        return attachment

    def _bind(self, lease: Lease) -> Lease:
        """Bind the port to the leased device, if it is not yet, and note what the device must hold then."""
        if lease.is_bound:
            return self._journal.save(replace(self._planned(lease), step=LeaseStep.PROGRAMMING))
        lease = self._journal.save(replace(lease, step=LeaseStep.BINDING))
        bound = self._ports.bind(lease.port, self._binding(lease))
        lease = self._journal.save(replace(lease, port=bound))
        lease = self._planned(replace(lease, limits=PolicyReadings(self._ports).limits(bound)))
        return self._journal.save(replace(lease, step=LeaseStep.PROGRAMMING))

    def _planned(self, lease: Lease) -> Lease:
        return replace(lease, wanted=self._driver(lease).plan(lease))

    def _binding(self, lease: Lease) -> Binding:
        return Binding(
            host=self.host,
            device_id=lease.attachment,
            device_owner=lease.device_owner,
            profile=lease.profile,
            vnic_type=lease.vnic_type,
        )

    def _program(self, lease: Lease) -> Lease:
        if lease.physical_network is not None:
            self.caretaker.clear_strays(lease.port.mac, lease.physical_network)
        with card_of(self.card_locks, lease):
            missing = self._driver(lease).create_host_iface(lease)
        if missing:
            log.warning("vf.settings-not-honoured", settings=sorted(missing))
        lease = self._journal.save(replace(lease, step=LeaseStep.READY, missing=missing))
        self._publish(lease)
        return lease

    def _adjust(self, lease: Lease) -> None:
        with log_facts(lease), card_of(self.card_locks, lease):
            missing = self._driver(lease).adjust(lease)
            self._journal.save(replace(lease, missing=missing))
            log.info("attachment.adjusted", missing=sorted(missing))

    def _await_active(self, lease: Lease) -> None:
        """Tell Neutron soon that the device is up; wait for its answer only where the operator asked for that."""
        timeout_s = self._patience.active_timeout_s
        if not timeout_s or lease.is_bound:
            self._settlement.nudge()
        elif not self._settlement.await_active(lease.attachment, timeout_s) and self._patience.active_required:
            raise BindingRefused(lease.port.id, self.host, f"it did not become ACTIVE within {timeout_s:g} s")

    def _present(self, lease: Lease) -> Attachment:
        driver = self._driver(lease)
        return Attachment(
            id=lease.attachment,
            device=lease.device,
            interface=driver.get_container_iface_name(lease),
            device_nodes=driver.get_device_nodes(lease),
        )

    def _end_now(self, lease: Lease, *, may_wait: bool = True) -> None:
        with log_facts(lease):
            self._releaser.release(lease, may_wait=may_wait)
            if self._journal.current(lease) is None:
                log.info("attachment.ended")

    def _publish(self, lease: Lease) -> None:
        if self._publisher is not None and lease.vf_driver is not None:
            self._publisher.publish()

    def _driver(self, lease: Lease) -> PortDriver:
        return self._drivers[lease.driver]


def _check_device(request: AttachRequest, place: Placement) -> None:
    """Refuse to choose a device where somebody else has to."""
    if place.device is not None and request.port.profile.get("pci_slot") != str(place.device):
        raise PortUnusable(request.port.id, "it was bound without a pci_slot in its binding:profile")


def _same(known: Lease, request: AttachRequest) -> Lease:
    if known.port.id != request.port.id:
        raise InvalidRequest(f"attachment {known.attachment} already holds port {known.port.id}, not {request.port.id}")
    return known
