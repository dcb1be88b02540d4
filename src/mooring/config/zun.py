"""What is taken from zun.conf: the options by which a cloud that ran Zun has said what may be given to containers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oslo_config import cfg

from mooring.config.files import Assignment, ConfigFile, last

# By section and key: the keys in mooring's own files that win over it.
TAKEN: Final = {
    ("pci", "passthrough_whitelist"): ("passthrough_whitelist", "device_spec"),
    ("pci", "alias"): ("alias",),
    ("scheduler", "enabled_filters"): ("enabled_filters",),
}


def is_zuns(path: Path) -> bool:
    """Tell whether a file is Zun's, whose other options are none of ours."""
    return path.name == "zun.conf"


def take_over(zun_files: Sequence[ConfigFile], own_files: Sequence[ConfigFile], conf: cfg.ConfigOpts) -> None:
    """Give ``conf`` what Zun's files say, for each option that our own leave out."""
    for (section, key), winners in TAKEN.items():
        written = [a for file in zun_files for a in file.assignments if (a.section, a.key) == (section, key)]
        if written and last(own_files, section, *winners) is None:
            conf.set_default(key, _value(written, key), group=section)


def _value(written: Sequence[Assignment], key: str) -> list[str]:
    # Zun's own options are not here to be referred to; a $ is an expression's.
    values = [a.value.replace("$", "$$") for a in written]
    if key == "enabled_filters":
        return [name.strip() for name in values[-1].split(",") if name.strip()]
    return values
