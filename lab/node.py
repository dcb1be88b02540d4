"""Mooring in a guest: its configuration, its service, and what its own commands say."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from lab.errors import NotReadyError
from lab.guest import Guest
from lab.neutron import GUEST_VIEW_OF_HOST, NeutronCloud
from lab.neutron.accounts import ACCOUNTS, DOMAIN
from lab.state import PROJECT

# As the SR-IOV guide of kuryr-libnetwork writes it.
KURYR_CONF = """\
[DEFAULT]
enabled_port_drivers = kuryr_libnetwork.port_driver.drivers.veth, kuryr_libnetwork.port_driver.drivers.sriov

[binding]
enabled_drivers = kuryr.lib.binding.drivers.veth, kuryr.lib.binding.drivers.hw_veb
"""
UNIT = "mooring-node.service"
SOCKET_UNIT = "mooring-node.socket"
START_SECONDS = 120
POLL_SECONDS = 0.2
PACKAGED = {
    "systemd/mooring-node.service": f"/etc/systemd/system/{UNIT}",
    "systemd/mooring-node.socket": f"/etc/systemd/system/{SOCKET_UNIT}",
    "udev/70-mooring.rules": "/etc/udev/rules.d/70-mooring.rules",
    "udev/70-mooring.link": "/etc/systemd/network/70-mooring.link",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MooringNode:
    """The daemon in one guest, and the cloud it serves; ``in_service`` if it runs containers of the service, too."""

    guest: Guest
    cloud: NeutronCloud
    in_service: bool = False

    @property
    def name(self) -> str:
        """The guest's name, which is also the host name that Neutron knows."""
        return self.guest.name

    def configure(self) -> None:
        """Install the service and write kuryr.conf as the guide has it, and mooring.conf with what it leaves out."""
        self.guest.run("mkdir -p /etc/mooring /etc/kuryr /etc/udev/rules.d /etc/systemd/network")
        self.write("/etc/kuryr/kuryr.conf", KURYR_CONF)
        self.write("/etc/mooring/mooring.conf", self._mooring_conf())
        for source, target in PACKAGED.items():
            self.write(target, (PROJECT / "packaging" / source).read_text())
        self.guest.run("udevadm control --reload && systemctl daemon-reload")
        self.guest.run(f"systemctl enable --quiet {UNIT} {SOCKET_UNIT} && systemctl start {SOCKET_UNIT}")

    def start(self) -> None:
        """Start the service and wait until Neutron knows that this host can bind ports. Raises NotReadyError."""
        self.guest.run(["systemctl", "start", UNIT], timeout=START_SECONDS)
        deadline = time.monotonic() + START_SECONDS
        with self.cloud.client("mooring") as neutron:
            while not any(agent["host"] == self.name and agent["alive"] for agent in neutron.agents()):
                if time.monotonic() > deadline:
                    raise NotReadyError(f"{self.name}: Neutron has no live agent of this host\n{self.log()}")
                time.sleep(POLL_SECONDS)

    def restart(self) -> None:
        """Have the service read its configuration anew; see ``start``."""
        self.guest.run(["systemctl", "restart", UNIT], timeout=START_SECONDS)
        self.start()

    def stop(self) -> None:
        """Stop the service; Docker's next call of the plugin starts it again."""
        self.guest.run(["systemctl", "stop", UNIT])

    def log(self) -> str:
        """What the daemon has logged."""
        return self.guest.run(["journalctl", "-u", UNIT, "--no-pager", "-o", "cat"]).stdout

    def vfs(self) -> list[dict[str, str]]:
        """The VFs that ``mooring pci list`` shows."""
        return [row for row in self._listing("mooring pci list --format json") if row["type"] == "VF"]

    def leases(self) -> list[dict[str, str]]:
        """The rows of ``mooring leases``."""
        return self._listing("mooring leases --format json")

    def write(self, path: str, text: str) -> None:
        """Write a file in the guest."""
        self.guest.run(f"cat > {path}", stdin=text)

    def _listing(self, command: str) -> list[dict[str, str]]:
        rows: list[dict[str, Any]] = json.loads(self.guest.run(command).stdout)
        return rows

    def _mooring_conf(self) -> str:
        account = ACCOUNTS["mooring"]
        specs = "\n".join(
            "device_spec = "
            + json.dumps({"devname": pf.name, "physical_network": pf.physical_network, "trusted": "true"})
            for pf in self.guest.state.pfs
        )
        facts = self.cloud.facts
        bus = f"transport_url = {facts.service_transport_url(GUEST_VIEW_OF_HOST)}\n" if self.in_service else ""
        return f"""\
[DEFAULT]
host = {self.name}
{bus}
[pci]
{specs}

[neutron]
auth_type = password
auth_url = {facts.auth_url(GUEST_VIEW_OF_HOST)}
username = {account.user}
password = {account.password}
project_name = {account.project}
user_domain_id = {DOMAIN}
project_domain_id = {DOMAIN}
region_name = RegionOne
valid_interfaces = internal
transport_url = {facts.transport_url(GUEST_VIEW_OF_HOST)}
"""
