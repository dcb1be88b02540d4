"""The VFs for programs as container engines look them up: a specification of the Container Device Interface."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Final

from mooring.attach.publishing import VfioDevice
from mooring.errors import KernelRefused
from mooring.host.kernel import VFIO_NODE

KIND: Final = "mooring/vf"
# The first version in which a device's name may begin with a digit (CNCF Container Device Interface, SPEC.md).
_VERSION: Final = "0.5.0"


class CdiFile:
    """A DeviceCatalogue (attach.publishing). Engines of this host read every ``.json`` file of its directory."""

    def __init__(self, path: Path = Path("/var/run/cdi/mooring.json")) -> None:
        self._path = path

    def write(self, devices: tuple[VfioDevice, ...]) -> None:
        """Replace the file in one step, so that nobody reads half of it; without devices there is none."""
        try:
            if devices:
                self._replace(json.dumps(_specification(devices), indent=2) + "\n")
            else:
                self._path.unlink(missing_ok=True)
        except OSError as exc:
            hint = "without it, no container can be given a VF that is bound to vfio-pci"
            raise KernelRefused("writing the CDI specification", self._path, exc.errno or errno.EIO, hint) from exc

    def _replace(self, text: str) -> None:
        if self._path.exists() and self._path.read_text() == text:
            return  # engines watch the file, and read all of them anew when it changes
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        new = self._path.with_suffix(".new")
        new.write_text(text)
        new.replace(self._path)


def _specification(devices: tuple[VfioDevice, ...]) -> dict[str, object]:
    return {"cdiVersion": _VERSION, "kind": KIND, "devices": [_entry(device) for device in devices]}


def _entry(device: VfioDevice) -> dict[str, object]:
    edits = {
        "env": [f"MOORING_VF={device.address}"],
        "deviceNodes": [{"path": VFIO_NODE}, {"path": device.group}],
    }
    return {"name": device.name, "containerEdits": edits}
