"""Gunicorn's log, without its lines about requests: app.web.hooks.log_line writes better ones."""

from typing import Any

from gunicorn.glogging import Logger


class Log(Logger):
    """See the module."""

    def access(self, *_request: Any) -> None:
        """Log nothing, and don't spend time on collecting what could be logged."""
