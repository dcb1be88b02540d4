"""Reading configuration files, and refusing what nobody would read from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from mooring.errors import InvalidConfiguration
from mooring.suggestions import suggest

# The later file wins where several set an option. Zun's specification calls its own /etc/zun.conf.
DEFAULT_FILES = (
    Path("/etc/zun.conf"),
    Path("/etc/zun/zun.conf"),
    Path("/etc/kuryr/kuryr.conf"),
    Path("/etc/mooring/mooring.conf"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One ``key = value`` of a file. ``section`` is lower case except DEFAULT, as oslo.config compares sections."""

    path: Path
    section: str
    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.path}: [{self.section}] {self.key}"

    def told(self, problem: object, *, secret: bool) -> str:
        """Say what is wrong with the value, quoting neither it nor what others said of it when it is secret."""
        if secret:
            return f"{self}: its value (secret, not shown) cannot be used"
        first, *more = self.value.splitlines() or [""]
        # An indented line continues the one above, be it meant so or not: it may well be the password's.
        quoted = f"{first} (and the indented lines below it)" if more else first
        return f"{self} = {quoted}: {problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """A file as written: its sections, and what they assign in the order of the file."""

    path: Path
    sections: tuple[str, ...]
    assignments: tuple[Assignment, ...]


def choose(asked: Sequence[Path] | None, defaults: Sequence[Path] = DEFAULT_FILES) -> tuple[Path, ...]:
    """Return the files to read: those asked for, or else those of the usual ones that exist."""
    if asked:
        return tuple(asked)
    if not (present := tuple(path for path in defaults if path.exists())):
        raise InvalidConfiguration(f"there is no {defaults[-1]}; write it, or name another with --config-file")
    return present


def read(path: Path) -> ConfigFile:
    """Read a file with oslo.config's own parser; raise InvalidConfiguration when it cannot be read."""
    sections: dict[str, dict[str, list[str]]] = {}
    try:
        cfg.ConfigParser(str(path), sections).parse()
    except OSError as exc:
        raise InvalidConfiguration(f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidConfiguration(f"{path} is not a configuration file: byte {exc.start} is no UTF-8 text") from exc
    except cfg.ParseError as exc:
        # The exception quotes the line, which may be a password's.
        raise InvalidConfiguration(f"{path} is not a configuration file: line {exc.lineno}: {exc.msg}") from None
    names = {section: section if section == "DEFAULT" else section.lower() for section in sections}
    return ConfigFile(
        path=path,
        sections=tuple(names.values()),
        assignments=tuple(
            Assignment(path=path, section=names[section], key=key, value=value)
            for section, keys in sections.items()
            for key, values in keys.items()
            for value in values
        ),
    )


def last(files: Sequence[ConfigFile], section: str, *keys: str) -> Assignment | None:
    """Return what the files finally say of an option, or None."""
    found = [a for file in files for a in file.assignments if a.section == section and a.key in keys]
    return found[-1] if found else None


def names_of(option: cfg.Opt) -> Iterator[str]:
    """Yield every key that oslo.config would read the option from: of its present name, never the form with dashes."""
    yield option.dest
    for old in option.deprecated_opts:
        if old.name is not None:
            yield from (old.name, old.name.replace("-", "_"))


def check(file: ConfigFile, known: Mapping[str, Mapping[str, cfg.Opt | None]]) -> None:
    """Refuse sections, keys and values that nobody would read, which oslo.config passes over in silence.

    ``known`` has, by section and key, the option, or None for a key whose value does not matter. Raises
    InvalidConfiguration with the file, the section, the key and the nearest known name.
    """
    for section in file.sections:
        if section not in known:
            raise InvalidConfiguration(f"{file.path}: unknown section [{section}]; {suggest(section, sorted(known))}")
    for assignment in file.assignments:
        options = known[assignment.section]
        if assignment.key not in options:
            raise InvalidConfiguration(f"{assignment}: unknown option; {suggest(assignment.key, sorted(options))}")
        option = options[assignment.key]
        # A $ refers to another option; the value is known only when all files have been read.
        if option is not None and "$" not in assignment.value:
            _check_type(assignment, option)


def check_references(
    files: Sequence[ConfigFile], known: Mapping[str, Mapping[str, cfg.Opt | None]], conf: cfg.ConfigOpts
) -> None:
    """Refuse values whose $ leads to no usable value, which oslo.config finds only when the option is read."""
    written = {
        (a.section, option.dest): (a, option)
        for file in files
        for a in file.assignments
        if "$" in a.value and (option := known[a.section][a.key]) is not None
    }
    for (section, name), (assignment, option) in written.items():
        try:
            _ = conf[name] if section == "DEFAULT" else conf[section][name]
        except (cfg.Error, RecursionError):
            # The exception quotes the value, and what it refers to may be a secret even where it is none itself.
            problem = "what $ refers to gives no valid value"
            told = assignment.told(problem, secret=option.secret)
            raise InvalidConfiguration(f"{told}; write $$ for a dollar sign in a value") from None


def _check_type(assignment: Assignment, option: cfg.Opt) -> None:
    try:
        option.type(assignment.value)
    except ValueError as exc:
        raise InvalidConfiguration(assignment.told(exc, secret=option.secret)) from None
