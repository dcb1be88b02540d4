"""Neutron's message bus, as its 'NIC Switch agent' uses it (neutron/agent/rpc.py, neutron/plugins/ml2/rpc.py)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Queue
from typing import Any, Final

from mooring.errors import NeutronUnreachable
from mooring.messaging import Listener, library, open_transport
from mooring.neutron.api import AGENT_TYPE, REPORTED_BY, PortNews
from mooring.neutron.listener import listen
from mooring.neutron.news import EXCHANGE

_CONTEXT: Final = {"is_admin": True, "user_id": None, "project_id": None, "roles": ["admin"]}
_CLOSE_SECONDS: Final = 1.0
_Untyped = Any  # oslo.messaging has no types


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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
        self._calls: Queue[_Call | None] = Queue()
        self._worker = threading.Thread(target=self._work, name="neutron-bus", daemon=True)
        self._worker.start()
        self._listeners: list[Listener] = []

    def close(self) -> None:
        """Close the connections, without waiting for all of it: oslo.messaging takes five seconds, or for ever.

        The threads that are left behind hold no program up.
        """
        self._calls.put(None)
        for listener in self._listeners:
            listener.stop(_CLOSE_SECONDS)
        self._worker.join(_CLOSE_SECONDS)

    def listen(self, host: str, on_change: Callable[[PortNews], None]) -> None:
        """Tell ``on_change`` of changes until the bus is closed; see NeutronBus."""
        self._listeners.append(listen(self._transport_url, host, on_change))

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
                "extensions": ["qos"],
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

    def _call(self, doing: str, topic: str, version: str, method: str, **arguments: object) -> _Untyped:
        call = _Call(topic=topic, version=version, method=method, arguments=arguments)
        self._calls.put(call)
        with _bus_errors(doing, self._timeout):
            try:
                return call.answer.result(self._timeout)
            finally:
                if call.answer.cancel():
                    self._drop(call)

    def _drop(self, call: _Call) -> None:
        """Keep no call that nobody waits for any more: a broker may be away for days."""
        with self._calls.mutex, suppress(ValueError):
            self._calls.queue.remove(call)

    def _work(self) -> None:
        transport = None
        while (call := self._calls.get()) is not None:
            if not call.answer.set_running_or_notify_cancel():
                continue
            try:
                transport = transport or open_transport(self._transport_url)
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


def _send(transport: _Untyped, call: _Call, timeout: float) -> _Untyped:
    messaging = library()
    target = messaging.Target(exchange=EXCHANGE, topic=call.topic, version=call.version)
    client = messaging.get_rpc_client(transport, target, timeout=timeout, retry=1)
    return client.call(_CONTEXT, call.method, **call.arguments)
