"""Neutron over REST, as mooring.neutron.api asks for it."""

from __future__ import annotations

from keystoneauth1.adapter import Adapter

from mooring.neutron.http import CallObserver, NeutronHttp
from mooring.neutron.networks import RestNetworks
from mooring.neutron.ports import RestPorts


class NeutronGateway(RestPorts, RestNetworks):
    """NeutronPorts and NeutronNetworks on a real Neutron. Safe to use from several threads at once.

    ``connect_timeout`` and ``read_timeout`` (seconds) bound every call, ``on_call`` is told of every one.
    """

    def __init__(
        self,
        adapter: Adapter,
        *,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        on_call: CallObserver | None = None,
    ) -> None:
        super().__init__(
            NeutronHttp(adapter, connect_timeout=connect_timeout, read_timeout=read_timeout, on_call=on_call)
        )
