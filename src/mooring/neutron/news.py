"""What Neutron's server tells the agents of all hosts at once (neutron/plugins/ml2/rpc.py, AgentNotifierApi)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from mooring.neutron.api import PortNews

EXCHANGE: Final = "neutron"
"""Neutron's control_exchange."""

METHODS: Final = ("port_update", "port_delete", "network_update")
"""The calls that are heard, each of which has a topic of its own."""

log = structlog.get_logger(__name__)


class NewsEndpoint:
    """Takes the calls and hands their gist on. A call without its subject is passed over.

    ``target`` is oslo.messaging's, to be set by who listens with it: the version of the calls that are understood.
    """

    target: Any = None

    def __init__(self, on_change: Callable[[PortNews], None]) -> None:
        self._on_change = on_change

    def port_update(self, context: object, port: Mapping[str, Any] | None = None, **more: object) -> None:
        """Take that a port was bound or changed."""
        del context, more
        if port is not None:
            self._tell(PortNews(port_id=port["id"], revision=port.get("revision_number")))

    def port_delete(self, context: object, port_id: str | None = None, **more: object) -> None:
        """Take that a port was deleted."""
        del context, more
        if port_id is not None:
            self._tell(PortNews(port_id=port_id, deleted=True))

    def network_update(self, context: object, network: Mapping[str, Any] | None = None, **more: object) -> None:
        """Take that a network was changed."""
        del context, more
        if network is not None:
            self._tell(PortNews(network_id=network["id"]))

    def _tell(self, news: PortNews) -> None:
        try:
            self._on_change(news)
        except Exception:
            log.exception("neutron.news-not-taken", port=news.port_id, network=news.network_id)
