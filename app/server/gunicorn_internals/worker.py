"""Gunicorn's threaded worker, with additions for slow and hostile clients.

Gunicorn is pinned below the next major version, since this reaches into `gthread`. The reasons,
each with a test in tests/process/:

- A connection gets a thread when a request has arrived, and the main loop collects it: clients that
  send slowly, or nothing, cost no thread. A request that is too long to be collected gets one while
  its client still sends; for those there are fewer threads than for requests that have arrived, and
  when all have gone, the slowest client loses its own.
- Requests that have arrived wait for a thread in turns, see turns.py.
- An answer that its client doesn't take at once is sent by the main loop.
- There is always room for one more connection, see crowd.py.
- A worker that has more to do than another one lets that one accept, see fair_share.py.
- After an answer, the thread waits a moment for the next request on the same connection, since
  going through the main loop costs a tenth of a request. It does so for at most a tenth of a
  second, so that requests waiting for the main loop, or for a thread, get their turn.
- Each request has a deadline, which the main loop enforces, see deadlines.py.
- A connection is closed by the main loop, once the client has closed it or had some time to, and
  the rest of a refused upload is read first: a reset would destroy the answer.
- A request that can't be parsed gets a problem document like every other error.
- A process that gets no more threads makes do with those it has; one that is out of file
  descriptors waits until one is free.
- A worker whose master has been killed frees its port at once.
"""

import time
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, ParseException
from gunicorn.http.unreader import SocketUnreader

from app.intake.read import CHUNK_BYTES
from app.server.gunicorn_internals.arrival import Missing
from app.server.gunicorn_internals.body import has_arrived
from app.server.gunicorn_internals.connection import Connection
from app.server.gunicorn_internals.main_loop import MainLoop
from app.server.gunicorn_internals.refusal import refuse
from app.server.gunicorn_internals.threads import RESERVED_THREADS, PatientPool
from app.settings.model import WAITING_THREADS
from app.web.deadline import Deadline
from app.web.request_context import RequestContext, set_current

FOLLOWING_MS = 10  # enough for a client nearby to send its next request, on a busy machine
TURN_SECONDS = 0.1  # how long one connection may keep a thread


class Worker(MainLoop):
    """See the module."""

    def init_process(self) -> None:
        """Serve; from now on this runs in the worker."""
        SocketUnreader.max_body_chunk = CHUNK_BYTES  # type: ignore[attr-defined]
        # Per request, Gunicorn reads twenty settings, each through a method and two dictionaries.
        vars(self.cfg).update({name: each.get() for name, each in self.cfg.settings.items()})
        super().init_process()

    def get_thread_pool(self) -> PatientPool:
        """Return a pool with room for slow uploads, besides the requests being handled."""
        return PatientPool(self.cfg.threads + WAITING_THREADS + RESERVED_THREADS)

    def handle(self, conn: Any) -> bool:
        """Handle a request and those that follow immediately; runs in a thread of the pool.

        Return whether the connection is kept.
        """
        until = time.monotonic() + TURN_SECONDS
        while self._handle_one(conn):
            is_time = self.alive and time.monotonic() < until
            goes_on = is_time and not conn.sock.unsent and self._crowd.has_room
            conn.next_request(FOLLOWING_MS if goes_on else 0)
            if not goes_on or conn.arrival.missing is not Missing.NOTHING:
                return True
        return False

    def _handle_one(self, conn: Connection) -> Any:
        context = RequestContext(Deadline(conn.began + self._timeouts.read))
        set_current(context)
        conn.context = context
        try:
            conn.give_to_parser()
            if conn.arrival.missing is Missing.HEAD:
                error = LimitRequestHeaders("too long")
                self.handle_error(None, conn.sock, conn.client, error)
                return False
            is_kept = super().handle(conn)
            conn.sock.end_answer()
        except OSError:  # the client has gone
            return False
        else:
            return is_kept
        finally:
            conn.context = None

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        body = conn.parser.mesg.body
        try:
            is_kept = super()._keepalive_after(conn, keepalive)  # type: ignore[misc]
        except (
            ParseException,
            OSError,
        ):  # already answered: a second answer would be taken for that of the next request
            return False
        return is_kept and has_arrived(body)  # the rest of a truncated body may still arrive

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer requests that can't be parsed, or that failed outside the application."""
        refuse(client, addr, exc, self.cfg, self.log)
