"""The machine's own apt: where its archive is, and the packages that the lab needs on the host.

Addresses are never written down here; they are read from the machine's sources (sources.list(5), both the
one-line and the deb822 format).
"""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import HostSetupError
from lab.packages import HostPackage, apt_get, ensure_packages, install

APT_DIR = Path("/etc/apt")
MIN_QEMU_MAJOR = 10  # igb came with 8, reconnecting stream netdevs with 9.2
QEMU = "qemu-system-x86_64"
QEMU_PACKAGE = "qemu-system-x86"
HOST_PACKAGES = (
    HostPackage(name="mmdebstrap", file="/usr/bin/mmdebstrap"),
    HostPackage(name="e2fsprogs", file="/sbin/mke2fs"),
    HostPackage(name="openssh-client", file="/usr/bin/ssh"),
    HostPackage(name="debian-archive-keyring", file="/usr/share/keyrings/debian-archive-keyring.gpg"),
    HostPackage(name="cpio", file="/usr/bin/cpio"),
    HostPackage(name="zstd", file="/usr/bin/zstd"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One binary package source of the machine."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None = None


def parse_one_line(text: str) -> Iterator[AptSource]:
    """The ``deb [options] URI SUITE COMPONENT...`` lines of a sources.list."""
    pattern = re.compile(r"^deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)")
    for line in text.splitlines():
        match = pattern.match(line.strip())
        if match is None:
            continue
        options = dict(word.split("=", 1) for word in (match["options"] or "").split() if "=" in word)
        yield AptSource(
            uri=match["uri"].rstrip("/"),
            suites=(match["suite"],),
            components=tuple(match["components"].split()),
            signed_by=options.get("signed-by"),
        )


def parse_deb822(text: str) -> Iterator[AptSource]:
    """The enabled ``Types: deb`` stanzas of a .sources file.

    A Signed-By with an embedded key is kept as it is written, its continuation lines included.
    """
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0] in " \t":
                fields[name] += f"\n{line}"
            else:
                name, _, value = line.partition(":")
                name = name.lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        for uri in fields.get("uris", "").split():
            yield AptSource(
                uri=uri.rstrip("/"),
                suites=tuple(fields.get("suites", "").split()),
                components=tuple(fields.get("components", "").split()),
                signed_by=fields.get("signed-by"),
            )


def machine_sources(apt_dir: Path = APT_DIR) -> list[AptSource]:
    """Every binary package source that the machine uses, in apt's own order of files."""
    parts = apt_dir / "sources.list.d"
    files = [apt_dir / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    return [
        source
        for file in files
        if file.is_file()
        for source in (parse_deb822 if file.suffix == ".sources" else parse_one_line)(file.read_text())
    ]


def host_codename() -> str:
    """The Debian release of this machine, such as ``bookworm``. Raises HostSetupError elsewhere."""
    release = platform.freedesktop_os_release()
    if release["ID"] != "debian" or not release.get("VERSION_CODENAME"):
        raise HostSetupError(f"the lab needs a Debian 12 or 13 host; this is {release.get('PRETTY_NAME', '?')}")
    return release["VERSION_CODENAME"]


def archive_source(sources: Iterable[AptSource], codename: str) -> AptSource:
    """The source that carries Debian's release ``codename`` itself: its archive carries every suite.

    Raises HostSetupError if the machine has none.
    """
    for source in sources:
        if codename in source.suites and "main" in source.components:
            return source
    raise HostSetupError(f"no apt source of this machine carries the suite {codename!r} with component 'main'")


def ensure_host_packages() -> None:
    """Install what the lab needs on this machine; without any apt call when all of it is there.

    Upgrades nothing that is installed. Raises HostSetupError if apt fails.
    """
    ensure_packages(HOST_PACKAGES)
    if qemu_major() >= MIN_QEMU_MAJOR:
        return
    codename = host_codename()
    apt_get("update")
    target = []
    if _candidate_major(QEMU_PACKAGE) < MIN_QEMU_MAJOR:
        add_backports(codename)
        target = ["-t", f"{codename}-backports"]
    install(*target, QEMU_PACKAGE)
    if qemu_major() < MIN_QEMU_MAJOR:
        raise HostSetupError(f"{QEMU} is older than {MIN_QEMU_MAJOR} even after installing {QEMU_PACKAGE}")


def qemu_major() -> int:
    """The major version of the installed QEMU, 0 if there is none."""
    try:
        out = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return 0
    found = re.search(r"version (\d+)", out)
    return int(found[1]) if found else 0


def add_backports(codename: str, apt_dir: Path = APT_DIR) -> None:
    """Let apt see ``<codename>-backports`` from the machine's own archive, unless it already does.

    apt takes nothing from backports unasked: its pin priority there is 100.
    """
    sources = machine_sources(apt_dir)
    suite = f"{codename}-backports"
    if any(suite in source.suites for source in sources):
        return
    archive = archive_source(sources, codename)
    signed_by = f"Signed-By: {archive.signed_by}\n" if archive.signed_by else ""
    (apt_dir / "sources.list.d" / "mooring-lab-backports.sources").write_text(
        f"Types: deb\nURIs: {archive.uri}\nSuites: {suite}\nComponents: main\n{signed_by}"
    )
    apt_get("update")


def _candidate_major(package: str) -> int:
    out = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=True).stdout
    found = re.search(r"Candidate: (?:\d+:)?(\d+)", out)
    return int(found[1]) if found else 0
