"""From configuration files to checked values: what every daemon does before it picks out what is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from oslo_config import cfg

from mooring.config import zun
from mooring.config.files import Assignment, ConfigFile, check, check_references, choose, last, names_of, read
from mooring.config.legacy import IGNORED
from mooring.config.options import auth_common_options, auth_plugin_options, own_options
from mooring.config.transport_url import find_problem
from mooring.errors import InvalidConfiguration

KEYSTONE_SECTION: Final = "keystone_authtoken"

_Sections = dict[str, list[cfg.Opt]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the files say, each of their options known and of its type. ``conf`` is oslo.config's.

    ``files`` are mooring's own, ``names`` those and Zun's, for messages. ``auth_sections`` are the sections in which
    the authentication options of [neutron] and [keystone_authtoken] stand.
    """

    files: tuple[ConfigFile, ...]
    names: str
    conf: cfg.ConfigOpts
    auth_sections: Mapping[str, str]

    def auth_options(self, section: str) -> tuple[str | None, Mapping[str, Any]]:
        """Return the auth_type of a section, None where it is not set, and what is set of that plugin's options."""
        auth = self.conf[self.auth_sections[section]]
        plugin = auth_plugin_options(auth.auth_type) if auth.auth_type else []
        options = {option.dest: auth[option.dest] for option in plugin if auth[option.dest] is not None}
        return auth.auth_type or None, MappingProxyType(options)

    def keystone_options(self) -> Mapping[str, str]:
        """Return what is set in [keystone_authtoken], by keystonemiddleware's own names, as text."""
        options = {
            option.dest: self.conf[KEYSTONE_SECTION][option.dest]
            for option in _keystone_options()
            if last(self.files, KEYSTONE_SECTION, *names_of(option)) and option.dest != "auth_section"
        }
        auth_type, auth = self.auth_options(KEYSTONE_SECTION)
        named = {**options, **auth, **({"auth_type": auth_type} if auth_type else {})}
        return MappingProxyType({name: _as_text(value) for name, value in named.items()})

    def ignored(self) -> tuple[str, ...]:
        """Say of each option that has lost its meaning that it has."""
        seen = {
            (a.section, a.key): f"{a} is ignored: {IGNORED[a.section, a.key]}"
            for file in self.files
            for a in file.assignments
            if (a.section, a.key) in IGNORED
        }
        return tuple(seen.values())


def read_configuration(argv_files: Sequence[Path] | None, default_files: Sequence[Path]) -> Configuration:
    """Read the files named on the command line (the last wins), or else the usual ones that exist.

    Raises InvalidConfiguration for anything that would otherwise be silently without effect.
    """
    read_files = [read(path) for path in choose(argv_files, default_files)]
    files = tuple(file for file in read_files if not zun.is_zuns(file.path))
    sections, auth_sections = _sections(files)
    known = _known(sections)
    for file in files:
        check(file, known)
    conf = _values(files, sections)
    check_references(files, known, conf)
    for section in ("neutron", "DEFAULT"):
        _check_transport_url(conf, files, section)
    zun.take_over([file for file in read_files if zun.is_zuns(file.path)], files, conf)
    names = ", ".join(str(file.path) for file in read_files)
    return Configuration(files=files, names=names, conf=conf, auth_sections=auth_sections)


def _sections(files: Sequence[ConfigFile]) -> tuple[_Sections, dict[str, str]]:
    """Return the options by section, and the sections of the authentication options, which the files may choose."""
    sections = dict(own_options())
    auth_sections = {"neutron": _add_auth(sections, files, "neutron")}
    if any(KEYSTONE_SECTION in file.sections for file in files):
        sections[KEYSTONE_SECTION] = _keystone_options()
        auth_sections[KEYSTONE_SECTION] = _add_auth(sections, files, KEYSTONE_SECTION)
    return sections, auth_sections


def _add_auth(sections: _Sections, files: Sequence[ConfigFile], section: str) -> str:
    """Add the options of a section's authentication where they stand; return the name of that section."""
    written = last(files, section, "auth_section")
    auth_section = ((written and written.value) or section).lower()
    plugin = _plugin_options(last(files, auth_section, "auth_type", "auth_plugin"))
    _add(sections, section, auth_common_options())
    _add(sections, auth_section, [*auth_common_options(), *plugin])
    return auth_section


def _add(sections: _Sections, section: str, options: list[cfg.Opt]) -> None:
    """Add options that a section does not have yet: [neutron] and [keystone_authtoken] may share one."""
    present = sections.get(section, [])
    names = {option.dest for option in present}
    sections[section] = [*present, *(option for option in options if option.dest not in names)]


def _plugin_options(auth_type: Assignment | None) -> list[cfg.Opt]:
    if auth_type is None or not auth_type.value:
        # The usual plugin's options are known then, so that a file is judged by its other mistakes, too.
        return auth_plugin_options("password")
    if len(auth_type.value.splitlines()) > 1:
        raise InvalidConfiguration(auth_type.told("not one word; indent no line below it", secret=False))
    try:
        return auth_plugin_options(auth_type.value)
    except InvalidConfiguration as exc:
        raise InvalidConfiguration(auth_type.told(exc, secret=False)) from exc


def _keystone_options() -> list[cfg.Opt]:
    """Return keystonemiddleware's own options; raise InvalidConfiguration where it is not installed."""
    for entry in entry_points(group="oslo.config.opts", name="keystonemiddleware.auth_token"):
        return [option for _, options in entry.load()() for option in options]
    raise InvalidConfiguration(
        f"[{KEYSTONE_SECTION}] is for a controller, and keystonemiddleware is not installed; install "
        "mooring[controller], or remove the section from this host's file"
    )


def _known(sections: _Sections) -> dict[str, dict[str, cfg.Opt | None]]:
    known: dict[str, dict[str, cfg.Opt | None]] = {
        section: {name: option for option in options for name in names_of(option)}
        for section, options in sections.items()
    }
    for section, key in IGNORED:
        known[section].setdefault(key, None)
    return known


def _values(files: Sequence[ConfigFile], sections: _Sections) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[str(file.path) for file in files], default_config_dirs=[], use_env=False)
    for section, options in sections.items():
        conf.register_opts(options, group=None if section == "DEFAULT" else section)
    return conf


def _check_transport_url(conf: cfg.ConfigOpts, files: Sequence[ConfigFile], section: str) -> None:
    written = last(files, section, "transport_url")
    url = conf.transport_url if section == "DEFAULT" else conf[section].transport_url
    if written is not None and url and (problem := find_problem(url)):
        raise InvalidConfiguration(f"{written}: {problem}")


def _as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
