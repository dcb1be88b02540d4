"""The host's Open vSwitch, by its ovs-vsctl (ovs-vsctl(8), ovs-vswitchd.conf.db(5))."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping

from mooring.errors import SwitchRefused

_SECONDS = 5
_GRACE_SECONDS = 5  # for ovs-vsctl to end itself
_REMEDIES = {
    "no bridge named": "the L2 agent or ovn-controller makes its bridges; is it running here?",
    "database connection failed": "start Open vSwitch (openvswitch-switch.service)",
}  # by what ovs-vsctl says


class OpenVSwitch:
    """Switch, kept by the Open vSwitch database of this host. Stateless, so it may be shared between threads.

    A change is in the database before ovs-vswitchd has followed it, so what was refused for its silence may yet happen.
    ``database`` is where to find it, for example ``unix:/run/openvswitch/db.sock``; None is ovs-vsctl's own default.
    """

    def __init__(self, database: str | None = None) -> None:
        self._command = ["ovs-vsctl", f"--timeout={_SECONDS}", *([f"--db={database}"] if database else [])]

    def plug(self, bridge: str, name: str, external_ids: Mapping[str, str]) -> None:
        """Make the interface a port of the bridge, with these external ids."""
        doing = f"plugging {name} into {bridge}"
        ids = [f"external_ids:{key}={json.dumps(value)}" for key, value in external_ids.items()]
        # Made anew, or the interface of a port that an earlier attempt left might be one that has died since.
        away, add = ["--if-exists", "del-port", bridge, name], ["add-port", bridge, name]
        self._run(doing, *away, "--", *add, "--", "set", "Interface", name, *ids)
        # A port whose interface it cannot open is taken, too.
        if problem := self._run(doing, "--if-exists", "get", "Interface", name, "error").strip().strip('[]"'):
            raise SwitchRefused(doing, problem)

    def unplug(self, name: str) -> None:
        """Take the port from whichever bridge has it."""
        self._run(f"unplugging {name}", "--if-exists", "del-port", name)

    def plugged(self) -> Mapping[str, str]:
        """Return the ``iface-id`` of each interface that has one, by the interface's name."""
        told = self._run("listing interfaces", "--format=json", "--columns=name,external_ids", "list", "Interface")
        ids = {name: dict(external_ids) for name, (_, external_ids) in json.loads(told or '{"data": []}')["data"]}
        return {name: found["iface-id"] for name, found in ids.items() if "iface-id" in found}

    def _run(self, doing: str, *words: str) -> str:
        try:
            done = subprocess.run(
                [*self._command, *words],
                check=False,
                capture_output=True,
                text=True,
                timeout=_SECONDS + _GRACE_SECONDS,
            )
        except FileNotFoundError as exc:
            raise SwitchRefused(doing, "there is no ovs-vsctl here; install Open vSwitch (openvswitch-switch)") from exc
        except subprocess.TimeoutExpired as exc:
            raise SwitchRefused(doing, f"ovs-vsctl did not end within {exc.timeout:.0f} s") from exc
        if done.returncode != 0:
            raise SwitchRefused(doing, _explain(done))
        return done.stdout


def _explain(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == -signal.SIGALRM:
        return f"it did not answer within {_SECONDS} s; is ovs-vswitchd running?"
    said = done.stderr.strip().splitlines()
    problem = said[-1].removeprefix("ovs-vsctl: ") if said else f"ovs-vsctl ended with code {done.returncode}"
    remedy = next((remedy for phrase, remedy in _REMEDIES.items() if phrase in problem), "")
    return f"{problem}; {remedy}" if remedy else problem
