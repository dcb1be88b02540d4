"""The agent's memory: what is wanted of this host, and which operations were done."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from mooring.container.spec import Value
from mooring.container.states import Verb
from mooring.rpc.messages import Done, WantedContainer
from mooring.statefile import StateFile

_SCHEMA: Final = """
CREATE TABLE service (
    id TEXT NOT NULL
);
CREATE TABLE container (
    uuid TEXT PRIMARY KEY,
    body TEXT NOT NULL
);
"""


class Begun(Value):
    """An operation that was begun, and how its container was then: by that a repetition knows what was done already.

    ``launched`` says that the engine was told to start it.
    """

    number: int
    ran: bool = False
    started_at: datetime | None = None
    launched: bool = False


class Remembered(Value):
    """A container of this host. ``wanted`` is as it was last told, ``done`` the last operation that came to an end."""

    wanted: WantedContainer
    done: Done | None = None
    begun: Begun | None = None

    @property
    def is_due(self) -> bool:
        """Tell whether there is something to be done that was not done yet."""
        return self.done is None or self.done.number < self.wanted.operation.number


class Memory:
    """Containers on disk, so that a node goes on with what it was told while controllers are away. Any thread may ask.

    What was done reaches the disk before anybody is told.
    """

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, _SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def service(self) -> str | None:
        """Return the service that was last heard of."""
        rows = self._file.rows("SELECT id FROM service")
        return str(rows[0][0]) if rows else None

    def note_service(self, service: str) -> None:
        """Keep in mind which service this node belongs to."""
        if service != self.service():
            with self._file.transaction() as db:
                db.execute("DELETE FROM service")
                db.execute("INSERT INTO service VALUES (?)", (service,))

    def containers(self) -> dict[str, Remembered]:
        """Return all containers by uuid."""
        rows = self._file.rows("SELECT uuid, body FROM container ORDER BY uuid")
        return {uuid: Remembered.model_validate_json(body) for uuid, body in rows}

    def networks(self) -> frozenset[str]:
        """Return the Neutron networks that containers are about to be connected to."""
        making = (Verb.CREATE, Verb.REBUILD, Verb.ATTACH)
        return frozenset(
            interface.network.id
            for known in self.containers().values()
            if known.is_due and known.wanted.operation.verb in making
            for interface in known.wanted.interfaces
        )

    def find(self, uuid: str) -> Remembered | None:
        """Return a container."""
        rows = self._file.rows("SELECT body FROM container WHERE uuid = ?", uuid)
        return Remembered.model_validate_json(rows[0][0]) if rows else None

    def want(self, wanted: WantedContainer) -> Remembered:
        """Note what is wanted, unless that is older than what is known; return what is known then."""
        with self._file.transaction():
            known = self.find(wanted.uuid)
            if known is not None and (
                known.wanted == wanted or known.wanted.operation.number > wanted.operation.number
            ):
                return known
            changed = Remembered(wanted=wanted) if known is None else known.model_copy(update={"wanted": wanted})
            self._write(changed)
            return changed

    def begin(self, uuid: str, begun: Begun) -> Begun:
        """Note that an operation begins; return how it was begun first, if it was before."""
        with self._file.transaction():
            known = self.find(uuid)
            if known is None or (known.begun is not None and known.begun.number == begun.number):
                return begun if known is None or known.begun is None else known.begun
            self._write(known.model_copy(update={"begun": begun}))
            return begun

    def launch(self, uuid: str, number: int, *, is_launched: bool = True) -> None:
        """Note that the engine is about to be told to start a container for an operation, or that it has refused."""
        with self._file.transaction():
            known = self.find(uuid)
            if known is not None:
                begun = known.begun if known.begun and known.begun.number == number else Begun(number=number)
                self._write(known.model_copy(update={"begun": begun.model_copy(update={"launched": is_launched})}))

    def finish(self, uuid: str, done: Done) -> None:
        """Note that an operation has come to an end; a container that is not known any more stays unknown."""
        with self._file.transaction():
            known = self.find(uuid)
            if known is not None:
                self._write(known.model_copy(update={"done": done}))

    def forget(self, uuid: str) -> None:
        """Forget a container of which nothing is left, and that nobody wants."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM container WHERE uuid = ?", (uuid,))

    def _write(self, known: Remembered) -> None:
        with self._file.transaction() as db:
            body = known.model_dump_json()
            db.execute("INSERT OR REPLACE INTO container VALUES (?, ?)", (known.wanted.uuid, body))
