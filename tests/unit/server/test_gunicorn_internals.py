"""What app/server/gunicorn_internals uses of Gunicorn beyond its documented hooks.

A failure here names what an upgrade of Gunicorn has removed or changed: read the new source at that
name, adapt the module that uses it, then this list.
"""

import inspect
import re
from collections.abc import Callable
from importlib.metadata import requires, version
from typing import Any

import pytest
from gunicorn import arbiter, glogging
from gunicorn.http import body, errors, message, parser, unreader
from gunicorn.workers import base, gthread

METHODS: list[tuple[Callable[..., Any], str]] = [
    # worker.py, main_loop.py, connection.py and leaving.py override or call
    (gthread.ThreadWorker.init_process, "self"),
    (gthread.ThreadWorker.get_thread_pool, "self"),
    (gthread.ThreadWorker.accept, "self listener"),
    (gthread.ThreadWorker.handle, "self conn"),
    # Newer than types-gunicorn.
    (gthread.ThreadWorker._keepalive_after, "self conn keepalive"),  # type: ignore[attr-defined]
    (gthread.ThreadWorker.murder_pending, "self"),
    (gthread.ThreadWorker.set_accept_enabled, "self enabled"),
    (gthread.ThreadWorker.run, "self"),
    (gthread.ThreadWorker.enqueue_req, "self conn"),
    (gthread.ThreadWorker.finish_request, "self conn fs"),
    (gthread.ThreadWorker.wait_for_and_dispatch_events, "self timeout"),
    (gthread.TConn.init, "self"),
    (gthread.ThreadWorker.handle_error, "self req client addr exc"),
    (gthread.TConn.__init__, "self cfg sock client server"),
    (gthread.TConn.close, "self graceful"),
    (message.Request.force_close, "self"),
    # body.py overrides or calls
    (body.Body.__init__, "self reader"),
    (body.Body.read, "self size"),
    (body.LengthReader.__init__, "self unreader length"),
    (unreader.Unreader.take_buffered, "self"),
    (unreader.Unreader.unread, "self data"),
    (unreader.SocketUnreader.chunk, "self size_hint"),
    # master.py replaces or calls
    (arbiter.Arbiter.handle_hup, "self"),
    (arbiter.Arbiter.manage_workers, "self"),
    (arbiter.Arbiter.spawn_worker, "self"),
    (arbiter.Arbiter.signal, "self sig frame"),
    # log.py overrides
    (glogging.Logger.access, "self resp req environ request_time"),
]

ATTRIBUTES: list[tuple[type, str]] = [
    *((gthread.ThreadWorker, name) for name in ("nr_conns", "poller", "tpool", "_accepting")),
    (gthread.ThreadWorker, "worker_connections"),
    *((base.Worker, name) for name in ("cfg", "log", "alive", "tmp", "ppid", "sockets")),
    *((gthread.TConn, name) for name in ("sock", "client", "parser", "timeout")),
    *((body.Body, name) for name in ("reader", "buf", "failed")),
    *((body.LengthReader, name) for name in ("unreader", "length")),
    (body.ChunkedReader, "parser"),
    (unreader.Unreader, "buf"),
    *((parser.Parser, name) for name in ("mesg", "unreader")),
    (message.Request, "body"),
    (errors.InvalidHeader, "hdr"),
    *((arbiter.Arbiter, name) for name in ("cfg", "systemd", "master_pid", "reexec_pid")),
]

CONSTANTS: list[tuple[type, str]] = [
    (arbiter.Arbiter, "SIGNALS"),
    (arbiter.Arbiter, "LISTENERS"),
    (arbiter.Arbiter, "WORKERS"),
    (unreader.SocketUnreader, "max_body_chunk"),
]


def name_of(each: object) -> str:
    return str(getattr(each, "__qualname__", each))


@pytest.mark.parametrize(("method", "parameters"), METHODS, ids=name_of)
def test_a_method_takes_the_arguments_that_are_given(
    method: Callable[..., Any], parameters: str
) -> None:
    """It is there, with parameters of the names and the order that are relied on."""
    assert list(inspect.signature(method).parameters) == parameters.split()


@pytest.mark.parametrize(("kind", "name"), ATTRIBUTES, ids=name_of)
def test_an_attribute_is_set(kind: type, name: str) -> None:
    """Objects of the class, or of one above it, get the attribute."""
    sources = [inspect.getsource(each) for each in kind.__mro__ if "gunicorn" in each.__module__]
    assert any(re.search(rf"\bself\.{name}\b[^=\n]*=[^=]", source) for source in sources), name


@pytest.mark.parametrize(("kind", "name"), CONSTANTS, ids=name_of)
def test_a_constant_is_there(kind: type, name: str) -> None:
    """The class has it."""
    assert hasattr(kind, name), name


def test_gunicorn_is_pinned_to_the_version_that_was_read() -> None:
    """Another one is installed on purpose only, with this file at hand."""
    [pinned] = [each for each in requires("gomail") or [] if each.startswith("gunicorn")]
    assert pinned == f"gunicorn=={version('gunicorn')}"
