"""serve_neutron.py PORT BROKER_PORT: Neutron's API and its ends of the message bus, in one process.

The configuration is found by OS_NEUTRON_CONFIG_DIR and OS_NEUTRON_CONFIG_FILES. The API answers only when
the message bus is listened to, so whoever gets an answer may report an agent.
"""
# The packages are in the servers' environment only.
# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator"

import socket
import sys
import time

import sqlite_tuning  # noqa: F401
import waitress
from oslo_service import backend

api_port, broker_port = int(sys.argv[1]), int(sys.argv[2])
# Neutron hands the command line to oslo.config when it is imported.
sys.argv = ["neutron-api"]
backend.init_backend(backend.BackendType.THREADING)

from neutron.wsgi.api import application  # noqa: E402
from neutron_lib.callbacks import events, registry, resources  # noqa: E402
from neutron_lib.plugins import directory  # noqa: E402

BROKER_PATIENCE = 180.0


def wait_for_broker(port: int) -> None:
    """Wait until the broker listens; oslo.messaging would try again once a second only."""
    deadline = time.monotonic() + BROKER_PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


wait_for_broker(broker_port)
# What neutron-rpc-server does in processes of its own.
directory.get_plugin().start_rpc_listeners()
registry.publish(resources.PROCESS, events.AFTER_SPAWN, None)
waitress.serve(application, host="127.0.0.1", port=api_port, threads=8, channel_timeout=300)
