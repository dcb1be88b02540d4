"""Running the tools that build an image."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.errors import ImageError


def build_step(command: Sequence[str | Path], *, stdin: bytes | None = None) -> str:
    """Run one build command and return its output. Raises ImageError with the end of what it printed."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError as exc:
        raise ImageError(f"cannot run {words[0]}: {exc.strerror}") from exc
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise ImageError(f"{shlex.join(words)} failed with code {done.returncode}\n{output[-3000:]}")
    return output
