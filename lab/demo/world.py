"""The demo's actors: the cloud's operator on this machine, and Docker's user on each guest."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lab.demo.screen import Screen
from lab.errors import CommandError
from lab.neutron import NeutronCloud
from lab.node import MooringNode

ANSWER_SECONDS = 40
SILENCE_SECONDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of the demo, the port it was made for, and the Docker network it is on."""

    name: str
    node: MooringNode
    port: dict[str, Any]
    docker_network: str

    @property
    def address(self) -> str:
        """The port's IPv4 address."""
        return str(self.port["fixed_ips"][0]["ip_address"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended, and all that it said."""

    code: int
    output: str


class World:
    """Runs the commands that the demo shows."""

    def __init__(self, screen: Screen, cloud: NeutronCloud) -> None:
        self._screen = screen
        self._cloud = cloud

    @property
    def cloud(self) -> NeutronCloud:
        """The cloud whose users they are."""
        return self._cloud

    def shell(self, who: str, command: str, environment: Mapping[str, str], *, show: bool = True) -> Said:
        """Run a command on this machine in somebody's environment; it may fail."""
        if show:
            self._screen.command(who, command)
        done = subprocess.run(
            ["/bin/bash", "-c", command],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if show:
            # Where a command tells how far it is, what came of it is shown by what follows.
            self._screen.answer(done.stderr or done.stdout)
        return Said(code=done.returncode, output=done.stdout if done.returncode == 0 else done.stdout + done.stderr)

    def operator(self, command: str) -> str:
        """Run a command of the guide on this machine, with the cloud's credentials; show it and its answer."""
        self._screen.command("operator", command)
        done = subprocess.run(
            ["/bin/bash", "-c", command],
            env=self._cloud.neutron_cli_env(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CommandError(f"{command!r} ended with code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def docker(self, node: MooringNode, command: str) -> str:
        """Run a Docker command in a guest and show it."""
        self._screen.command(node.name, command)
        return node.guest.run(command).stdout.strip()

    def together(self, commands: list[tuple[MooringNode, str]]) -> None:
        """Run Docker commands at the same time, as impatient users do."""
        for node, command in commands:
            self._screen.command(node.name, command)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda pair: pair[0].guest.run(pair[1]), commands))

    def hears(self, one: Container, other: Container) -> bool:
        """Tell whether a container is answered by another; a VF's carrier may take some seconds at first."""
        script = f"until ping -c 1 -W 1 {other.address}; do :; done"
        asked = one.node.guest.run(
            f"timeout {ANSWER_SECONDS} docker exec {one.name} sh -c '{script}'",
            check=False,
            timeout=ANSWER_SECONDS + 20,
        )
        return asked.code == 0

    def is_silent(self, one: Container, address: str) -> bool:
        """Tell whether nobody answers a container at an address, although its own link is up."""
        script = (
            f"until grep -q 1 /sys/class/net/eth0/carrier; do sleep 0.2; done; ping -c {SILENCE_SECONDS} -W 1 {address}"
        )
        asked = one.node.guest.run(
            f"timeout {ANSWER_SECONDS} docker exec {one.name} sh -c '{script}'",
            check=False,
            timeout=ANSWER_SECONDS + 20,
        )
        return asked.code != 0 and "0 packets received" in asked.stdout
