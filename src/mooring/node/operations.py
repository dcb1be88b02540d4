"""What an operator may have done on this host: by the daemon, or, while none runs, by the command itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from pydantic import Field

from mooring.attach.gc import Deed, GarbageCollector
from mooring.attach.resize import CardResizer, Resized
from mooring.config.settings import NodeSettings
from mooring.libnetwork.names import DEVICE_OWNER
from mooring.libnetwork.protocol import Message, Reply
from mooring.libnetwork.server import Route
from mooring.node.client import call
from mooring.node.exclusive import try_exclusive
from mooring.node.metrics import Metrics
from mooring.node.wiring import Core, open_core

COLLECT: Final = "Mooring.GarbageCollect"
RESIZE: Final = "Mooring.SetNumVfs"

# Each neighbour bounds its own answers; these are for all of them together, and for cards with many VFs.
_COLLECT_S: Final = 300.0
_RESIZE_S: Final = 900.0


class CollectRequest(Message):
    """Mooring.GarbageCollect."""

    dry_run: bool = Field(default=False, alias="DryRun")


class CollectReply(Reply):
    """What was done, or is to be done."""

    deeds: tuple[Deed, ...] = Field(default=(), alias="Deeds")


class ResizeRequest(Message):
    """Mooring.SetNumVfs: ``card`` is the PF's interface or PCI address."""

    card: str = Field(alias="Card")
    vfs: int = Field(ge=0, alias="Vfs")


class ResizeReply(Reply):
    """What became of the card."""

    resized: Resized = Field(alias="Resized")


def operator_routes(core: Core) -> Mapping[str, Route]:
    """Return the calls that the daemon answers beside Docker's."""
    collector, resizer = _collector(core), _resizer(core)
    return {
        COLLECT: Route(lambda wish: CollectReply(deeds=collector.collect(dry_run=wish.dry_run)), CollectRequest),
        RESIZE: Route(lambda wish: ResizeReply(resized=resizer.resize(wish.card, wish.vfs)), ResizeRequest),
    }


def collect_garbage(settings: NodeSettings, *, dry_run: bool) -> tuple[Deed, ...]:
    """Take away what is left over on this host; see GarbageCollector.

    Raises OperationRefused while Docker does not answer, and NodeUnreachable for a daemon that does not.
    """
    with _without_daemon(settings) as core:
        if core is None:
            wish = CollectRequest(dry_run=dry_run).model_dump(by_alias=True)
            return CollectReply.model_validate(call(settings.plugin_socket, COLLECT, wish, timeout_s=_COLLECT_S)).deeds
        return _collector(core).collect(dry_run=dry_run, alone=True)


def resize_card(settings: NodeSettings, card: str, vfs: int) -> Resized:
    """Change how many VFs a card of this host shows; see CardResizer.

    Raises OperationRefused with the daemon's sentence, and NodeUnreachable for a daemon that does not answer.
    """
    with _without_daemon(settings) as core:
        if core is None:
            wish = ResizeRequest(card=card, vfs=vfs).model_dump(by_alias=True)
            return ResizeReply.model_validate(call(settings.plugin_socket, RESIZE, wish, timeout_s=_RESIZE_S)).resized
        # What a daemon was killed in, or an earlier boot left in the journal, must hinder nobody.
        core.reconciler.recover()
        return _resizer(core).resize(card, vfs)


@contextmanager
def _without_daemon(settings: NodeSettings) -> Iterator[Core | None]:
    """Take the host for ourselves and open its core, or yield None where a daemon has it."""
    lock = try_exclusive(settings.state_dir)
    if lock is None:
        yield None
        return
    with lock, open_core(settings, Metrics()) as core:
        yield core


def _collector(core: Core) -> GarbageCollector:
    return GarbageCollector(
        devices=core.devices,
        engine=core.engine,
        settlement=core.settlement,
        ports=core.neutron,
        containers=core.containers,
        owners=[DEVICE_OWNER],
    )


def _resizer(core: Core) -> CardResizer:
    return CardResizer(core.devices, core.engine.card_locks)
