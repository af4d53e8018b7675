"""Gunicorn's threaded worker, with additions for slow and hostile clients.

Gunicorn is pinned below the next major version, since this reaches into `gthread`. The reasons,
each with a test in tests/process/:

- A connection gets a thread when it has bytes to read, not when it is opened, and there are more
  threads than requests being handled: clients that send slowly, or nothing, delay nobody else.
- After an answer, the thread waits a moment for the next request on the same connection, since
  going through the main loop costs a tenth of a request. It does so for at most a tenth of a
  second, so that requests waiting for the main loop, or for a thread, get their turn.
- Each request has a deadline, which the main loop enforces by shutting down the socket: Gunicorn's
  `timeout` is for workers that hang, and nothing in gthread ends a read once bytes have arrived.
- A connection is closed in a thread of the pool, and the rest of a refused upload is read first:
  a reset would destroy the answer, and closing in the main loop would block it.
- A request that can't be parsed gets a problem document like every other error.
- A process that is out of file descriptors waits until one is free.
"""

import errno
import select
import socket
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn import util
from gunicorn.http.errors import ParseException
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

from app import logs
from app.errors import ERRORS
from app.intake.read import CHUNK_BYTES
from app.metrics.recorder import UNMATCHED
from app.server.configuration import current_settings, shared_state
from app.server.gunicorn_internals.body import has_arrived
from app.server.gunicorn_internals.unparsed import raw_problem, refusal_of
from app.server.sweep import sweep_if_due
from app.server.worker_metrics import current_recorder
from app.settings.model import WAITING_THREADS
from app.web.deadline import Deadline
from app.web.request_context import RequestContext, begin_request, current_request

LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024
ANSWER_GRACE_SECONDS = 1.0
FOLLOWING_MS = 10  # enough for a client nearby to send its next request, on a busy machine
TURN_SECONDS = 0.1  # how long one connection may keep a thread
ENFORCE_EVERY_SECONDS = 0.5
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
_NOTHING_TO_ACCEPT = {errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED}


class Connection(TConn):
    """A connection that may already have been closed by the thread that handled it."""

    def close(self, graceful: bool = False) -> None:
        """Close the connection unless it is closed."""
        if self.sock.fileno() >= 0:
            super().close(graceful)


class Worker(ThreadWorker):
    """See the module."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timeouts = current_settings().timeouts
        self._requests: dict[TConn, RequestContext] = {}
        self._enforce_at = 0.0
        self._stopping_at: float | None = None

    def init_process(self) -> None:
        """Serve; from now on this runs in the worker."""
        SocketUnreader.max_body_chunk = CHUNK_BYTES  # type: ignore[attr-defined]
        # Per request, Gunicorn reads twenty settings, each through a method and two dictionaries.
        vars(self.cfg).update({name: each.get() for name, each in self.cfg.settings.items()})
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return a pool with room for slow uploads, besides the requests being handled."""
        return ThreadPoolExecutor(max_workers=self.cfg.threads + WAITING_THREADS)

    def accept(self, listener: Any) -> None:
        """Accept a connection and wait for its first bytes without a thread."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:
                self.set_accept_enabled(False)  # the main loop enables it in its next round
            elif error.errno not in _NOTHING_TO_ACCEPT:
                raise
            return
        connection = Connection(self.cfg, client, address, listener.getsockname())
        connection.timeout = time.monotonic() + self._timeouts.read
        self.nr_conns += 1
        self.pending_conns.append(connection)
        self.poller.register(
            client, EVENT_READ, partial(self.on_pending_socket_readable, connection)
        )

    def handle(self, conn: TConn) -> Any:
        """Handle a request and those that follow immediately; runs in a thread of the pool."""
        until = time.monotonic() + TURN_SECONDS
        keep = self._handle_one(conn)
        while keep and self.alive and time.monotonic() < until and _follows(conn):
            keep = self._handle_one(conn)
        if not keep:
            util.close_graceful(conn.sock, timeout=LINGER_SECONDS, max_drain=LINGER_BYTES)
        return keep

    def _handle_one(self, conn: TConn) -> Any:
        context = RequestContext(Deadline(time.monotonic() + self._timeouts.read))
        begin_request(context)
        self._requests[conn] = context
        try:
            return super().handle(conn)
        finally:
            del self._requests[conn]

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

    def murder_pending(self) -> None:
        """Close connections that never sent a request, enforce deadlines; for the main loop."""
        if not self.alive:
            self._cap_pending()
        super().murder_pending()
        now = time.monotonic()
        if now >= self._enforce_at:
            self._enforce_at = now + ENFORCE_EVERY_SECONDS
            sweep_if_due()
            for conn, context in list(self._requests.items()):
                if context.deadline is not None and now >= context.deadline.at:
                    self._enforce(conn, context.deadline, context.rule)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer requests that can't be parsed, or that failed outside the application."""
        code, detail = refusal_of(exc, self.cfg)
        request_id = uuid.uuid4().hex
        logs.request_id.set(request_id)
        if code == "internal_error":
            self.log.error("Unexpected failure", exc_info=exc)
        members = {"peer": _peer(addr), "detail": detail}
        self.log.info("A request was refused unparsed: %s", code, extra=members)
        logs.request_id.set(None)
        answer = raw_problem(code, detail, request_id)
        recorder = current_recorder()
        if recorder:
            seconds = time.perf_counter() - current_request().started_at
            size = len(answer.partition(b"\r\n\r\n")[2])
            recorder.request("", UNMATCHED, ERRORS[code].status, seconds, size)
            recorder.error(code, UNMATCHED)
        with suppress(OSError):
            client.sendall(answer)

    def _cap_pending(self) -> None:
        if self._stopping_at is None:
            self._stopping_at = time.monotonic()
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout or 0, self._stopping_at + ANSWER_GRACE_SECONDS)

    def _enforce(self, conn: Any, deadline: Deadline, rule: str) -> None:
        request = deadline.request
        if request is not None and not deadline.answering and has_arrived(request.body):
            return  # the client has sent everything and must get its answer
        # First only reading is ended, so that the application can answer 408; later everything.
        is_first = not deadline.expired and not deadline.answering
        deadline.expire()
        deadline.at = time.monotonic() + ANSWER_GRACE_SECONDS
        if is_first:  # counted before the client can notice
            shared_state.slots.count_timeout()
            recorder = current_recorder()
            if recorder:
                recorder.timeout(rule)
            self.log.info("A request ran out of time", extra={"peer": _peer(conn.client)})
        with suppress(OSError):  # it may have been closed this moment
            conn.sock.shutdown(socket.SHUT_RD if is_first else socket.SHUT_RDWR)


def _follows(conn: Any) -> bool:
    """Wait a moment for the next request; return whether it has arrived."""
    if conn.parser.unreader.buf.getvalue():  # it arrived together with the last one
        return True
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(FOLLOWING_MS))


def _peer(address: Any) -> str:
    return str(address[0]) if address else ""  # a Unix socket's is empty
