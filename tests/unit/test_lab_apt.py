"""Where the machine's Debian archive is, read from its own sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.apt import AptSource, add_backports, archive_source, machine_sources, parse_deb822, parse_one_line
from lab.errors import HostSetupError

KEYRING = "/usr/share/keyrings/archive.gpg"
DEB822 = f"""\
Types: deb deb-src
# a comment
URIs: http://archive.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: {KEYRING}

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""


def test_deb822_stanzas_give_their_binary_sources() -> None:
    first, second = parse_deb822(DEB822)
    assert first == AptSource(
        uri="http://archive.example/debian",
        suites=("bookworm", "bookworm-updates"),
        components=("main",),
        signed_by=KEYRING,
    )
    assert second.signed_by is None


def test_an_embedded_key_is_kept_with_its_lines() -> None:
    stanza = "Types: deb\nURIs: http://a.example/\nSuites: trixie\nComponents: main"
    text = f"{stanza}\nSigned-By:\n -----BEGIN\n .\n -----END\n"
    (source,) = parse_deb822(text)
    assert source.signed_by == "\n -----BEGIN\n .\n -----END"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            "deb http://a.example/debian/ bookworm main contrib # why",
            AptSource(uri="http://a.example/debian", suites=("bookworm",), components=("main", "contrib")),
            id="plain",
        ),
        pytest.param(
            f"deb [arch=amd64 signed-by={KEYRING}] http://a.example/debian trixie main",
            AptSource(uri="http://a.example/debian", suites=("trixie",), components=("main",), signed_by=KEYRING),
            id="options",
        ),
    ],
)
def test_one_line_sources_are_read(line: str, expected: AptSource) -> None:
    assert list(parse_one_line(f"# deb http://no.example/ x main\ndeb-src http://no.example/ x main\n{line}\n")) == [
        expected
    ]


def test_the_archive_is_the_source_that_carries_the_release() -> None:
    assert archive_source(parse_deb822(DEB822), "bookworm").uri == "http://archive.example/debian"


def test_a_machine_without_the_release_in_its_sources_is_refused() -> None:
    with pytest.raises(HostSetupError, match="trixie"):
        archive_source(parse_deb822(DEB822), "trixie")


def machine(tmp_path: Path) -> Path:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(DEB822)
    (parts / "debian.sources.disabled").write_text(DEB822)
    return tmp_path


def test_both_formats_of_a_machine_are_read_and_other_files_are_not(tmp_path: Path) -> None:
    apt_dir = machine(tmp_path)
    (apt_dir / "sources.list").write_text("deb http://b.example/debian bookworm main\n")
    assert [source.uri for source in machine_sources(apt_dir)] == [
        "http://b.example/debian",
        "http://archive.example/debian",
        "http://security.example/debian-security",
    ]


def test_backports_come_from_the_machines_own_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr("lab.apt.apt_get", lambda *arguments: calls.append(arguments))
    apt_dir = machine(tmp_path)

    add_backports("bookworm", apt_dir)
    added = archive_source(machine_sources(apt_dir), "bookworm-backports")
    assert (added.uri, added.signed_by) == ("http://archive.example/debian", KEYRING)

    add_backports("bookworm", apt_dir)
    assert calls == [("update",)]
