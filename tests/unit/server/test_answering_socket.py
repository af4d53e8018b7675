import socket
import threading
from collections.abc import Iterator

import pytest

from app.server.gunicorn_internals.answering_socket import MOST_UNSENT_BYTES, AnsweringSocket

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"

Pair = tuple[AnsweringSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return the server's end and the client's."""
    accepted, client = socket.socketpair()
    with AnsweringSocket(accepted) as server, client:
        yield server, client


def test_head_and_body_come_in_one_piece(pair: Pair) -> None:
    """The head waits for the body."""
    server, client = pair
    server.sendall(HEAD)
    server.sendall(b"body")
    assert client.recv(1000) == HEAD + b"body"


def test_a_head_without_body_is_sent_in_the_end(pair: Pair) -> None:
    """As the answer to HEAD is."""
    server, client = pair
    server.sendall(HEAD)
    server.end_answer()
    assert client.recv(1000) == HEAD


def test_nobody_waits_for_a_client_that_does_not_read(pair: Pair) -> None:
    """What it doesn't take is kept, in order, and sent when it does."""
    server, client = pair
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    body = bytes(range(256)) * 800
    server.sendall(HEAD)
    server.sendall(body)
    assert 0 < len(server.unsent) <= MOST_UNSENT_BYTES
    received = b""
    while len(received) < len(HEAD + body):
        received += client.recv(65536)
        server.send_more()
    assert received == HEAD + body
    assert not server.unsent


def test_more_than_may_be_kept_is_waited_for(pair: Pair) -> None:
    """Memory has bounds."""
    server, client = pair
    body = b"x" * MOST_UNSENT_BYTES * 8
    sending = threading.Thread(target=server.sendall, args=[body])
    sending.start()
    received = 0
    while received < len(body):
        received += len(client.recv(1_000_000))
    sending.join()
    assert not server.unsent
