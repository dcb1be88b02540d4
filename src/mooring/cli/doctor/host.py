"""The host around the cards: what might interfere, and what must be there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mooring.cli.doctor.verdicts import Verdict, well, wrong
from mooring.errors import SwitchRefused
from mooring.host.facts import filesystem_of, listening_sockets, runs
from mooring.host.virtual import Switch

_RULE_DIRECTORIES = ("etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d")
_LINK_DIRECTORIES = (
    "etc/systemd/network",
    "run/systemd/network",
    "usr/local/lib/systemd/network",
    "usr/lib/systemd/network",
)
_UNIT_DIRECTORIES = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system")
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "afs")
_VOLATILE = ("tmpfs", "ramfs")
_UNIT = "mooring-node.socket"


def udev_rules(root: Path) -> Iterator[Verdict]:
    """Look for mooring's udev rule and link file, without which udev renames VFs and gives them MAC addresses."""
    for check, directories, suffix, target in (
        ("udev rule", _RULE_DIRECTORIES, ".rules", "etc/udev/rules.d"),
        ("udev link file", _LINK_DIRECTORIES, ".link", "etc/systemd/network"),
    ):
        file = _file_with(root, directories, suffix, "MOORING_VF")
        name = f"packaging/udev/70-mooring{suffix}"
        yield (
            well(check, f"/{file.relative_to(root)}")
            if file
            else wrong(check, "not installed", f"copy {name} to /{target} and run 'udevadm control --reload'")
        )


def network_manager(root: Path) -> Verdict:
    """Look for a NetworkManager that would bring returning VFs up and ask for DHCP on them."""
    check = "NetworkManager"
    if not runs(root, "NetworkManager"):
        return well(check, "not running")
    if _file_with(root, _RULE_DIRECTORIES, ".rules", "NM_UNMANAGED"):
        return well(check, "running, and told by udev to leave VFs alone")
    return wrong(
        check,
        "running, and nothing tells it to leave VFs alone",
        "copy packaging/udev/70-mooring.rules to /etc/udev/rules.d and run 'udevadm control --reload'",
    )


def socket_unit(root: Path, plugin_socket: Path) -> Iterator[Verdict]:
    """Look whether systemd holds the plugin's socket, so that Docker's calls wait while the daemon restarts."""
    if not (root / "run/systemd/system").is_dir():
        yield well("systemd", "not on this host; whatever starts the daemon must start it before Docker")
        return
    wants = [path for directory in _UNIT_DIRECTORIES for path in (root / directory).glob(f"*.wants/{_UNIT}")]
    if wants:
        yield well("socket unit", "enabled")
    else:
        yield wrong("socket unit", f"{_UNIT} is not enabled", f"systemctl enable --now {_UNIT} mooring-node.service")
    if plugin_socket.resolve() in {path.resolve() for path in listening_sockets(root)}:
        yield well("plugin socket", f"{plugin_socket} is listened on")
    else:
        remedy = f"systemctl start {_UNIT}; ListenStream= in it and [DEFAULT] plugin_socket must be the same"
        yield wrong("plugin socket", f"nobody listens on {plugin_socket}", remedy)


def state_dir(root: Path, path: Path, *, writable: Callable[[Path], bool] = lambda p: os.access(p, os.W_OK)) -> Verdict:
    """Look whether the journal is on a local disk that outlives a reboot, and can be written."""
    check = "state_dir"
    place = next(parent for parent in (path, *path.parents) if parent.exists())
    kind = filesystem_of(root, place)
    if kind in _REMOTE or kind in _VOLATILE:
        told = "is emptied at boot" if kind in _VOLATILE else "is on another machine"
        return wrong(
            check, f"{path} is on {kind}, which {told}", "set [DEFAULT] state_dir to a directory on a local disk"
        )
    if not writable(place):
        return wrong(check, f"{place} cannot be written", "run as root; is its disk mounted read-only?")
    return well(check, f"{path} on {kind}")


def clock(*, is_synchronised: bool) -> Verdict:
    """Say whether anything keeps the clock right. Where nothing seems to, that is a hint: it may be right all the same.

    Neutron drops an agent's reports that seem to come from before its own start.
    """
    if is_synchronised:
        return well("clock", "kept in step")
    return well(
        "clock", "nothing is known to keep it in step; Neutron drops reports from a clock that is behind its own"
    )


def switch_answers(switch: Switch, *, needed: bool) -> Verdict:
    """Ask Open vSwitch what is plugged in, where normal ports are served."""
    check = "Open vSwitch"
    if not needed:
        return well(check, "not needed: enabled_port_drivers has no veth")
    try:
        plugged = switch.plugged()
    except SwitchRefused as exc:
        remedy = "systemctl start openvswitch-switch; without normal ports on it, take veth from enabled_port_drivers"
        return wrong(check, str(exc), remedy)
    return well(check, f"answers, and has {len(plugged)} ports of Neutron's")


def _file_with(root: Path, directories: Iterable[str], suffix: str, word: str) -> Path | None:
    """Return the first file of a kind in which a word stands outside comments."""
    for directory in directories:
        for file in sorted((root / directory).glob(f"*{suffix}")):
            lines = file.read_text(errors="replace").splitlines()
            if any(word in line for line in lines if not line.lstrip().startswith("#")):
                return file
    return None
