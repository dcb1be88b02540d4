"""What others must know of a running cloud, as one value that travels as JSON."""

from __future__ import annotations

import json
import random
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import NotReadyError
from lab.neutron.accounts import BROKER_USER, LAB_PASSWORD

HOST = "127.0.0.1"
# QEMU's user-mode network maps this address to the loopback interface of the host.
GUEST_VIEW_OF_HOST = "10.0.2.2"
PHYSICAL_NETWORKS = ("physnet1", "physnet2")
VLAN_RANGE = (100, 199)
SERVICE_VIRTUAL_HOST = "mooring"
"""Where on the broker mooring's controllers and nodes meet."""
# Below the kernel's usual range of ephemeral ports, so that no outgoing connection takes a port we chose.
PORT_RANGE = range(20000, 32768)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFacts:
    """Where a cloud's services listen (TCP ports of 127.0.0.1).

    ``container_port`` is kept for mooring's service, whose address is in the catalog before it runs.
    """

    identity_port: int
    network_port: int
    broker_port: int
    distribution_port: int
    epmd_port: int
    container_port: int

    @classmethod
    def with_free_ports(cls) -> CloudFacts:
        """Six ports that nobody listens on now."""
        identity, network, broker, distribution, epmd, container = free_ports(6)
        return cls(
            identity_port=identity,
            network_port=network,
            broker_port=broker,
            distribution_port=distribution,
            epmd_port=epmd,
            container_port=container,
        )

    @classmethod
    def read(cls, path: Path) -> CloudFacts:
        """The facts in a file that ``write`` made. Raises NotReadyError if there is none."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError as exc:
            raise NotReadyError(f"no cloud runs here: {path} does not exist; start one first") from exc

    def write(self, path: Path) -> None:
        """Write the facts as JSON; a reader sees all of them or the old ones."""
        unfinished = path.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n")
        unfinished.replace(path)

    def auth_url(self, host: str = HOST) -> str:
        """Keystone's v3 address as seen from where the host is called ``host``."""
        return f"http://{host}:{self.identity_port}/v3"

    def network_url(self, host: str = HOST) -> str:
        """Neutron's address, without a version, as seen from where the host is called ``host``."""
        return f"http://{host}:{self.network_port}"

    def transport_url(self, host: str = HOST) -> str:
        """The message bus, in oslo.messaging's form, as seen from where the host is called ``host``."""
        return f"rabbit://{BROKER_USER}:{LAB_PASSWORD}@{host}:{self.broker_port}/"

    def container_url(self, host: str = HOST) -> str:
        """The address of mooring's service as seen from where the host is called ``host``."""
        return f"http://{host}:{self.container_port}/v1"

    def service_transport_url(self, host: str = HOST) -> str:
        """The bus of mooring's controllers and nodes, in a virtual host of its own."""
        return f"{self.transport_url(host)}{SERVICE_VIRTUAL_HOST}"


def free_ports(count: int) -> list[int]:
    """Return as many TCP ports of the loopback interface as asked for, on which nobody listens now."""
    free: list[int] = []
    for port in random.sample(PORT_RANGE, k=len(PORT_RANGE)):
        if len(free) == count:
            break
        with socket.socket() as probe:
            # Without this a port in TIME_WAIT looks taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        free.append(port)
    return free
