"""Docker: whether it answers, finds mooring, and finds nobody else in mooring's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from mooring.cli.doctor.verdicts import Verdict, well, wrong
from mooring.errors import EngineUnreachable, NodeUnreachable, OperationRefused
from mooring.host.facts import runs
from mooring.node.docker import PLUGIN_DIRECTORIES, EngineFacts, find_plugin

_INTERFACES = {"NetworkDriver", "IpamDriver"}
_KURYR = ("kuryr-server", "kuryr-libnetwork")


class Engine(Protocol):
    """The container engine, asked what it is."""

    def facts(self) -> EngineFacts:
        """Return what the engine says of itself; raise EngineUnreachable when it does not answer."""
        ...


def docker(engine: Engine, *, needs_cdi: bool) -> Iterator[Verdict]:
    """Ask the engine which it is, and whether it can give containers VFs for programs."""
    try:
        facts = engine.facts()
    except EngineUnreachable as exc:
        yield wrong("Docker", str(exc), "systemctl start docker, or set [DEFAULT] docker_url")
        return
    cdi = f"CDI specs from {', '.join(facts.cdi_directories)}" if facts.cdi_directories else "no CDI"
    yield well("Docker", f"{facts.version} (API {facts.api_version}), {cdi}")
    if needs_cdi and not facts.cdi_directories:
        yield wrong(
            "Docker's CDI",
            "off, but the device spec has VFs that containers are given through it",
            'use Docker 28.2 or later, or 25 and later with {"features": {"cdi": true}} in /etc/docker/daemon.json',
        )


def plugin_found(plugin_socket: Path, directories: tuple[str, ...] = PLUGIN_DIRECTORIES) -> Iterator[Verdict]:
    """Look where Docker looks for a plugin of our name."""
    check, name = "plugin directory", plugin_socket.stem
    found = find_plugin(plugin_socket, directories)
    if found is None:
        remedy = f"start mooring, or set [DEFAULT] plugin_socket to {directories[0]}/{name}.sock"
        yield wrong(check, f"Docker finds no plugin called {name}", remedy)
    elif Path(found).resolve() == plugin_socket.resolve():
        yield well(check, f"Docker finds {found}")
    else:
        yield wrong(check, f"Docker finds {found} instead of {plugin_socket}", "remove that one")
    for directory in directories[1:]:
        for path in (*Path(directory).glob(f"{name}.*"), *Path(directory).glob(f"{name}/{name}.*")):
            if path.suffix in (".spec", ".json"):
                told = f"{path} names another plugin {name}, which Docker takes whenever the socket is not there"
                yield wrong("other plugin", told, f"rm {path}")


def plugin_answers(plugin_socket: Path, call: Callable[[Path, str], dict[str, Any]]) -> Verdict:
    """Ask the daemon what Docker asks it first."""
    check = "daemon"
    try:
        implements = call(plugin_socket, "Plugin.Activate").get("Implements")
    except (NodeUnreachable, OperationRefused) as exc:
        return wrong(
            check, str(exc), "systemctl start mooring-node; journalctl -u mooring-node says why it does not run"
        )
    if not set(implements or ()) >= _INTERFACES:
        return wrong(
            check, f"who answers on {plugin_socket} implements {implements}", "stop it, and start mooring-node"
        )
    return well(check, f"answers on {plugin_socket}")


def kuryr(root: Path) -> Verdict:
    """Look for kuryr-libnetwork, which would serve Docker in mooring's place."""
    if runs(root, *_KURYR):
        remedy = "systemctl disable --now kuryr-libnetwork, or give mooring another [DEFAULT] plugin_socket"
        return wrong("kuryr-libnetwork", "it runs on this host", remedy)
    return well("kuryr-libnetwork", "not running")
