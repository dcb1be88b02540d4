"""What reconciling finds wrong: told once, counted once, and remembered for as long as it lasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import structlog

from mooring.attach.observer import Observer

log = structlog.get_logger(__name__)


class FindingKind(StrEnum):
    """What can be wrong. The names are those of the metrics and of the log."""

    CONTAINER_GONE = "container-gone"
    """Nobody will end the attachment any more: it is ended."""
    UNFINISHED = "unfinished"
    """A start or a release was cut off: it is undone."""
    DEVICE_GONE = "device-gone"
    """The device has left the host: the port is reported down, the lease stays until its container ends."""
    DEVICE_TAKEN = "device-taken"
    """The device of a lease was bound to another driver by hand: as above."""
    LINK_DOWN = "link-down"
    """The card's own link is down: the port is reported down until it is up again."""
    SETTINGS_CHANGED = "settings-changed"
    """The PF holds something else than the lease wants: it is set again."""
    SETTINGS_LACKING = "settings-lacking"
    """The device cannot hold what the port asks for: it goes without."""
    PORT_UNSEEN = "port-unseen"
    """Neutron does not show the port, or not all of it: nothing is done for some minutes."""
    PORT_DELETED = "port-deleted"
    """The port is no more: its attachment is ended."""
    PORT_TAKEN = "port-taken"
    """The port was bound elsewhere, or to something else: its attachment is ended."""
    PORT_CHANGED = "port-changed"
    """The port's attributes changed: the device follows."""
    PORT_ORPHANED = "port-orphaned"
    """A port is bound to an attachment of this host that is no more: it is unbound."""
    VF_DIRTY = "vf-dirty"
    """A free VF has settings that nobody's are: it is cleaned when it stays so."""
    VF_TAKEN = "vf-taken"
    """A free VF is in use by somebody else: it is left alone."""
    VF_QUARANTINED = "vf-quarantined"
    """A VF did not come clean: it is tried again in each round."""
    CARD_SICK = "card-sick"
    """A PF cannot be read, or is down: its VFs are not handed out."""
    HOST_UNSEEN = "host-unseen"
    """Open vSwitch, or the kernel, does not say how virtual interfaces are: what is wrong with them is not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with one subject: a VF, a port, a card. ``detail`` says it in words."""

    kind: FindingKind
    subject: str
    detail: str = ""
    attachment: str = ""


class Findings:
    """The findings of one kind of round. Not for several threads at once."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        # Between rounds both are one: what is noted then stands until a round does not find it.
        self._standing: dict[tuple[FindingKind, str], Finding] = {}
        self._seen = self._standing

    @contextmanager
    def round(self) -> Iterator[None]:
        """Take the findings of the body for all there are: what is not found again is over."""
        self._seen = {}
        try:
            yield
        except BaseException:
            # A round that was cut off has not looked everywhere: nothing is over.
            self._standing = self._seen = self._standing | self._seen
            raise
        for kind, subject in self._standing.keys() - self._seen.keys():
            log.info("finding.over", kind=kind.value, subject=subject)
        self._standing = self._seen

    def note(self, finding: Finding) -> None:
        """Tell a finding, unless it was told in the last round already."""
        key = (finding.kind, finding.subject)
        if key not in self._standing and key not in self._seen:
            log.warning(
                "finding",
                kind=finding.kind.value,
                subject=finding.subject,
                detail=finding.detail,
                attachment=finding.attachment,
            )
            self._observer.finding(finding.kind.value)
        self._seen[key] = finding

    def keep(self, kind: FindingKind, subject: str) -> None:
        """Let a finding go on, if it stands, that this round cannot judge."""
        if (standing := self._standing.get((kind, subject))) is not None:
            self._seen.setdefault((kind, subject), standing)

    def counts(self) -> Mapping[str, int]:
        """Return how many findings of each kind stand: of the last round, and of what was noted since."""
        return Counter(kind.value for kind, _ in tuple(self._standing))
