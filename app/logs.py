"""Log lines: one JSON object or one line of text each, on standard output.

Every line, Gunicorn's included, goes through one handler and carries the id of the request
it belongs to. Control characters in data from outside are always escaped. A line has at most
LONGEST_LINE bytes with its end, so that it gets into a pipe whole; what is cut has an ellipsis.
"""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from json import JSONEncoder
from types import NoneType
from typing import Any

from app.log_output import NeverWaiting
from app.printable import escape

LONGEST_LINE = 4096
LONGEST_MEMBER = 512
_LONGEST_TRACEBACK = 2048
_ELLIPSIS = "…"

_BRIEF = (NoneType, bool, int, float)
_encode = JSONEncoder(default=str).encode

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


class JsonLines(logging.Formatter):
    """Lines for programs: one JSON object each."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, with its members cut until it is short enough."""
        members = {
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", None),
        }
        if record.exc_info:
            members["exc_info"] = self.formatException(record.exc_info)
        if record.stack_info:
            members["stack_info"] = self.formatStack(record.stack_info)
        for name, value in vars(record).items():
            if name not in _STANDARD_ATTRIBUTES and name not in members:
                members[name] = value
        members["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat()
        line = _encode(members)
        texts = [value for value in members.values() if not isinstance(value, _BRIEF)]
        is_short = len(line) < LONGEST_LINE and max(map(len, map(str, texts))) <= LONGEST_MEMBER
        return line if is_short else _cut_line(members)


def _cut_line(members: Mapping[str, object]) -> str:
    most, line = LONGEST_MEMBER, ""
    while most:
        shorter = {name: _cut_value(name, value, most) for name, value in members.items()}
        line = _encode(shorter)
        if len(line) < LONGEST_LINE:  # all of it is ASCII
            return line
        most = most * 3 // 4
    return line


class TextFormatter(logging.Formatter):
    """Lines for a person at a terminal: date and time, level, message, the other members."""

    default_time_format = "%Y-%m-%d %H:%M:%S"
    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a traceback is indented, so that none of it can pass for a log line."""
        line, *traceback = super().format(record).split("\n")
        lines = "\n".join([line, *(f"  {escape(each)}" for each in traceback)])
        return _cut_middle(lines, LONGEST_LINE - 1)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line without a traceback."""
        message = _cut(record.message, LONGEST_MEMBER)
        members = {
            name: value
            for name, value in vars(record).items()
            if name not in _STANDARD_ATTRIBUTES and value is not None
        }
        line = " ".join(
            [
                f"{self.formatTime(record)} {record.levelname.lower():7} {message}",
                *(f"{name}={_cut(str(value), LONGEST_MEMBER)}" for name, value in members.items()),
            ]
        )
        return escape(line)


def _cut_value(name: str, value: object, most: int) -> object:
    if isinstance(value, _BRIEF):
        return value
    if name in {"exc_info", "stack_info"}:
        return _cut_middle(str(value), _LONGEST_TRACEBACK * most // LONGEST_MEMBER)
    text = str(value)
    return value if len(text) <= most else _cut(text, most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + _ELLIPSIS


def _cut_middle(text: str, most: int) -> str:
    """Return at most `most` bytes in UTF-8, from both ends: a traceback says what at its end."""
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= most:
        return text
    kept = max(most - len(_ELLIPSIS.encode()), 0)
    head, tail = raw[: kept // 3], raw[len(raw) - (kept - kept // 3) :]
    return head.decode("utf-8", "ignore") + _ELLIPSIS + tail.decode("utf-8", "ignore")


def omit_what_no_line_shows() -> None:
    """Stop recording the place in the code, the thread and the process: no log line shows them.

    See "Optimization" in Python's Logging HOWTO.
    """
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def log_config(level: str, line_format: str) -> dict[str, Any]:
    """Return a `logging.config` dictionary; `level` in lower case, `line_format` json or text."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": RequestIdFilter}},
        "formatters": {
            "json": {"()": JsonLines},
            "text": {"()": TextFormatter},
        },
        "handlers": {
            "stdout": {
                "()": NeverWaiting,
                "formatter": line_format,
                "filters": ["request_id"],
            }
        },
        "root": {"level": level.upper(), "handlers": ["stdout"]},
        "loggers": {
            "gunicorn.error": {"level": level.upper(), "handlers": [], "propagate": True},
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
            "alembic": {"level": "WARNING"},
            "urllib3": {"level": "ERROR"},  # its warnings contain URLs, which may contain tokens
        },
    }
