"""How the daemon logs: one line an event, facts as key=value, times left to the journal that keeps them."""

from __future__ import annotations

import logging
import sys

import structlog


class _OneLine(logging.Formatter):
    """What libraries log, a traceback with it, in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as level, logger, event, what it was about and, if there is one, exception."""
        event, *traceback = super().format(record).splitlines()
        about = "".join(f" {key}={value}" for key, value in sorted(structlog.contextvars.get_contextvars().items()))
        exception = "\n".join(traceback)
        return f"{event}{about} exception={exception!r}" if traceback else f"{event}{about}"


def configure_logging(*, debug: bool) -> None:
    """Write events to standard error; below warnings, libraries are heard only when debugging."""
    level = logging.DEBUG if debug else logging.INFO
    libraries = logging.StreamHandler()
    libraries.setFormatter(_OneLine("level=%(levelname)s logger=%(name)s event=%(message)r"))
    logging.basicConfig(handlers=[libraries])
    logging.getLogger().setLevel(logging.DEBUG if debug else logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
