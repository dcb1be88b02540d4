"""What else runs on a host of a real cloud, started in a guest when a test asks for it.

Open vSwitch comes with the guests' image. Neutron's own agents come on a disk that is plugged in for them;
they are of the release that the lab's server is, unmodified, and run as root without sudo.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lab.cache import Cache
from lab.drives import AGENTS, agents_disk
from lab.errors import NotReadyError
from lab.guest import Guest
from lab.image import RELEASES, base_image
from lab.neutron import GUEST_VIEW_OF_HOST, NeutronCloud

SRIOV, OVS = "neutron-sriov-nic-agent", "neutron-openvswitch-agent"
AGENT_TYPES = {SRIOV: "NIC Switch agent", OVS: "Open vSwitch agent"}
# The first wants the others; each has to be waited for when they end.
OPEN_VSWITCH = ("openvswitch-switch.service", "ovs-vswitchd.service", "ovsdb-server.service")
DISK = "neutron"
HOME, CONFIG = f"/{AGENTS}", "/etc/neutron"
ENVIRONMENT = {
    "PATH": f"{HOME}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": HOME,
    "PYTHONWARNINGS": "ignore",
}
# Emulated, Neutron's imports alone take half a minute, and on a busy machine some times that. One that ends is
# noticed at once.
START_SECONDS = 600
POLL_SECONDS = 1.0


def start_open_vswitch(guest: Guest, uplinks: Mapping[str, str] | None = None) -> None:
    """Start Open vSwitch in a guest; ``uplinks`` are bridges to make, each with the interface to plug into it.

    An empty interface makes a bridge without one. Safe to repeat. Raises CommandError.
    """
    guest.run(["systemctl", "start", OPEN_VSWITCH[0]])
    for bridge, interface in (uplinks or {}).items():
        guest.run(["ovs-vsctl", "--may-exist", "add-br", bridge])
        if interface:
            guest.run(["ovs-vsctl", "--may-exist", "add-port", bridge, interface])


def stop_open_vswitch(guest: Guest) -> None:
    """Delete every bridge, br-int included, and end Open vSwitch; safe to repeat. Raises CommandError."""
    guest.run(
        "systemctl is-active --quiet ovs-vswitchd.service || exit 0; "
        f"ovs-vsctl list-br | xargs -r -n 1 ovs-vsctl del-br && systemctl stop {' '.join(OPEN_VSWITCH)}"
    )


def vf_addresses(guest: Guest) -> list[str]:
    """The PCI addresses of all VFs of a guest's PFs."""
    links = " ".join(f"/sys/bus/pci/devices/{pf.address}/virtfn*" for pf in guest.state.pfs)
    return sorted(guest.run(f"basename -a $(readlink -f {links})").stdout.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class RealAgents:
    """Neutron's own L2 agents in one guest, for the host that Neutron knows by the guest's name."""

    guest: Guest
    cloud: NeutronCloud

    def start_sriov(self, *, exclude: Collection[str] = ()) -> None:
        """Start neutron-sriov-nic-agent on the guest's PFs, anew if it runs, and return when Neutron has heard of it.

        ``exclude`` are the PCI addresses of the VFs that it must leave alone (exclude_devices).
        Raises NotReadyError with the agent's log.
        """
        pfs = self.guest.state.pfs
        mappings = ",".join(f"{pf.physical_network}:{pf.name}" for pf in pfs)
        vfs = {pf.name: [vf for vf in exclude if _bus(vf) == _bus(pf.address)] for pf in pfs}
        excluded = ",".join(f"{pf}:{';'.join(addresses)}" for pf, addresses in vfs.items() if addresses)
        self._start(
            SRIOV,
            # Its rounds are told of at that level only.
            f"""\
[DEFAULT]
debug = true

[sriov_nic]
physical_device_mappings = {mappings}
exclude_devices = {excluded}

[agent]
extensions = qos
""",
        )

    def start_ovs(self, *, bridge_mappings: Mapping[str, str]) -> None:
        """Start neutron-openvswitch-agent, anew if it runs, and return when Neutron has heard of it.

        ``bridge_mappings`` has the bridges, which ``start_open_vswitch`` makes, by physical network. Raises
        NotReadyError with the agent's log.
        """
        mappings = ",".join(f"{network}:{bridge}" for network, bridge in bridge_mappings.items())
        self._start(
            OVS,
            f"""\
[ovs]
bridge_mappings = {mappings}
ovsdb_connection = unix:/run/openvswitch/db.sock
ovsdb_timeout = 60

[agent]
extensions = qos
""",
        )

    def stop(self) -> None:
        """End both agents; safe to repeat. Neutron believes for 75 s more that they live (agent_down_time)."""
        self.guest.run(["systemctl", "stop", f"{SRIOV}.service", f"{OVS}.service"], check=False)

    def log(self, agent: str = "neutron-*") -> str:
        """What the agents, or one of them, have logged."""
        return self.guest.run(["journalctl", "-u", agent, "--no-pager", "-o", "cat"]).stdout

    def _start(self, agent: str, options: str) -> None:
        self._plug()
        files = {f"{CONFIG}/neutron.conf": self._neutron_conf(), f"{CONFIG}/{agent}.ini": options}
        for path, text in files.items():
            self.guest.run(f"cat > {path}", stdin=text)
        self.guest.run(["systemctl", "stop", agent], check=False)
        before = self._started_at(agent)
        environment = [f"--setenv={name}={value}" for name, value in ENVIRONMENT.items()]
        program = [f"{HOME}/bin/{agent}", *(f"--config-file={path}" for path in files)]
        unit = ["--quiet", "--collect", f"--unit={agent}", "--property=TimeoutStopSec=5"]
        self.guest.run(["systemd-run", *unit, *environment, *program])
        self._await_start(agent, before)

    def _await_start(self, agent: str, before: str | None) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._started_at(agent) in (None, before):
            if self.guest.run(["systemctl", "is-active", "--quiet", agent], check=False).code != 0:
                raise NotReadyError(f"{self.guest.name}: {agent} has ended\n{self.log(agent)}")
            if time.monotonic() > deadline:
                raise NotReadyError(f"{self.guest.name}: Neutron has not heard of {agent}\n{self.log(agent)}")
            time.sleep(POLL_SECONDS)

    def _started_at(self, agent: str) -> str | None:
        """When this host's agent last reported its start, as Neutron has it; None if it does not live."""
        with self.cloud.client("mooring") as neutron:
            rows = neutron.list("agent", host=self.guest.name, agent_type=AGENT_TYPES[agent])
        return next((str(row["started_at"]) for row in rows if row["alive"]), None)

    def _plug(self) -> None:
        release = self.guest.run(". /etc/os-release && echo $VERSION_CODENAME").stdout.strip()
        cache = Cache.default()
        self.guest.plug_disk(DISK, agents_disk(base_image(RELEASES[release], cache), cache))
        mount = shlex.quote(f"until mount -o ro LABEL={DISK} {HOME}; do sleep 0.2; done")
        self.guest.run(f"mkdir -p {CONFIG}; mountpoint -q {HOME} || timeout 60 sh -c {mount} 2> /dev/null")

    def _neutron_conf(self) -> str:
        return f"""\
[DEFAULT]
host = {self.guest.name}
transport_url = {self.cloud.facts.transport_url(GUEST_VIEW_OF_HOST)}
use_stderr = true

[oslo_concurrency]
lock_path = /run/neutron

[agent]
root_helper = env

[securitygroup]
firewall_driver = noop
"""


def _bus(address: str) -> str:
    return address.rpartition(":")[0]
