"""Opens this host's devices: for the daemon, and for the commands that only look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from mooring.attach.devices import Devices, devices_of
from mooring.attach.journal import Journal
from mooring.config.settings import NodeSettings
from mooring.host.linux import LinuxKernel
from mooring.host.open_vswitch import OpenVSwitch
from mooring.host.virtual_links import LinuxVirtualLinks

JOURNAL_FILE: Final = "node.sqlite"


@contextmanager
def open_devices(settings: NodeSettings) -> Iterator[Devices]:
    """Open the journal and the pool over the real kernel; several processes may do so at once."""
    with closing(Journal(settings.state_dir / JOURNAL_FILE)) as journal:
        yield devices_of(LinuxKernel(), LinuxVirtualLinks(), OpenVSwitch(), journal, settings.device_specs)


@contextmanager
def look_at_devices(settings: NodeSettings) -> Iterator[Devices]:
    """Open them without leaving a trace: where the daemon has not run yet, over an empty journal that nobody keeps."""
    with ExitStack() as stack:
        if not has_run(settings):
            nowhere = stack.enter_context(TemporaryDirectory(prefix="mooring-"))
            settings = replace(settings, state_dir=Path(nowhere))
        yield stack.enter_context(open_devices(settings))


def has_run(settings: NodeSettings) -> bool:
    """Tell whether the daemon has left its journal on this host."""
    try:
        return (settings.state_dir / JOURNAL_FILE).exists()
    except PermissionError:
        # Opening it says what is forbidden to whom.
        return True
