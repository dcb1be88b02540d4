"""A cache of built things, found by the content of everything that went into them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KEY_LENGTH = 16


def content_key(parts: Iterable[str | bytes]) -> str:
    """A key that changes when any part, their number or their order changes."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:KEY_LENGTH]


def tree_parts(root: Path, pattern: str = "**/*") -> Iterator[str | bytes]:
    """The names and contents of the files under ``root`` that match, in a stable order."""
    for file in sorted(root.glob(pattern)):
        if file.is_file() and "__pycache__" not in file.parts:
            yield str(file.relative_to(root))
            yield file.read_bytes()


@dataclass(frozen=True, slots=True)
class Cache:
    """Directories named ``KIND-KEY`` under ``root``, each complete from the moment it can be seen."""

    root: Path

    @classmethod
    def default(cls) -> Cache:
        """The cache in ``MOORING_LAB_CACHE``, or in the user's cache directory."""
        return cls(Path(os.environ.get("MOORING_LAB_CACHE") or Path.home() / ".cache" / "mooring-lab"))

    def get(self, kind: str, key: str, build: Callable[[Path], None], *, keep: int = 3) -> Path:
        """The directory ``KIND-KEY``, built by ``build(directory)`` if there is none yet.

        Two callers never build the same kind at once. The ``keep`` most recently used entries of the kind
        survive a build; an error of ``build`` is passed on and leaves nothing behind.
        """
        entry = self.root / f"{kind}-{key}"
        self.root.mkdir(parents=True, exist_ok=True)
        with self._locked(kind):
            if not entry.is_dir():
                self._build(entry, build)
                self._prune(kind, keep)
            os.utime(entry)
        return entry

    def _build(self, entry: Path, build: Callable[[Path], None]) -> None:
        unfinished = entry.with_name(f".{entry.name}.building")
        # Left by a build that was killed; the lock says that nobody works on it now.
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            build(unfinished)
            unfinished.rename(entry)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _prune(self, kind: str, keep: int) -> None:
        # A kind may be the beginning of another's name; a key has no dash.
        entries = [path for path in self.root.glob(f"{kind}-*") if path.name.rpartition("-")[0] == kind]
        entries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for old in entries[keep:]:
            shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def _locked(self, kind: str) -> Iterator[None]:
        with (self.root / f".{kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
