"""What all tests share."""

from __future__ import annotations

import sys

import structlog

# Standard output is what commands print, and tests read it.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
