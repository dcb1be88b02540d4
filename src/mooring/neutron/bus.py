"""Neutron's message bus, as its 'NIC Switch agent' uses it (neutron/agent/rpc.py, neutron/plugins/ml2/rpc.py)."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, Final

from mooring.errors import NeutronUnreachable
from mooring.neutron.api import AGENT_TYPE, REPORTED_BY

_EXCHANGE: Final = "neutron"
_CONTEXT: Final = {"is_admin": True, "user_id": None, "project_id": None, "roles": ["admin"]}
_CLOSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    topic: str
    version: str
    method: str
    arguments: Mapping[str, object]
    answer: Future[Any] = field(default_factory=Future)


class NeutronMessageBus:
    """NeutronBus over oslo.messaging. Safe to use from several threads; calls go out one after another.

    All of oslo.messaging happens in one thread of our own, at the first call: it is slow to import, and while the
    broker is away it waits for it without limit, whatever time-out it is given (18.3, the connection for replies). A
    caller gives up after ``timeout`` seconds in any case.
    """

    def __init__(self, transport_url: str, *, timeout: float = 20.0) -> None:
        self._transport_url = transport_url
        self._timeout = timeout
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._worker = threading.Thread(target=self._work, name="neutron-bus", daemon=True)
        self._worker.start()

    def close(self) -> None:
        """Close the connections, without waiting for all of it: oslo.messaging takes five seconds, or for ever.

        The thread that is left behind holds no program up.
        """
        self._calls.put(None)
        self._worker.join(_CLOSE_SECONDS)

    def report_agent(self, host: str, mappings: Mapping[str, tuple[str, ...]], *, started: bool) -> None:
        """Report the 'NIC Switch agent' of a host alive; see NeutronBus."""
        doing = f"reporting the agent of host {host}"
        state = {
            "agent_type": AGENT_TYPE,
            "binary": "neutron-sriov-nic-agent",
            "host": host,
            "topic": "N/A",
            "start_flag": started,
            "configurations": {
                "device_mappings": {network: list(names) for network, names in mappings.items()},
                "devices": 0,
                "extensions": [],
                **REPORTED_BY,
            },
        }
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        answer = self._call(
            doing, "q-reports-plugin", "1.2", "report_state", agent_state={"agent_state": state}, time=now
        )
        if answer is None:
            raise NeutronUnreachable(doing, "it drops reports from before its own start; are the clocks in step?")

    def report_devices(self, host: str, *, up: Iterable[str] = (), down: Iterable[str] = ()) -> None:
        """Report ports as wired or not; see NeutronBus."""
        self._call(
            f"reporting devices of host {host}",
            "q-plugin",
            "1.5",
            "update_device_list",
            devices_up=list(up),
            devices_down=list(down),
            agent_id=f"mooring.{host}",
            host=host,
        )

    def _call(self, doing: str, topic: str, version: str, method: str, **arguments: object) -> Any:  # noqa: ANN401
        call = _Call(topic=topic, version=version, method=method, arguments=arguments)
        self._calls.put(call)
        with _bus_errors(doing, self._timeout):
            try:
                return call.answer.result(self._timeout)
            finally:
                # What nobody waits for any more is not sent.
                call.answer.cancel()

    def _work(self) -> None:
        transport = None
        while (call := self._calls.get()) is not None:
            if not call.answer.set_running_or_notify_cancel():
                continue
            try:
                transport = transport or _open(self._transport_url)
                call.answer.set_result(_send(transport, call, self._timeout))
            except Exception as exc:  # noqa: BLE001 - raised again in the thread that called
                call.answer.set_exception(exc)
        if transport is not None:
            transport.cleanup()


@contextmanager
def _bus_errors(doing: str, timeout: float) -> Iterator[None]:
    """Turn whatever oslo.messaging, kombu, amqp and the socket raise into ours."""
    try:
        yield
    except TimeoutError as exc:
        raise NeutronUnreachable(doing, f"no answer on the message bus within {timeout:g} s") from exc
    except Exception as exc:
        raise NeutronUnreachable(doing, f"message bus: {type(exc).__name__}: {exc}") from exc


def _open(transport_url: str) -> Any:  # noqa: ANN401
    from oslo_config import cfg  # noqa: PLC0415

    with warnings.catch_warnings():
        # oslo.messaging still imports eventlet, whose deprecation is no news for us.
        warnings.simplefilter("ignore")
        import oslo_messaging  # noqa: PLC0415

    # The global CONF and no other: oslo.messaging looks its tracing options up there.
    cfg.CONF([], project="mooring", default_config_files=[], default_config_dirs=[])
    transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=transport_url)
    # Half a minute between tries, the default, would be half a minute in which ports of a revived cloud stay DOWN.
    if "oslo_messaging_rabbit" in cfg.CONF:
        cfg.CONF.set_override("rabbit_interval_max", 5, "oslo_messaging_rabbit")
    return transport


def _send(transport: Any, call: _Call, timeout: float) -> Any:  # noqa: ANN401
    import oslo_messaging  # noqa: PLC0415

    target = oslo_messaging.Target(exchange=_EXCHANGE, topic=call.topic, version=call.version)
    client = oslo_messaging.get_rpc_client(transport, target, timeout=timeout, retry=1)
    return client.call(_CONTEXT, call.method, **call.arguments)
