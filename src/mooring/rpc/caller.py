"""Calls over oslo.messaging that give up by themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, Final

from mooring.errors import BusUnavailable
from mooring.messaging import library, open_transport

EXCHANGE: Final = "mooring"
VERSION: Final = "1.0"
METHOD: Final = "ask"

_CLOSE_SECONDS: Final = 1.0
# A side that works on a call says so this often; one that is not there is not waited for until the end.
_SIGN_OF_LIFE_S: Final = 30
_GRACE_S: Final = 2.0
# Calls that wait at once. Behind a broker that is away more of them would only be threads.
_AT_ONCE: Final = 128
_Untyped = Any  # oslo.messaging has no types


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Whom a message is for: any server of a topic, or one of them."""

    topic: str
    server: str | None = None


class Caller:
    """Asks over the bus. Safe to use from several threads, which do not wait for each other.

    All of oslo.messaging happens in threads of our own: it is slow to import, and while the broker is away the
    connection for replies waits for it without limit (18.3), whatever time-out it is given. So that connection is made
    by one thread at the first call, and nothing is sent before it is there: what was given up is not sent later.
    """

    def __init__(self, transport_url: str) -> None:
        """Ask nothing yet."""
        self._url = service_url(transport_url)
        self._lock = threading.Lock()
        self._is_closed = False
        self._transport: Future[_Untyped] | None = None
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def close(self) -> None:
        """Close the connections for good, without waiting long; threads that are left behind hold no program up."""
        with self._lock:
            self._is_closed = True
            transport, self._transport = self._transport, None
        if transport is None:
            return
        # One that is still being opened is closed when it is there.
        closing = _in_thread(lambda: transport.result().cleanup(), "bus-closing")
        if transport.done():
            wait([closing], timeout=_CLOSE_SECONDS)

    def ask(
        self, receiver: Receiver, doing: str, name: str, arguments: Mapping[str, Any], *, timeout_s: float
    ) -> Mapping[str, Any]:
        """Return the answer to a call; raise BusUnavailable when none comes within ``timeout_s``, and once closed."""

        def call(transport: _Untyped) -> Mapping[str, Any]:
            client = library().get_rpc_client(
                transport, _target(receiver), timeout=timeout_s, call_monitor_timeout=_SIGN_OF_LIFE_S, retry=1
            )
            answer: Mapping[str, Any] = client.call({}, METHOD, name=name, arguments=arguments)
            return answer

        reply: Mapping[str, Any] = self._bounded(doing, call, timeout_s)
        return reply

    def tell(self, receiver: Receiver, doing: str, name: str, *, timeout_s: float) -> None:
        """Send what nobody answers; raise BusUnavailable when the broker does not take it, and once closed."""

        def cast(transport: _Untyped) -> None:
            client = library().get_rpc_client(transport, _target(receiver), retry=1)
            client.cast({}, METHOD, name=name, arguments={})

        self._bounded(doing, cast, timeout_s)

    def _bounded(self, doing: str, send: Callable[[_Untyped], Any], timeout_s: float) -> Any:  # noqa: ANN401
        opening = self._opened(doing)
        try:
            transport = opening.result(timeout_s)
        except TimeoutError as exc:
            raise BusUnavailable(doing, f"no connection to the broker within {timeout_s:g} s") from exc
        except Exception as exc:
            self._forget()
            raise BusUnavailable(doing, f"{type(exc).__name__}: {exc}") from exc
        if not self._places.acquire(timeout=timeout_s):
            raise BusUnavailable(doing, "too many calls wait for an answer")

        def carry_out() -> Any:  # noqa: ANN401 - JSON
            try:
                return send(transport)
            finally:
                self._places.release()

        try:
            return _in_thread(carry_out, "bus-call").result(timeout_s + _GRACE_S)
        except TimeoutError as exc:
            raise BusUnavailable(doing, f"nothing within {timeout_s:g} s") from exc
        except Exception as exc:
            raise BusUnavailable(doing, f"{type(exc).__name__}: {exc}") from exc

    def _opened(self, doing: str) -> Future[_Untyped]:
        with self._lock:
            if self._is_closed:
                raise BusUnavailable(doing, "this end of it was closed")
            if self._transport is None:
                self._transport = _in_thread(self._open, "bus-opening")
            return self._transport

    def _open(self) -> _Untyped:
        """Return a transport whose connection for replies is there: it is made for the first call that wants one."""
        transport = open_transport(self._url)
        messaging = library()
        nobody = messaging.Target(exchange=EXCHANGE, topic="nobody", version=VERSION)
        try:
            messaging.get_rpc_client(transport, nobody, timeout=0.01, retry=1).call({}, METHOD, name="", arguments={})
        except messaging.MessagingTimeout:
            return transport
        except BaseException:
            transport.cleanup()
            raise
        return transport

    def _forget(self) -> None:
        """Open anew at the next call what could not be opened."""
        with self._lock:
            if self._transport is not None and self._transport.done():
                self._transport = None


def service_url(transport_url: str) -> str:
    """Return the transport's URL with what this service's bus needs besides.

    What is sent to a node or a controller that has gone must not pile up in its queue for ever.
    """
    if not transport_url.startswith(("rabbit:", "kombu+", "amqp:")):
        return transport_url
    return f"{transport_url}{'&' if '?' in transport_url else '?'}amqp_auto_delete=true&rabbit_interval_max=5"


def _target(receiver: Receiver) -> _Untyped:
    return library().Target(exchange=EXCHANGE, topic=receiver.topic, server=receiver.server, version=VERSION)


def _in_thread(do: Callable[[], Any], name: str) -> Future[Any]:
    """Begin in a thread that holds no program up, and return what will come of it."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(do())
        except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
            outcome.set_exception(exc)

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome
