"""serve_keystone.py PORT: Keystone's API on the loopback interface.

The configuration is found by OS_KEYSTONE_CONFIG_DIR and OS_KEYSTONE_CONFIG_FILES.
"""
# The packages are in the servers' environment only.
# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator"

import sys

import sqlite_tuning  # noqa: F401
import waitress

port = int(sys.argv[1])
# Keystone hands the command line to oslo.config when it is imported.
sys.argv = ["keystone"]

from keystone.wsgi.api import application  # noqa: E402

waitress.serve(application, host="127.0.0.1", port=port, threads=8)
