"""Files that users give their containers."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

from mooring.container.spec import Mount
from mooring.errors import StateFileUnusable


class Mounts:
    """Keeps them in a folder of each container's, for as long as there is one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, uuid: str, mounts: tuple[Mount, ...]) -> tuple[tuple[str, str], ...]:
        """Write the files down; return each file with its place in the container."""
        folder = self._folder / uuid
        placed = []
        try:
            for number, mount in enumerate(mounts):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                path = folder / str(number)
                path.write_bytes(base64.b64decode(mount.content))
                placed.append((str(path), mount.destination))
        except OSError as exc:
            raise StateFileUnusable(folder, str(exc.strerror), "make room in state_dir") from exc
        return tuple(placed)

    def remove(self, uuid: str) -> None:
        """Remove a container's files."""
        shutil.rmtree(self._folder / uuid, ignore_errors=True)
