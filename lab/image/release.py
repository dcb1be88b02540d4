"""The Debian releases a guest can run."""

from __future__ import annotations

from dataclasses import dataclass

COMMON_PACKAGES = (
    "busybox-static",
    "docker.io",
    "ethtool",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "openssh-server",
    "openvswitch-switch",
    "python3",
    "systemd-sysv",
    "tcpdump",
    "udev",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestRelease:
    """What differs between the releases."""

    codename: str
    python: str
    kernel_suite: str
    packages: tuple[str, ...] = COMMON_PACKAGES

    @property
    def suites(self) -> tuple[str, ...]:
        """The suites of Debian's archive that the image is made from."""
        return tuple(dict.fromkeys((self.codename, self.kernel_suite)))


RELEASES = {
    release.codename: release
    for release in (
        # igb's VFs and the reconnecting uplinks were proven on 6.12; bookworm itself has 6.1.
        GuestRelease(codename="bookworm", python="3.11", kernel_suite="bookworm-backports"),
        GuestRelease(
            codename="trixie",
            python="3.13",
            kernel_suite="trixie",
            packages=(*COMMON_PACKAGES, "docker-cli"),
        ),
    )
}
