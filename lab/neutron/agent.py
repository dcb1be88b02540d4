"""A scripted 'NIC Switch agent': what Neutron hears from a host's SR-IOV agent, said by hand."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from oslo_config import cfg

with warnings.catch_warnings():
    # oslo.messaging still imports eventlet, whose deprecation is no news for us.
    warnings.simplefilter("ignore")
    import oslo_messaging

AGENT_TYPE = "NIC Switch agent"
EXCHANGE = "neutron"
CONTEXT = {"is_admin": True, "user_id": None, "project_id": None, "roles": ["admin"]}
ANSWER_SECONDS = 20


class ScriptedAgent:
    """Speaks for one host on the message bus; needs no device (neutron/agent/rpc.py has the real one's side)."""

    def __init__(self, transport_url: str, host: str) -> None:
        # The global CONF: oslo.messaging looks its tracing options up there.
        cfg.CONF([], default_config_files=[])
        self.host = host
        self._transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=transport_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.cleanup()

    def report(self, device_mappings: Mapping[str, Sequence[str]]) -> str:
        """Say that the agent lives and has these PFs by physical network; new, alive or revived.

        Neutron believes it for 75 s (agent_down_time).
        """
        state = {
            "agent_type": AGENT_TYPE,
            "binary": "neutron-sriov-nic-agent",
            "host": self.host,
            "topic": "N/A",
            "start_flag": True,
            "configurations": {"device_mappings": device_mappings, "devices": 0, "extensions": ["qos"]},
        }
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        answer = self._call("q-reports-plugin", "1.2", "report_state", agent_state={"agent_state": state}, time=now)
        return str(answer)

    def report_devices(self, *, up: Sequence[str] = (), down: Sequence[str] = ()) -> None:
        """Say which ports' devices are up and down now. The answer proves nothing; the port's status does."""
        self._call(
            "q-plugin",
            "1.9",
            "update_device_list",
            devices_up=list(up),
            devices_down=list(down),
            agent_id=f"nic-switch-agent.{self.host}",
            host=self.host,
            refresh_tunnels=False,
        )

    def _call(self, topic: str, version: str, method: str, **arguments: object) -> Any:  # noqa: ANN401
        target = oslo_messaging.Target(exchange=EXCHANGE, topic=topic, version=version)
        client = oslo_messaging.get_rpc_client(self._transport, target, timeout=ANSWER_SECONDS)
        return client.call(CONTEXT, method, **arguments)
