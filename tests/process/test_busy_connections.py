"""Kept-alive connections that send one request after the other."""

import http.client
import selectors
import time
from collections import Counter
from collections.abc import Callable
from socket import socket

import pytest
from support.raw_http import post, read_all
from support.server import NewServer, Server

from app.server.gunicorn_internals.worker import FOLLOWING_MS
from app.settings.model import WAITING_THREADS

REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
SECONDS = 30
EACH = 20  # answers


def test_busy_connections_keep_nobody_waiting(new_server: NewServer) -> None:
    """With more busy connections than threads, each goes on getting answers: none has a thread
    for good."""
    server = new_server(workers=1, threads=1).start()
    connections = [server.connect() for _ in range(WAITING_THREADS + 1 + 30)]
    for connection in connections:
        connection.sendall(REQUEST)
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ, connection)
        # A thread is made for each connection first, beside those that have theirs.
        _answers(selector, lambda counts: len(counts) == len(connections))
        counts = _answers(selector, lambda counts: counts.total() >= EACH * len(connections))
    least = min(counts[each.fileno()] for each in connections)
    for connection in connections:
        connection.close()
    assert least > EACH / 3, counts.values()


def _answers(
    selector: selectors.BaseSelector, is_enough: Callable[[Counter[int]], bool]
) -> Counter[int]:
    """Ask again on each answer until that is enough; return the number by the descriptor."""
    counts = Counter[int]()
    until = time.monotonic() + SECONDS
    while not is_enough(counts):
        assert time.monotonic() < until, counts.values()
        for key, _ in selector.select(1):
            connection: socket = key.data
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            counts[key.fd] += 1
            connection.sendall(REQUEST)
    return counts


def test_a_quick_successor_is_answered_on_the_same_connection(server: Server) -> None:
    """Requests in a row with and without pauses, and with bodies that nobody reads, all get their
    own answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.connect()
    first = connection.sock
    for number in range(50):
        pause = (0, 0.005, 0.03)[number % 3]
        body = (None, b"x" * 5000, iter([b"in", b"chunks"]))[number % 7 % 3]
        connection.request("POST", "/mail/inbound", body, {"X-Request-ID": f"n{number}"})
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.headers["X-Request-ID"]) == (401, f"n{number}")
        assert connection.sock is first
        time.sleep(pause)
    connection.close()


@pytest.mark.alone
def test_pipelined_requests_do_not_wait(server: Server) -> None:
    """What came together with the request before is answered at once."""
    with server.connect() as connection:
        connection.sendall(REQUEST)
        connection.recv(65536)
        began = time.monotonic()
        connection.sendall(REQUEST * 50)
        received = b""
        while received.count(b"HTTP/1.1 200 ") < 50:
            received += connection.recv(65536)
        assert time.monotonic() - began < 50 * FOLLOWING_MS / 1000


def test_a_body_cut_short_ends_the_connection(new_server: NewServer) -> None:
    """Its rest, should it come after the answer, is never taken for a request."""
    server = new_server(handler_timeout=1).start()
    head = post(server, b"Content-Length: %d" % len(REQUEST))
    with server.connect() as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
        connection.sendall(REQUEST)
        assert read_all(connection) == b""


def test_an_answer_comes_in_one_piece(server: Server) -> None:
    """The first read brings head and body: there is no second packet to wait for."""
    with server.connect() as connection:
        for _ in range(20):
            connection.sendall(REQUEST)
            received = connection.recv(65536)
            head, _, body = received.partition(b"\r\n\r\n")
            assert b"Content-Length: %d" % len(body) in head
            assert body
