"""oslo.messaging, loaded late and without what it does not need: the one place that does."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from typing import Any, Final

EXCHANGE: Final = "neutron"
"""Neutron's control_exchange."""

_loading: Final = threading.Lock()


def library() -> Any:  # noqa: ANN401 - oslo.messaging has no types
    """Return the module oslo_messaging; the first call takes a good part of a second."""
    with _loading:
        return sys.modules.get("oslo_messaging") or _load()


def open_transport(transport_url: str) -> Any:  # noqa: ANN401 - oslo.messaging has no types
    """Return a transport, not connected yet. Raises what oslo.messaging does for a URL that it does not understand."""
    messaging = library()
    from oslo_config import cfg  # noqa: PLC0415

    with _loading:
        # The global CONF and no other: oslo.messaging looks its tracing options up there.
        cfg.CONF([], project="mooring", default_config_files=[], default_config_dirs=[])
        transport = messaging.get_rpc_transport(cfg.CONF, url=transport_url)
        # Half a minute between tries, the default, would be half a minute in which ports of a revived cloud stay DOWN.
        if "oslo_messaging_rabbit" in cfg.CONF:
            cfg.CONF.set_override("rabbit_interval_max", 5, "oslo_messaging_rabbit")
    return transport


def _load() -> Any:  # noqa: ANN401 - oslo.messaging has no types
    """Load oslo.messaging as where eventlet is not installed, which saves 9 MB that nothing here would use.

    oslo.service would load it but for its threading backend. oslo.messaging and oslo.utils only try to, and understand
    None in sys.modules, which is how Python says that there is no such module; it is said for the moment of loading.
    """
    with warnings.catch_warnings():
        # That oslo.utils will drop its support of eventlet is no news for us.
        warnings.simplefilter("ignore")
        sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]
        try:
            from oslo_service.backend import BackendType, init_backend  # noqa: PLC0415

            init_backend(BackendType.THREADING)
            import oslo_messaging  # noqa: PLC0415
        finally:
            if sys.modules.get("eventlet") is None:
                sys.modules.pop("eventlet")
    # Each connection tells each of its tries, every few seconds; who waits for an answer tells once that there is none.
    logging.getLogger("oslo.messaging._drivers.impl_rabbit").setLevel(logging.CRITICAL)
    return oslo_messaging
