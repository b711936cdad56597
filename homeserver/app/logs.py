"""Where log lines go: standard error, for people on a terminal and as JSON elsewhere."""

import logging
import sys
from typing import Any, TextIO

import orjson
import structlog
from twisted.logger import ILogObserver, LogLevel, globalLogBeginner
from zope.interface import implementer

from config.config import LogConfig

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logs(config: LogConfig, stream: TextIO = sys.stderr) -> None:
    """Set up structlog, and lead Twisted's own lines of weight through it."""
    human = config.format == "console" or (config.format == "auto" and stream.isatty())
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if human:
        processors.append(structlog.dev.ConsoleRenderer())
        factory: Any = structlog.PrintLoggerFactory(stream)
    else:
        processors += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ]
        factory = structlog.BytesLoggerFactory(stream.buffer)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[config.level]),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    observer: Any = _FromTwisted()
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)


@implementer(ILogObserver)
class _FromTwisted:
    """Passes on what Twisted finds worth a warning."""

    def __call__(self, event: dict[str, Any]) -> None:
        level = event.get("log_level")
        if level not in (LogLevel.warn, LogLevel.error, LogLevel.critical):
            return
        failure = event.get("log_failure")
        log = structlog.get_logger("twisted")
        details = {} if failure is None else {"failure": failure.getTraceback()}
        text = event.get("log_format") or event.get("log_text") or ""
        log.error("twisted", text=str(text)[:500], namespace=event.get("log_namespace"), **details)
