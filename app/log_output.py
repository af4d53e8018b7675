"""Writes log lines to standard output and never waits for their reader.

What can't be written at once is dropped and counted, since a request or the end of the server must
not depend on the reader of the log. A pipe or a terminal is opened a second time for that: not to
wait (O_NONBLOCK) is a property of an open file, which others may share, such as the shell. A socket
is told with each call, and a file on disk has no reader.
"""

import logging
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import cache

Write = Callable[[bytes], int]


class NeverWaiting(logging.Handler):
    """Writes each record with one call, or drops it.

    A line of at most PIPE_BUF (4096) bytes gets into a pipe whole or not at all, whatever other
    processes write to it.
    """

    def __init__(self, write: Write | None = None) -> None:
        super().__init__()
        self._write = write or standard_output()
        self._rest = b""  # the end of a line that a terminal or a full disk took only in part
        self._dropped = 0
        self._dropped_by = 0  # a worker inherits the master's count, which isn't its own

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`, after a line about those that were dropped before it."""
        try:
            if not self._say_what_was_dropped() or not self._write_record(record):
                self._dropped += 1
                self._dropped_by = os.getpid()
        except Exception:  # noqa: BLE001 -- as in logging: what is wrong with a line ends nothing
            self.handleError(record)

    def close(self) -> None:
        """Write what is still to be said, if that is possible now."""
        with suppress(Exception):
            self._say_what_was_dropped()
        super().close()

    def _say_what_was_dropped(self) -> bool:
        """Return whether nothing remains to be said."""
        if self._dropped and self._dropped_by != os.getpid():
            self._dropped, self._rest = 0, b""
        if self._dropped and self._write_record(_about_dropped(self._dropped)):
            self._dropped = 0
        return self._dropped == 0

    def _write_record(self, record: logging.LogRecord) -> bool:
        line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        try:
            if self._rest:
                self._rest = self._rest[self._write(self._rest) :]
            if self._rest:
                return False
            self._rest = line[self._write(line) :]
        except OSError:
            return False
        return True


def _about_dropped(count: int) -> logging.LogRecord:
    lines = "1 log line was" if count == 1 else f"{count} log lines were"
    text = f"{lines} dropped: the reader of the log was too slow"
    record = logging.LogRecord("gomail", logging.WARNING, __file__, 0, text, None, None)
    record.request_id = None
    return record


@cache  # opened once and inherited; a reload configures the log anew
def standard_output() -> Write:
    """Return a function that writes to standard output, and raises OSError instead of waiting."""
    try:
        return writer(1)
    except OSError:  # it is closed
        return len


def writer(descriptor: int) -> Write:
    """Return a function that writes to the open file `descriptor` without waiting for a reader.

    Raises OSError when it isn't open.
    """
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        connection = socket.socket(fileno=os.dup(descriptor))
        return lambda data: connection.send(data, socket.MSG_DONTWAIT)
    own = _opened_again(descriptor)
    return lambda data: os.write(own, data)


def _opened_again(descriptor: int) -> int:
    is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    if not is_pipe and not os.isatty(descriptor):
        return descriptor
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with suppress(OSError):  # it belongs to another user, or nobody reads it, or there is no /proc
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    if is_pipe:
        os.set_blocking(descriptor, False)
    return descriptor
