"""Mooring's container service beside the lab's cloud: controllers on this machine, nodes in the guests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import CommandError
from lab.neutron import NeutronCloud
from lab.neutron.accounts import ACCOUNTS, DOMAIN, REGION, Account
from lab.neutron.cloud import NO_PROXY, START_SECONDS, answers
from lab.neutron.facts import HOST, free_ports
from lab.process import Daemon

MOORING = (sys.executable, "-m", "mooring")


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """One of the service's controllers; the first one listens where Keystone's catalog says."""

    name: str
    port: int
    metrics_port: int
    daemon: Daemon

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://{HOST}:{self.port}/v1"


class ContainerService:
    """Controllers on a database, with the cloud's Keystone, Neutron and broker; all on the loopback interface."""

    def __init__(
        self,
        cloud: NeutronCloud,
        directory: Path,
        database_url: str,
        *,
        controllers: int = 1,
        programs: Sequence[Sequence[str]] = (),
    ) -> None:
        """``programs`` are what is run in place of mooring, for a controller each: the last ones."""
        self._cloud = cloud
        self._directory = directory.absolute()
        self._database_url = database_url
        ports = [cloud.facts.container_port, *free_ports(2 * controllers - 1)]
        all_programs = [MOORING] * (controllers - len(programs)) + [*programs]
        self.controllers = tuple(
            self._controller(f"controller{number + 1}", program, ports[2 * number], ports[2 * number + 1])
            for number, program in enumerate(all_programs)
        )
        for controller in self.controllers:
            self._write_conf(controller)

    def start(self) -> None:
        """Make the database's tables and start every controller; returns when all answer. Raises LabError."""
        self._mooring("db", "upgrade")
        for controller in self.controllers:
            controller.daemon.start()
        for controller in self.controllers:
            controller.daemon.wait_ready(answers(controller.port), seconds=START_SECONDS, what="answering")

    def stop(self) -> None:
        """End every controller by its pid. Safe to repeat."""
        for controller in self.controllers:
            controller.daemon.stop()

    def shown_configuration(self) -> str:
        """What the first controller reads of the specification's options; the rest names addresses and passwords."""
        text = self._conf(self.controllers[0].name).read_text()
        return text[text.index("[scheduler]") : text.index("[keystone_authtoken]")].strip()

    def client_environment(self, user: str) -> dict[str, str]:
        """The environment in which ``mooring`` and ``openstack`` speak as ``user``, one of ``ACCOUNTS``."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OS_", "MOORING_"))},
            **NO_PROXY,
            **_credentials(ACCOUNTS[user], self._cloud.facts.auth_url()),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def _mooring(self, *words: str) -> str:
        command = [*MOORING, "--config-file", str(self._conf(self.controllers[0].name)), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandError(
                f"mooring {' '.join(words)} ended with code {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def _controller(self, name: str, program: Sequence[str], port: int, metrics_port: int) -> Controller:
        daemon = Daemon(
            name=name,
            command=(*program, "--config-file", str(self._conf(name)), "controller"),
            log_file=self._directory / "log" / f"{name}.log",
            pid_file=self._directory / "run" / f"{name}.pid",
            env=NO_PROXY,
        )
        return Controller(name=name, port=port, metrics_port=metrics_port, daemon=daemon)

    def _conf(self, name: str) -> Path:
        return self._directory / "etc" / f"{name}.conf"

    def _write_conf(self, controller: Controller) -> None:
        account, facts = ACCOUNTS["mooring"], self._cloud.facts
        path = self._conf(controller.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(f"""\
[DEFAULT]
state_dir = {self._directory / "state"}
transport_url = {facts.service_transport_url()}

[api]
host_ip = {HOST}
port = {controller.port}

[controller]
metrics_address = {HOST}:{controller.metrics_port}

[database]
connection = {self._database_url}

[scheduler]
enabled_filters = AvailabilityZoneFilter, ComputeFilter, RuntimeFilter, PciPassthroughFilter

[pci]
alias = {{"name": "nic", "vendor_id": "8086", "product_id": "10ca", "device_type": "VF"}}

[keystone_authtoken]
www_authenticate_uri = {facts.auth_url()}
auth_type = password
auth_url = {facts.auth_url()}
username = {account.user}
password = {account.password}
project_name = {account.project}
user_domain_id = {DOMAIN}
project_domain_id = {DOMAIN}
region_name = {REGION}
interface = public
service_token_roles_required = true

[neutron]
auth_section = keystone_authtoken
region_name = {REGION}
transport_url = {facts.transport_url()}
default_vnic_type = direct
""")


def _credentials(account: Account, auth_url: str) -> dict[str, str]:
    return {
        "OS_AUTH_URL": auth_url,
        "OS_IDENTITY_API_VERSION": "3",
        "OS_USERNAME": account.user,
        "OS_PASSWORD": account.password,
        "OS_PROJECT_NAME": account.project,
        "OS_USER_DOMAIN_ID": DOMAIN,
        "OS_PROJECT_DOMAIN_ID": DOMAIN,
        "OS_REGION_NAME": REGION,
    }
