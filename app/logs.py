"""Log lines: one JSON object or one line of text each, on standard output.

Every line, Gunicorn's included, goes through one handler and carries the id of the request
it belongs to. Control characters in data from outside are always escaped.
"""

import logging
from contextvars import ContextVar
from typing import Any

from app.printable import escape

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
}


class RequestIdFilter(logging.Filter):
    """Puts the current request's id on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        record.request_id = request_id.get()
        return True


class TextFormatter(logging.Formatter):
    """Lines for a person at a terminal: date and time, level, message, the other members."""

    default_time_format = "%Y-%m-%d %H:%M:%S"
    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a traceback is indented, so that none of it can pass for a log line."""
        line, *traceback = super().format(record).split("\n")
        return "\n".join([line, *(f"  {escape(each)}" for each in traceback)])

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line without a traceback."""
        members = {
            name: value
            for name, value in vars(record).items()
            if name not in _STANDARD_ATTRIBUTES and value is not None
        }
        line = " ".join(
            [
                f"{self.formatTime(record)} {record.levelname.lower():7} {record.message}",
                *(f"{name}={value}" for name, value in members.items()),
            ]
        )
        return escape(line)


def log_config(level: str, line_format: str) -> dict[str, Any]:
    """Return a `logging.config` dictionary; `level` in lower case, `line_format` json or text."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": RequestIdFilter}},
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": ["levelname", "name", "message", "request_id"],
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": True,
            },
            "text": {"()": TextFormatter},
        },
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": line_format,
                "filters": ["request_id"],
            }
        },
        "root": {"level": level.upper(), "handlers": ["stdout"]},
        "loggers": {
            "gunicorn.error": {"level": level.upper(), "handlers": [], "propagate": True},
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
            "alembic": {"level": "WARNING"},
        },
    }
