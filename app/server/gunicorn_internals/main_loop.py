"""The main loop of a worker: it has the connections that need no thread, and gives out the threads.

Whatever a client keeps waiting waits here. All methods run in the main loop.
"""

import errno
import os
import sys
import time
import uuid
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from socket import MSG_DONTWAIT
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from app.metrics.recorder import UNMATCHED
from app.server.configuration import current_settings, shared_state
from app.server.descriptors import room_for_connections, uploads_at_once
from app.server.gunicorn_internals.arrival import Missing
from app.server.gunicorn_internals.connection import Connection
from app.server.gunicorn_internals.crowd import Crowd, Kind
from app.server.gunicorn_internals.deadlines import count_timeout, enforce, give_up
from app.server.gunicorn_internals.fair_share import FairShare
from app.server.gunicorn_internals.leaving import Leaving
from app.server.gunicorn_internals.threads import PatientPool
from app.server.gunicorn_internals.turns import Turns
from app.server.gunicorn_internals.unparsed import raw_problem
from app.server.sweep import sweep_if_due
from app.settings.model import WAITING_THREADS

TICK_SECONDS = 0.25
BEGINNING_GRACE_SECONDS = 1.0  # once the worker ends
IDLE_GRACE_SECONDS = 2.0
_SHORT_OF_SOMETHING = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_NOTHING_TO_ACCEPT = {errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED}


class MainLoop(ThreadWorker):
    """See the module."""

    tpool: PatientPool
    _accepting: bool  # newer than types-gunicorn

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timeouts = current_settings().timeouts
        self._most_connections = self.worker_connections
        self._most_uploads = 1
        self.worker_connections = sys.maxsize  # room is made here, Gunicorn would stop accepting
        self._ready = Turns()
        self._handled: dict[Connection, None] = {}  # only the main loop changes it
        self._uploads = 0
        self._tick_at = 0.0
        self._accept_at = 0.0
        self._share = FairShare(shared_state.slots)
        self._stopping_at: float | None = None

    def run(self) -> None:
        """Run the main loop."""
        self._crowd = Crowd(self.poller)
        self._leaving = Leaving(self._crowd, self._close)
        self._most_uploads = uploads_at_once(self.cfg.threads + WAITING_THREADS)
        self._most_connections = room_for_connections(self._most_uploads)
        super().run()

    # Accepting

    def set_accept_enabled(self, enabled: bool | None) -> None:
        """Accept or not; called in each round of the main loop."""
        is_time = time.monotonic() >= self._accept_at and self._share.pause_seconds <= 0
        super().set_accept_enabled(bool(enabled) and is_time)
        if not enabled and os.getppid() != self.ppid:
            for listener in self.sockets:  # nobody accepts any more: the port is free
                listener.close()

    def accept(self, listener: Any) -> None:
        """Accept a connection and wait for its first bytes without a thread."""
        if self._share.leaves_next_to_others(self._busy()):
            super().set_accept_enabled(False)
            return
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in _SHORT_OF_SOMETHING:
                self._make_room()
            elif error.errno not in _NOTHING_TO_ACCEPT:
                raise
            return
        conn = Connection(self.cfg, client, address, listener.getsockname())
        self.nr_conns += 1
        self._begin(conn, self._timeouts.read)
        if self.nr_conns > self._most_connections:
            self._make_room()

    def _make_room(self) -> None:
        oldest = self._crowd.to_close()
        if oldest is not None:
            self._close(oldest)
        else:
            self._accept_at = time.monotonic() + TICK_SECONDS
            self.set_accept_enabled(False)

    def _busy(self) -> int:
        return self.nr_conns - len(self._crowd.of_kind(Kind.IDLE))

    # Connections without a thread

    def _begin(self, conn: Connection, seconds: float) -> None:
        conn.began = time.monotonic()
        conn.timeout = conn.began + seconds
        self._crowd.add(conn, Kind.BEGINNING, partial(self._on_readable, conn))

    def _on_readable(self, conn: Connection, _socket: Any) -> None:
        if conn not in self._crowd:  # it had to make room in this round of the main loop
            return
        is_first = not conn.arrival.data
        try:
            conn.receive()
        except BlockingIOError:
            return
        except OSError:
            self._close(conn)
            return
        if is_first:
            conn.began = time.monotonic()
            conn.timeout = conn.began + self._timeouts.read
        self._crowd.weigh(conn)
        self._place(conn)

    def _place(self, conn: Connection) -> None:
        """See what can be done with what has arrived on `conn`, which is in the crowd."""
        arrival = conn.arrival
        if arrival.missing is Missing.NOTHING:
            self._make_ready(conn)
        elif arrival.missing is Missing.BODY:
            self._place_upload(conn)
        elif conn.has_ended:
            self._close(conn)
        elif self._crowd.holds_too_much(conn):
            self._make_ready(conn)  # to be refused
        elif self._crowd.kind(conn) is Kind.IDLE:
            self._crowd.change(conn, Kind.BEGINNING)

    def _place_upload(self, conn: Connection) -> None:
        if conn.has_ended:  # reading doesn't wait any more
            self._make_ready(conn)
            return
        if not conn.is_upload:
            conn.is_upload = True
            conn.timeout = min(conn.timeout, time.monotonic() + self._timeouts.handler)
            self._crowd.change(conn, Kind.UPLOADING)
        if self._crowd.holds_too_much(conn):
            self._crowd.ignore(conn)
        self._dispatch()

    def _make_ready(self, conn: Connection) -> None:
        conn.is_upload = False
        self._crowd.remove(conn)
        self._ready.add(conn)
        self._dispatch()

    def _close(self, conn: Connection) -> None:
        if conn in self._crowd:
            self._crowd.remove(conn)
        conn.close()
        self.nr_conns -= 1

    # Threads

    def _dispatch(self) -> None:
        """Give threads to those who wait for one, as long as there are some."""
        while self._ready and len(self._handled) < self.tpool.most:
            self._start(self._ready.take())
        uploads = self._crowd.of_kind(Kind.UPLOADING)
        while uploads and self._has_room_for_upload():
            conn = self._crowd.next_upload()
            self._crowd.remove(conn)
            self._uploads += 1
            self._start(conn)

    def _has_room_for_upload(self) -> bool:
        most = min(self._most_uploads, self.tpool.most_uploads)
        return self._uploads < most and len(self._handled) < self.tpool.most

    def _start(self, conn: Connection) -> None:
        self._handled[conn] = None
        self.enqueue_req(conn)

    def finish_request(self, conn: Any, fs: "Future[bool]") -> None:
        """Go on with a connection whose thread has finished; runs in the main loop."""
        del self._handled[conn]
        if conn.is_upload:
            conn.is_upload = False
            self._uploads -= 1
        if fs.exception() is not None:
            self.log.error("Unexpected failure", exc_info=fs.exception())
            self._close(conn)
        else:
            conn.is_kept = fs.result()
            self._go_on(conn)
        self._dispatch()

    def _go_on(self, conn: Connection) -> None:
        if conn.sock.unsent:
            conn.timeout = time.monotonic() + self._timeouts.write
            self._crowd.add(conn, Kind.ANSWERED, partial(self._on_writable, conn))
        elif conn.is_kept:
            self._keep(conn)
        else:
            self._leaving.begin(conn)

    def _on_writable(self, conn: Connection, _socket: Any) -> None:
        if conn not in self._crowd:  # it had to make room in this round of the main loop
            return
        try:
            conn.sock.send_more()
        except OSError:
            self._close(conn)
            return
        if not conn.sock.unsent:
            self._crowd.remove(conn)
            self._go_on(conn)

    def _keep(self, conn: Connection) -> None:
        has_begun = bool(conn.arrival.data)
        self._begin(conn, self._timeouts.read if has_begun else self._timeouts.idle)
        if has_begun:
            self._place(conn)
        else:
            self._crowd.change(conn, Kind.IDLE)

    # Time

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Wait for something to happen, but never too long to see whose time is up."""
        is_quiet = not self._crowd and not self._handled and self._accepting
        seconds = timeout or 0
        if not self._accepting and self._share.pause_seconds > 0:
            seconds = min(seconds, self._share.pause_seconds)
        super().wait_for_and_dispatch_events(seconds if is_quiet else min(seconds, TICK_SECONDS))
        accepts = self.alive and time.monotonic() >= self._accept_at
        self._share.note(self._busy() if accepts else None)

    def murder_pending(self) -> None:
        """Enforce deadlines and free threads; called in each round of the main loop."""
        now = time.monotonic()
        if now < self._tick_at:
            return
        self._tick_at = now + TICK_SECONDS
        sweep_if_due()
        if not self.alive:
            self._cap_waiting(now)
        for conn in self._crowd.expired(now):
            self._expire(conn)
        for conn in self._handled:
            enforce(conn, now, self.log)
        self.tpool.try_again()
        self._dispatch()
        if self._ready or self._crowd.of_kind(Kind.UPLOADING):
            waiting = len(self._ready) + len(self._crowd.of_kind(Kind.UPLOADING))
            give_up(self._handled, waiting, now, self.log)

    def _cap_waiting(self, now: float) -> None:
        if self._stopping_at is None:
            self._stopping_at = now
        self._crowd.cap(Kind.BEGINNING, self._stopping_at + BEGINNING_GRACE_SECONDS)
        self._crowd.cap(Kind.IDLE, self._stopping_at + IDLE_GRACE_SECONDS)

    def _expire(self, conn: Connection) -> None:
        kind = self._crowd.kind(conn)
        if kind is Kind.UPLOADING:
            count_timeout(conn, UNMATCHED, self.log)
            answer = raw_problem("timeout", "The server was too busy to wait.", uuid.uuid4().hex)
            with suppress(OSError):
                conn.sock.send(answer, MSG_DONTWAIT)
            self._crowd.remove(conn)
            self._leaving.begin(conn)
            return
        if kind is Kind.BEGINNING and conn.arrival.data:
            count_timeout(conn, UNMATCHED, self.log)
        self._close(conn)
