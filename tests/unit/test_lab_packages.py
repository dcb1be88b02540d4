"""Debian packages are installed only where they are missing, and start nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import packages
from lab.errors import HostSetupError
from lab.packages import HostPackage, ensure_packages


class Apt:
    """apt-get: knows what it was told, and what policy-rc.d said to maintainer scripts then."""

    def __init__(self, policy: Path) -> None:
        self.policy = policy
        self.told: list[tuple[str, ...]] = []
        self.policies: list[str] = []
        self.lists_are_fresh = True

    def __call__(self, *arguments: str) -> None:
        self.told.append(arguments)
        if arguments[0] == "update":
            self.lists_are_fresh = True
            return
        self.policies.append(self.policy.read_text())
        if not self.lists_are_fresh:
            raise HostSetupError("no such package")


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    apt = Apt(tmp_path / "policy-rc.d")
    monkeypatch.setattr(packages, "POLICY", apt.policy)
    monkeypatch.setattr(packages, "apt_get", apt)
    return apt


@pytest.fixture
def present(tmp_path: Path) -> HostPackage:
    (tmp_path / "present").write_text("")
    return HostPackage(name="present", file=f"{tmp_path}/present")


@pytest.fixture
def missing(tmp_path: Path) -> HostPackage:
    return HostPackage(name="missing", file=f"{tmp_path}/missing")


def test_apt_is_not_asked_for_what_is_there(apt: Apt, present: HostPackage) -> None:
    ensure_packages([present])

    assert apt.told == []


@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 0\n"])
def test_no_service_starts_and_the_machines_policy_comes_back(
    apt: Apt, present: HostPackage, missing: HostPackage, before: str | None
) -> None:
    if before is not None:
        apt.policy.write_text(before)

    ensure_packages([present, missing])

    assert apt.told == [("install", "-y", "--no-install-recommends", "missing")]
    assert apt.policies == ["#!/bin/sh\nexit 101\n"]
    assert (apt.policy.read_text() if apt.policy.exists() else None) == before


def test_stale_lists_are_brought_up_to_date(apt: Apt, missing: HostPackage) -> None:
    apt.lists_are_fresh = False

    ensure_packages([missing])

    assert [arguments[0] for arguments in apt.told] == ["install", "update", "install"]
