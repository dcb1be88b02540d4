"""Opens this host's devices: for the daemon, and for the commands that only look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from mooring.attach.devices import Devices, devices_of
from mooring.attach.journal import Journal
from mooring.config.settings import NodeSettings
from mooring.host.linux import LinuxKernel


@contextmanager
def open_devices(settings: NodeSettings) -> Iterator[Devices]:
    """Open the journal and the pool over the real kernel; several processes may do so at once."""
    with closing(Journal(settings.state_dir / "node.sqlite")) as journal:
        yield devices_of(LinuxKernel(), journal, settings.device_specs)
