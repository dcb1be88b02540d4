"""One cloud: RabbitMQ, Keystone and Neutron, started together and ended by their pids."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

from lab.neutron import config, environment
from lab.neutron.accounts import ACCOUNTS, DOMAIN, REGION
from lab.neutron.client import NetworkClient
from lab.neutron.environment import PROGRAMS, Environment
from lab.neutron.facts import HOST, CloudFacts
from lab.neutron.layout import Layout
from lab.process import Daemon

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
# Users of the bus first, the bus last.
DAEMONS = ("neutron", "keystone", "rabbitmq", "epmd")
# Far more than it takes: the guests may be booting, without KVM, on the same processors.
START_SECONDS = 180.0
# Both spellings are in use; a proxy of the environment knows nothing of our loopback interface.
NO_PROXY = {"NO_PROXY": HOST, "no_proxy": HOST}
BROKER_ERLANG_ARGUMENTS = "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none"


class NeutronCloud:
    """Real Neutron, Keystone and RabbitMQ in one directory, on ports of their own.

    Any object with the same directory means the same cloud, in this process or a later one. Several clouds
    may run at once. Everything listens on 127.0.0.1 only; ``GUEST_VIEW_OF_HOST`` is how guests call it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._layout = Layout(directory=self.directory)

    @property
    def facts(self) -> CloudFacts:
        """Where the services listen. Raises NotReadyError unless started."""
        return CloudFacts.read(self._layout.facts)

    @property
    def log(self) -> Path:
        """The directory of the services' logs."""
        return self._layout.log

    def install(self) -> Environment:
        """Make sure that this machine has all that a cloud needs (root, for apt); quick when it has.

        Raises HostSetupError.
        """
        return environment.install()

    def start(self) -> None:
        """Start with an empty Neutron, and return when it answers a request with a token.

        Raises ProcessError or NotReadyError with the end of the log of what failed; then nothing runs.
        """
        self.stop()
        installed = self.install()
        facts = CloudFacts.with_free_ports()
        self._prepare(installed, facts)
        try:
            self._start(installed, facts)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything by pid. Safe to repeat, and after a start that failed or was killed."""
        with ThreadPoolExecutor() as pool:
            # Consuming the results passes errors on.
            list(pool.map(lambda name: self._daemon(name).stop(), DAEMONS))
        self._layout.facts.unlink(missing_ok=True)

    def stop_broker(self) -> None:
        """Take the message bus away from a running cloud."""
        self._daemon("rabbitmq").stop()

    def start_broker(self) -> None:
        """Give it back, and return when it listens; Neutron finds it by itself, within seconds."""
        broker = self._rabbitmq(self.facts)
        broker.start()
        broker.wait_ready(_listens(self.facts.broker_port), seconds=START_SECONDS, what="listening")

    def is_running(self) -> bool:
        """Whether all four processes run."""
        return all(self._daemon(name).is_running() for name in DAEMONS)

    def client(self, user: str = "admin") -> NetworkClient:
        """A Neutron client that works as ``user``, one of ``ACCOUNTS``."""
        return NetworkClient(self.facts, ACCOUNTS[user])

    def neutron_cli_env(self, user: str = "mooring") -> dict[str, str]:
        """The environment in which the old command line works as written (``neutron net-show ...``).

        It is the caller's own, with OS_* for ``user`` and the command's directory at the head of PATH. The
        default user is one that may set --binding-profile.
        """
        account = ACCOUNTS[user]
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("OS_")},
            **NO_PROXY,
            "PATH": f"{self._layout.bin}:{os.environ['PATH']}",
            "OS_AUTH_URL": self.facts.auth_url(),
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": account.user,
            "OS_PASSWORD": account.password,
            "OS_PROJECT_NAME": account.project,
            "OS_USER_DOMAIN_ID": DOMAIN,
            "OS_PROJECT_DOMAIN_ID": DOMAIN,
            "OS_REGION_NAME": REGION,
        }

    def _prepare(self, installed: Environment, facts: CloudFacts) -> None:
        layout = self._layout
        shutil.rmtree(layout.state, ignore_errors=True)
        shutil.copytree(Layout(directory=installed.databases).state, layout.state)
        layout.make_directories()
        config.write_fernet_keys(layout)
        config.write_configs(layout, facts, installed.server / "etc" / "neutron" / "api-paste.ini")
        config.write_catalog(layout.keystone_db, facts)
        command = layout.bin / "neutron"
        # A moved environment's own scripts name the place where it was made.
        program = f"{installed.cli}/bin/python -W ignore {installed.cli}/bin/neutron"
        command.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        command.chmod(0o755)
        facts.write(layout.facts)

    def _start(self, installed: Environment, facts: CloudFacts) -> None:
        epmd = self._epmd(facts)
        epmd.start()
        # Erlang would start an epmd of its own, on every address, if it did not find this one.
        epmd.wait_ready(_listens(facts.epmd_port), seconds=START_SECONDS, what="listening")
        rabbitmq, keystone, neutron = (
            self._rabbitmq(facts),
            self._keystone(installed, facts),
            self._neutron(installed, facts),
        )
        for daemon in (rabbitmq, neutron, keystone):
            daemon.start()
        rabbitmq.wait_ready(_listens(facts.broker_port), seconds=START_SECONDS, what="listening")
        keystone.wait_ready(answers(facts.identity_port), seconds=START_SECONDS, what="answering")
        neutron.wait_ready(answers(facts.network_port), seconds=START_SECONDS, what="answering")
        # A token, its validation by Neutron, the catalog and the database: the whole chain, once.
        with self.client("mooring") as client:
            client.agents()

    def _daemon(self, name: str, *command: str, env: dict[str, str] | None = None) -> Daemon:
        return Daemon(
            name=name,
            command=command,
            log_file=self._layout.log_file(name),
            pid_file=self._layout.pid_file(name),
            env=env or {},
        )

    def _epmd(self, facts: CloudFacts) -> Daemon:
        return self._daemon("epmd", "epmd", "-address", HOST, "-port", str(facts.epmd_port))

    def _rabbitmq(self, facts: CloudFacts) -> Daemon:
        broker = self._layout.broker
        env = {
            # The home holds the Erlang cookie.
            "HOME": str(broker / "home"),
            "RABBITMQ_NODENAME": f"mooring{facts.broker_port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(broker / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(broker / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(broker / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._layout.log),
            # Standard output, which is our log file.
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(broker / "pid"),
            "RABBITMQ_DIST_PORT": str(facts.distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": BROKER_ERLANG_ARGUMENTS,
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(facts.epmd_port),
        }
        return self._daemon("rabbitmq", RABBITMQ, env=env)

    def _keystone(self, installed: Environment, facts: CloudFacts) -> Daemon:
        env = {
            "OS_KEYSTONE_CONFIG_DIR": str(self._layout.etc),
            "OS_KEYSTONE_CONFIG_FILES": self._layout.keystone_conf.name,
        }
        return self._program("keystone", installed, "serve_keystone.py", facts.identity_port, env=env)

    def _neutron(self, installed: Environment, facts: CloudFacts) -> Daemon:
        env = {
            "OS_NEUTRON_CONFIG_DIR": str(self._layout.etc),
            "OS_NEUTRON_CONFIG_FILES": "neutron.conf;ml2_conf.ini",
        }
        return self._program("neutron", installed, "serve_neutron.py", facts.network_port, facts.broker_port, env=env)

    def _program(self, name: str, installed: Environment, program: str, *ports: int, env: dict[str, str]) -> Daemon:
        command = (str(installed.python), "-W", "ignore", str(PROGRAMS / program), *map(str, ports))
        return self._daemon(name, *command, env={**NO_PROXY, **env})


def _listens(port: int) -> Callable[[], bool]:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0

    return listens


def answers(port: int) -> Callable[[], bool]:
    """Return a check whether an HTTP server answers on a port of the loopback interface, with anything but a 5xx."""

    def is_answered() -> bool:
        # Not urllib: it would ask a proxy of the environment.
        connection = http.client.HTTPConnection(HOST, port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < HTTPStatus.INTERNAL_SERVER_ERROR
        except ConnectionError:
            return False
        finally:
            connection.close()

    return is_answered
