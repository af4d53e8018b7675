"""Messages of all sizes, one after the other on a connection that is kept."""

import hashlib
import json
import random
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise

import pytest
from support.plain_mail import plain_mail
from support.raw_http import whole_post
from support.server import Server

from app.server.gunicorn_internals.arrival import HELD_BYTES
from app.server.gunicorn_internals.connection import FOLLOWING_BYTES, RECEIVE_BYTES
from app.storage.sqlite.store import SQLiteStore

LIMITS = (RECEIVE_BYTES, HELD_BYTES, FOLLOWING_BYTES)
# As bodies, and with a head of a few hundred bytes before them, these are at and beside each limit.
SIZES = [limit + difference for limit in LIMITS for difference in (-1000, -200, -1, 0, 1, 5000)]
PAUSE_SECONDS = 0.03  # more than a thread waits for the rest


def message(size: int) -> bytes:
    """Return a mail of `size` bytes, which no other is like."""
    head = plain_mail(f"of {size} bytes", b"")
    return head + random.Random(size).randbytes(size - len(head)).hex().encode()[: size - len(head)]


def pieces(request: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    for start, end in pairwise([0, *cuts, len(request)]):
        yield request[start:end]


def answer_of(connection: socket.socket) -> str:
    """Return the id of the message that the next answer is about."""
    received = connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), received
    return str(json.loads(body)["message_id"])


@pytest.mark.parametrize("cuts", [(), (100,), (30_000, 90_000)], ids=str)
def test_each_is_stored_as_it_was_sent(server: Server, cuts: tuple[int, ...]) -> None:
    """In whatever pieces it comes, with pauses: each gets its own answer, and none a byte more."""
    sent = {}
    with closing(server.connect(10)) as connection:
        for size in SIZES:
            raw = message(size)
            for piece in pieces(whole_post(server, message=raw), cuts):
                connection.sendall(piece)
                if cuts:
                    time.sleep(PAUSE_SECONDS)
            sent[answer_of(connection)] = hashlib.sha256(raw).digest()
    with closing(SQLiteStore(server.data_dir)) as store:
        found = {each: hashlib.sha256(store.read(each)).digest() for each in sent}
    assert found == sent
    assert len(sent) == len(SIZES)
