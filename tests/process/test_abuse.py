"""What no HTTP library would send. What test_framing.py has isn't repeated here."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from support.linux_process import peak_resident_bytes, threads
from support.raw_http import MESSAGE, answers, exchange, post, read_all, reset, whole_post
from support.rounds import rounds
from support.server import Answer, NewServer, Server, wait_for

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

pytestmark = pytest.mark.promise(
    "no request over HTTP ends in a 500, hangs a thread or takes memory without bounds"
)

MEBIBYTE = 1024 * 1024
INNER = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
AS_LENGTH = b"Content-Length: %d" % len(INNER)

FRAMINGS = {
    "a length and chunks": [b"Content-Length: 5", CHUNKED],
    "chunks and a length": [CHUNKED, b"Content-Length: 5"],
    "two lengths": [b"Content-Length: 0", AS_LENGTH],
    "two equal lengths": [AS_LENGTH, AS_LENGTH],
    "a list of lengths": [b"Content-Length: 0, 44"],
    "a length with a sign": [b"Content-Length: +44"],
    "a negative length": [b"Content-Length: -1"],
    "a hexadecimal length": [b"Content-Length: 0x2c"],
    "a length with a space": [b"Content-Length: 4 4"],
    "a length with an underscore": [b"Content-Length: 4_4"],
    "a length of other digits": ["Content-Length: ٤٤".encode()],
    "an empty length": [b"Content-Length:"],
    "a space before the colon": [b"Content-Length : 44"],
    "a tab before the colon": [b"Transfer-Encoding\t: chunked", AS_LENGTH],
    "a vertical tab": [b"Transfer-Encoding: \x0bchunked", AS_LENGTH],
    "an unknown coding": [b"Transfer-Encoding: xchunked", AS_LENGTH],
    "a quoted coding": [b'Transfer-Encoding: "chunked"', AS_LENGTH],
    "a coding with a parameter": [b"Transfer-Encoding: chunked;q=1", AS_LENGTH],
    "an empty coding": [b"Transfer-Encoding:", AS_LENGTH],
    "chunks twice": [CHUNKED, CHUNKED],
    "chunks and no coding": [CHUNKED, b"Transfer-Encoding: identity"],
    "chunks not last": [b"Transfer-Encoding: chunked, gzip"],
    "a folded field": [b"Transfer-Encoding:\r\n chunked", AS_LENGTH],
    "a folded other field": [b"X-Other: a\r\n b", AS_LENGTH],
    "a field behind a bare line feed": [b"X-Other: a\nTransfer-Encoding: chunked", AS_LENGTH],
    "a field behind a carriage return": [b"X-Other: a\rTransfer-Encoding: chunked", AS_LENGTH],
    "a zero byte": [b"X-Other: a\0b", AS_LENGTH],
    "a zero byte in a name": [b"Transfer-Encoding\0: chunked", AS_LENGTH],
    "no name": [b": chunked", AS_LENGTH],
    "no colon": [b"Transfer-Encoding chunked", AS_LENGTH],
}
BODY = b"%x\r\n%b\r\n" % (len(MESSAGE), MESSAGE)
BAD_CHUNKS = {
    "a sign": b"+" + BODY,
    "a prefix": b"0x" + BODY,
    "a negative size": b"-1\r\n" + MESSAGE,
    "an underscore": BODY[:1] + b"_" + BODY[1:],
    "no size": b"\r\n" + MESSAGE,
    "a size beyond 64 bits": b"f" * 17 + b"\r\n" + MESSAGE,
    "a size of a megabyte of digits": b"1" * MEBIBYTE + b"\r\n" + MESSAGE,
    "a size line without end": BODY[:2] + b";" + b"x" * MEBIBYTE,
    "a bare line feed behind the size": BODY.replace(b"\r\n", b"\n", 1),
    "a chunk longer than its size": b"3\r\n" + MESSAGE + b"\r\n",
    "a space in the size": BODY[:1] + b" " + BODY[1:],
    "a trailer that is none": BODY + b"0\r\nno trailer\r\n\r\n",
    "a trailer without end": BODY + b"0\r\nX: " + b"x" * MEBIBYTE,
}
GOOD_CHUNKS = {
    "an extension": BODY.replace(b"\r\n", b";name=value\r\n", 1) + b"0\r\n\r\n",
    "leading zeros": b"000" + BODY + b"0\r\n\r\n",
    "a trailer": BODY + b"0\r\nX-Original-Sender: other@example.com\r\n\r\n",
}
HEADS = {
    "a long request line": b"GET /" + b"x" * MEBIBYTE + b" HTTP/1.1\r\n\r\n",
    "a long method": b"X" * MEBIBYTE + b" / HTTP/1.1\r\n\r\n",
    "a long field": b"GET /ready HTTP/1.1\r\nX: " + b"x" * MEBIBYTE + b"\r\n\r\n",
    "a long name": b"GET /ready HTTP/1.1\r\n" + b"x" * MEBIBYTE + b": x\r\n\r\n",
    "many fields": b"GET /ready HTTP/1.1\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
    "another version": b"GET /ready HTTP/9.9\r\n\r\n",
    "no version": b"GET /ready\r\n\r\n",
    "an unknown expectation": b"GET /ready HTTP/1.1\r\nExpect: magic\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method in lower case": b"get /ready HTTP/1.1\r\n\r\n",
    "the start of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


def stored(server: Server) -> int:
    """Return how many messages are stored."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return store.count(Query())


def is_idle(server: Server) -> bool:
    """Tell whether no request is in flight but the one that asks."""
    return bool(server.request("GET", "/metrics").json()["active_requests"] == 1)


@pytest.fixture
def unharmed(shared_server: Server) -> Iterator[Server]:
    """Check at the end: nothing stored, no 5xx, workers alive and idle, no inner request served."""
    before, workers = stored(shared_server), shared_server.worker_pids()
    start = len(shared_server.output())
    yield shared_server
    wait_for(lambda: is_idle(shared_server))
    assert stored(shared_server) == before
    assert shared_server.worker_pids() == workers
    lines = [json.loads(line) for line in shared_server.output()[start:]]
    assert not [line for line in lines if line.get("path") == "/smuggled"]
    assert not [line for line in lines if line.get("status", 0) >= 500]
    assert not [line for line in lines if line["level"] in {"ERROR", "CRITICAL"}]


def refusals(server: Server, data: bytes) -> list[Answer]:
    """Send `data`; return the answers, each of which has to be a refusal."""
    found = answers(exchange(server, data))
    for answer in found:
        assert 400 <= answer.status < 500, answer
        assert json.loads(answer.body)["status"] == answer.status
    return found


@pytest.mark.parametrize("name", FRAMINGS)
@pytest.mark.parametrize("body", [INNER, b"0\r\n\r\n" + INNER], ids=["plain", "chunked"])
def test_nothing_is_smuggled(unharmed: Server, name: str, body: bytes) -> None:
    """One refusal and the end of the connection: what follows is no request (RFC 9112 6.3)."""
    assert len(refusals(unharmed, post(unharmed, *FRAMINGS[name]) + body)) == 1


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks_are_refused(unharmed: Server, name: str) -> None:
    """At most one refusal, nothing stored, and nothing behind it is read as a request."""
    data = post(unharmed, CHUNKED) + BAD_CHUNKS[name] + b"0\r\n\r\n" + INNER
    assert len(refusals(unharmed, data)) <= 1


@pytest.mark.parametrize("name", GOOD_CHUNKS)
def test_chunks_with_extras_are_read(shared_server: Server, name: str) -> None:
    """Extensions and trailers are part of neither message nor envelope."""
    key = b"Idempotency-Key: " + name.encode()
    (answer,) = answers(
        exchange(shared_server, post(shared_server, CHUNKED, key) + GOOD_CHUNKS[name])
    )
    assert answer.status == 200
    with closing(SQLiteStore(shared_server.data_dir)) as store:
        message_id = answer.json()["message_id"]
        assert store.read(message_id) == MESSAGE
        assert store.get(message_id).envelope.sender == "a@example.com"


@pytest.mark.parametrize("name", HEADS)
def test_heads_have_limits(unharmed: Server, name: str) -> None:
    """What is too long, too much, or another protocol is refused with at most one document."""
    assert len(refusals(unharmed, HEADS[name])) <= 1


@pytest.mark.parametrize("end", ["reset", "close"])
def test_a_client_may_leave_at_any_moment(unharmed: Server, end: str) -> None:
    """Cut off at every stage of a request: no thread hangs, no half message is stored."""
    data = whole_post(unharmed)[:-1]
    chunked = post(unharmed, CHUNKED) + BODY
    stages = [request[:size] for request in (data, chunked) for size in range(len(request))]
    step = rounds(1, 20)
    leave(unharmed, stages[::step], end)
    before = threads(unharmed.worker_pids())
    leave(unharmed, stages[::step], end)
    # A thread that is idle is used again; a few requests end at the same time.
    assert threads(unharmed.worker_pids()) <= before + 8 < before + len(stages[::step])


def leave(server: Server, stages: Sequence[bytes], end: str) -> None:
    for sent in stages:
        connection = server.connect(10)
        connection.sendall(sent)
        reset(connection) if end == "reset" else connection.close()
        wait_for(lambda: is_idle(server))


def test_pipelined_requests_are_answered_in_order(shared_server: Server) -> None:
    """Each answer has the id of its request, also behind messages and refusals."""
    requests = []
    for number in range(rounds(200, 20)):
        name = b"X-Request-ID: %d" % number
        key = b"Idempotency-Key: pipelined %d" % number
        requests += [
            b"GET /health HTTP/1.1\r\nHost: a\r\n%b-health\r\n\r\n" % name,
            whole_post(shared_server, name + b"-stored", key),
            whole_post(shared_server, name + b"-refused", message=b"no message"),
            b"GET /nothing HTTP/1.1\r\nHost: a\r\n%b-nothing\r\n\r\n" % name,
        ]
    before = stored(shared_server)
    found = answers(exchange(shared_server, b"".join(requests), seconds=60))
    expected = re.findall(rb"X-Request-ID: (\S+)", b"".join(requests))
    assert [answer.headers["X-Request-ID"].encode() for answer in found] == expected
    assert [answer.status for answer in found] == [200, 200, 422, 404] * (len(requests) // 4)
    assert stored(shared_server) == before + len(requests) // 4


def test_an_underscore_makes_another_field(unharmed: Server) -> None:
    """Transfer_Encoding frames nothing: the body has the length that was announced."""
    data = post(unharmed, b"Transfer_Encoding: chunked", AS_LENGTH) + INNER
    assert [answer.status for answer in refusals(unharmed, data)] == [422]


@pytest.mark.parametrize(
    "field",
    [
        *(
            b"SCRIPT_NAME: /health",
            b"PATH_INFO: /nothing",
            b"REMOTE_USER: a",
            b"Script-Name: /health",
        ),
        *(b"X-Forwarded-Proto: https", b"X-Forwarded-Protocol: ssl", b"X-Forwarded-Ssl: on"),
        *(b"X-Forwarded-Prefix: /health", b"REMOTE_ADDR: 192.0.2.1", b"HTTP_HOST: b"),
    ],
)
def test_no_field_changes_the_path(unharmed: Server, field: bytes) -> None:
    """Not even from loopback, which a proxy may be behind; the log has the path that was asked."""
    start = len(unharmed.output())
    get = b"GET /health/more HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b\r\n\r\n" % field
    assert [answer.status for answer in answers(exchange(unharmed, get))] == [404]
    paths = [json.loads(line).get("path") for line in unharmed.output()[start:]]
    assert "/health/more" in paths


def test_an_expectation_does_not_lift_the_limit(unharmed: Server) -> None:
    """A client that asks before it sends 100 MB hears 413 before it has sent any."""
    head = post(unharmed, b"Content-Length: 100000000", b"Expect: 100-continue")
    assert [answer.status for answer in refusals(unharmed, head)] == [413]


def test_an_expectation_is_met_once(shared_server: Server) -> None:
    """The client that waits is told to go on, and its message is stored."""
    fields = [b"Content-Length: %d" % len(MESSAGE), b"Expect: 100-continue"]
    with closing(shared_server.connect(10)) as connection:
        connection.sendall(post(shared_server, *fields, b"Connection: close"))
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(MESSAGE)
        received = read_all(connection)
    assert [answer.status for answer in answers(received)] == [200]
    assert b" 100 " not in received


def test_an_expectation_without_a_body_keeps_nobody_waiting(unharmed: Server) -> None:
    """GET with Expect, and a client that never goes on, leave no thread behind."""
    get = b"GET /ready HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"
    assert [answer.status for answer in answers(exchange(unharmed, get))] == [200]
    head = post(unharmed, b"Content-Length: 5", b"Expect: 100-continue")
    assert [answer.status for answer in answers(exchange(unharmed, head))] == [400]


def test_abuse_costs_no_memory(new_server: NewServer) -> None:
    """A hundred megabytes of endless lines leave each worker below 64 MB more than it had."""
    server = new_server(workers=1).start()
    exchange(server, whole_post(server))
    before = peak_resident_bytes(server.worker_pids())
    endless = [data for data in (*HEADS.values(), *BAD_CHUNKS.values()) if len(data) > 500_000]
    for data in endless * rounds(20, 2):
        is_head = data in HEADS.values()
        exchange(server, data if is_head else post(server, CHUNKED) + data)
    assert peak_resident_bytes(server.worker_pids()) < before + 64 * MEBIBYTE
    assert server.request("GET", "/ready").status == 200
