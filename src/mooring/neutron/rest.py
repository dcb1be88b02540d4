"""Neutron over REST, as mooring.neutron.api asks for it."""

from __future__ import annotations

from keystoneauth1.adapter import Adapter

from mooring.neutron.http import CallObserver, NeutronHttp
from mooring.neutron.networks import RestNetworks
from mooring.neutron.ports import RestPorts


class NeutronGateway(RestPorts, RestNetworks):
    """NeutronPorts and NeutronNetworks on a real Neutron. Safe to use from several threads at once.

    Every answer is waited for at most ``read_timeout`` seconds; ``on_call`` is told of every call.
    """

    def __init__(self, adapter: Adapter, *, read_timeout: float = 30.0, on_call: CallObserver | None = None) -> None:
        super().__init__(NeutronHttp(adapter, read_timeout=read_timeout, on_call=on_call))
