"""Gunicorn's log, without what others say better, or nobody should.

app.web.hooks.log_line has the lines about requests. The configuration that Gunicorn would print at
debug is of no use here, and fills a screen: `flask gomail validate --json` has the settings.
"""

from typing import Any

from gunicorn.glogging import Logger


class Log(Logger):
    """See the module."""

    def debug(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log `msg` unless it is the whole configuration."""
        if not str(msg).startswith("Current configuration:"):
            super().debug(msg, *args, **kwargs)

    def access(self, *_request: Any) -> None:
        """Log nothing, and don't spend time on collecting what could be logged."""
