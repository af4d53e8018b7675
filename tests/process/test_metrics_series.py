import random
import string
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from socket import socket

import pytest
from support.server import NewServer, Server, wait_for

from app.metrics.recorder import METHODS, UNMATCHED

ENDPOINTS = ("/mail/inbound", "/email", "/health", "/ready", "/metrics", "/openapi.json")
STRANGE = 10_000
FAMILIAR = 500
SENDERS = 4


def read_whole(connection: socket) -> bool:
    """Read one answer with a body from `connection`; return whether it stays open."""
    received = connection.recv(65536)
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    fields = head.lower()
    left = int(fields.partition(b"\r\ncontent-length: ")[2].split()[0]) - len(body)
    while left > 0:
        left -= len(connection.recv(65536))
    return b"\r\nconnection: close" not in fields


def send_all(server: Server, requests: Sequence[tuple[str, str]]) -> None:
    """Send requests, each a method and a path, on connections that are kept open."""
    connection = server.connect()
    for method, path in requests:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        if not read_whole(connection):
            connection.close()
            connection = server.connect()
    connection.close()


def send_strange(server: Server, requests: Sequence[tuple[str, str]]) -> None:
    """Send requests from SENDERS threads."""
    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(send_all, [server] * SENDERS, [requests[n::SENDERS] for n in range(SENDERS)]))


def strange_requests(count: int) -> list[tuple[str, str]]:
    """Return requests with methods and paths at random."""
    word = random.Random(count)

    def letters(alphabet: str) -> str:
        return "".join(word.choices(alphabet, k=word.randrange(3, 20)))

    methods = [*METHODS - {"HEAD"}]
    return [
        (
            word.choice([word.choice(methods), letters(string.ascii_uppercase)]),
            word.choice(ENDPOINTS)
            if word.random() < 0.02
            else f"/{letters(string.ascii_letters)}?{letters(string.digits)}",
        )
        for _ in range(count)
    ]


@pytest.mark.promise("no request can make new series")
def test_strange_requests_make_no_new_series(new_server: NewServer) -> None:
    """10,000 paths and methods at random have the series of the first 500, and all are counted."""
    server = new_server(log_level="warning").start()
    known = list(product([*METHODS - {"HEAD"}, "PURGE"], [*ENDPOINTS, "/strange"]))
    send_strange(server, (known * FAMILIAR)[:FAMILIAR])
    before = server.scrape()
    send_strange(server, strange_requests(STRANGE - FAMILIAR))
    after = server.scrape()
    assert after.values.keys() == before.values.keys()
    rise = after.value("http_requests_total") - before.value("http_requests_total")
    assert rise == STRANGE - FAMILIAR
    assert after.value("http_requests_total", endpoint=UNMATCHED) > STRANGE * 0.9
    wait_for(lambda: server.scrape().value("http_active_requests") == 0)
