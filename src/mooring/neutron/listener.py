"""Hears what Neutron's server tells all agents, over oslo.messaging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mooring.messaging import Listener
from mooring.neutron.api import PortNews
from mooring.neutron.news import EXCHANGE, METHODS, NewsEndpoint

_VERSION: Final = "1.99"
"""All calls of version 1 are understood, as of each only the subject's id is read; Neutron 29 is at 1.5."""


def listen(transport_url: str, host: str, on_change: Callable[[PortNews], None]) -> Listener:
    """Return a listener that was started; one worker, so that news is told in the order in which it came."""
    endpoint = NewsEndpoint(on_change)
    targets = (
        {"exchange": EXCHANGE, "topic": f"q-agent-notifier-{method.replace('_', '-')}", "server": host, "fanout": True}
        for method in METHODS
    )
    listener = Listener(transport_url, targets, endpoint, name="neutron-news", version=_VERSION, workers=1)
    listener.start()
    return listener
