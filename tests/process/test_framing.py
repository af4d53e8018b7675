import gzip
import http.client
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from support.raw_http import answers, read_all, reset
from support.requirement import require_program
from support.server import NewServer, Server, wait_for
from support.upload import metrics

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

LIMIT = 25 * 1024 * 1024
MESSAGE = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: framed\r\n\r\nHello\r\n"


def head(server: Server, *fields: str) -> bytes:
    """Return the head of a POST with the token."""
    lines = [
        "POST /mail/inbound HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {server.token}",
        "Content-Type: message/rfc822",
        *fields,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def read_answer(connection: socket.socket) -> tuple[int | None, Any]:
    """Return status and JSON body of the next answer on `connection`, (None, None) without one."""
    answer = http.client.HTTPResponse(connection, method="POST")
    try:
        answer.begin()
        return answer.status, json.loads(answer.read())
    except (http.client.HTTPException, ConnectionError):
        return None, None


def exchange(server: Server, data: bytes, *, then_finish: bool = True) -> tuple[int | None, Any]:
    """Send `data`, then close the sending side; return status and body of the answer."""
    with closing(server.connect(10)) as connection:
        connection.sendall(data)
        if then_finish:
            connection.shutdown(socket.SHUT_WR)
        return read_answer(connection)


def count_stored(server: Server) -> int:
    """Return how many messages are stored."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return store.count(Query())


Refused = Callable[..., tuple[int | None, Any]]


@pytest.fixture
def stores_nothing(shared_server: Server) -> Iterator[None]:
    """Check at the end that the number of stored messages is what it was before."""
    before = count_stored(shared_server)
    yield
    assert count_stored(shared_server) == before


@pytest.fixture
def refused(shared_server: Server, stores_nothing: None) -> Iterator[Refused]:
    """Send bytes that are refused; nothing is stored, and the server goes on serving."""
    yield lambda data, **options: exchange(shared_server, data, **options)
    assert shared_server.request("GET", "/ready").status == 200


@pytest.mark.promise("a part of a message is never stored")
def test_a_body_shorter_than_announced_is_refused(shared_server: Server, refused: Refused) -> None:
    """The client hears 400: half a message must never pass for a whole one."""
    data = head(shared_server, f"Content-Length: {len(MESSAGE) + 1}") + MESSAGE
    status, problem = refused(data)
    assert (status, problem["code"]) == (400, "bad_request")
    assert f"{len(MESSAGE)} of the {len(MESSAGE) + 1} bytes" in problem["detail"]


@pytest.mark.promise("a part of a message is never stored")
def test_a_client_that_is_gone_leaves_nothing(shared_server: Server, stores_nothing: None) -> None:
    """The connection is reset in the middle of the body; the next request is served."""
    connection = shared_server.connect()
    connection.sendall(head(shared_server, f"Content-Length: {LIMIT}") + MESSAGE)
    wait_for(lambda: metrics(shared_server)["active_requests"] == 2)
    reset(connection)
    wait_for(lambda: metrics(shared_server)["active_requests"] == 1)
    assert shared_server.request("GET", "/ready").status == 200


@pytest.mark.promise("max_message_size holds, with a length and without")
@pytest.mark.parametrize("announced", [LIMIT + 1, 10**20])
def test_a_message_announced_too_large_is_refused_unread(
    shared_server: Server, refused: Refused, announced: int
) -> None:
    """413 comes before one byte of the body was sent."""
    data = head(shared_server, f"Content-Length: {announced}")
    status, problem = refused(data, then_finish=False)
    assert (status, problem["code"]) == (413, "message_too_large")


@pytest.mark.promise("max_message_size holds, with a length and without")
def test_a_chunked_message_beyond_the_limit_is_refused(new_server: NewServer) -> None:
    """Without an announced length the limit holds while reading, and nothing is left behind."""
    server = new_server(max_message_size=2 * 1024 * 1024).start()
    body = chunk(MESSAGE) + chunk(b"x" * 1024 * 1024) * 3
    status, problem = exchange(server, head(server, "Transfer-Encoding: chunked") + body)
    assert (status, problem["code"]) == (413, "message_too_large")
    assert count_stored(server) == 0
    assert list((server.data_dir / "segments").iterdir()) == []


def test_a_chunked_message_is_stored_whole(shared_server: Server) -> None:
    """Chunks are a way to send, no part of the message."""
    body = chunk(MESSAGE[:10]) + chunk(MESSAGE[10:]) + b"0\r\n\r\n"
    status, receipt = exchange(
        shared_server, head(shared_server, "Transfer-Encoding: chunked") + body
    )
    assert status == 200
    with closing(SQLiteStore(shared_server.data_dir)) as store:
        assert store.read(receipt["message_id"]) == MESSAGE


def test_a_refused_upload_has_one_answer(shared_server: Server) -> None:
    """Though its rest turns out to be no chunks: the next request's answer isn't its second one."""
    fields = head(shared_server, "Transfer-Encoding: chunked").replace(b"Bearer", b"Wrong")
    with closing(shared_server.connect()) as connection:
        connection.sendall(fields + chunk(MESSAGE))
        (first,) = answers(connection.recv(65536))
        connection.sendall(b"no chunk\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (first.status, read_all(connection)) == (401, b"")


@pytest.mark.promise("a part of a message is never stored")
@pytest.mark.parametrize(
    "body",
    [
        chunk(MESSAGE)[:-20],
        chunk(MESSAGE),
        chunk(MESSAGE) + b"0\r\n",
        chunk(MESSAGE) + b"zz\r\n\r\n",
    ],
    ids=["in a chunk", "between chunks", "in the last chunk", "no size"],
)
def test_a_chunked_body_cut_short_is_refused(
    shared_server: Server, refused: Refused, body: bytes
) -> None:
    """Wherever it broke off, it is no message."""
    status, problem = refused(head(shared_server, "Transfer-Encoding: chunked") + body)
    assert status in {400, None}
    assert problem is None or problem["code"] == "bad_request"


def test_a_compressed_message_is_refused(shared_server: Server, refused: Refused) -> None:
    """Content-Encoding would make the stored bytes differ from the message."""
    body = gzip.compress(MESSAGE)
    fields = ["Content-Encoding: gzip", f"Content-Length: {len(body)}"]
    status, problem = refused(head(shared_server, *fields) + body)
    assert (status, problem["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "chunked, chunked", "identity"])
def test_other_transfer_encodings_are_refused(
    shared_server: Server, refused: Refused, coding: str
) -> None:
    """A coding that nobody undoes must not be stored as if it were the message."""
    data = head(shared_server, f"Transfer-Encoding: {coding}") + chunk(MESSAGE) + b"0\r\n\r\n"
    with closing(shared_server.connect(10)) as connection:
        connection.sendall(data)
        status_line = connection.makefile("rb").readline()
    assert int(status_line.split()[1]) in {400, 415, 501}


@pytest.mark.promise("requests with two framings are refused")
def test_a_length_beside_chunks_is_refused(shared_server: Server, refused: Refused) -> None:
    """Two framings in one request are how requests are smuggled (RFC 9112 section 6.3)."""
    fields = ["Transfer-Encoding: chunked", "Content-Length: 5"]
    data = head(shared_server, *fields) + chunk(MESSAGE) + b"0\r\n\r\n"
    with closing(shared_server.connect(10)) as connection:
        connection.sendall(data)
        status_line = connection.makefile("rb").readline()
    assert status_line.split()[1] == b"400"


def test_a_message_with_a_header_of_a_megabyte_is_refused(
    shared_server: Server, refused: Refused
) -> None:
    """A head without an end in sight isn't read to its end."""
    addresses = b"From: a@example.com\r\nTo: b@example.com\r\n"
    message = addresses + b"X-Long: " + b"x" * 1024 * 1024 + b"\r\n\r\nHello\r\n"
    data = head(shared_server, f"Content-Length: {len(message)}") + message
    status, problem = refused(data)
    assert (status, problem["code"]) == (422, "message_rejected")


def test_a_token_that_is_not_ascii_is_refused(shared_server: Server, refused: Refused) -> None:
    """Bytes that are no ASCII are a wrong token and not a failure."""
    data = (
        b"POST /mail/inbound HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer g\xc3\xa9heim\xff"
        b"\r\nContent-Length: 0\r\n\r\n"
    )
    status, problem = refused(data)
    assert (status, problem["code"]) == (401, "unauthorized")


def test_a_kept_alive_connection_carries_several_requests(shared_server: Server) -> None:
    """Both messages are stored, the second on the connection of the first, also after a 4xx."""
    connection = http.client.HTTPConnection("127.0.0.1", shared_server.port, timeout=10)
    headers = {"Authorization": f"Bearer {shared_server.token}", "Content-Type": "message/rfc822"}
    statuses, sockets, ids = [], set(), set()
    with closing(connection):
        for body in (MESSAGE + b"first", b"no message", MESSAGE + b"second"):
            connection.request("POST", "/mail/inbound", body, headers)
            sockets.add(id(connection.sock))
            answer = connection.getresponse()
            statuses.append(answer.status)
            ids.add(json.loads(answer.read()).get("message_id"))
    assert statuses == [200, 422, 200]
    assert len(sockets) == 1
    assert len(ids) == 3


def test_the_rest_of_a_refused_body_is_not_taken_for_a_request(
    shared_server: Server, stores_nothing: None
) -> None:
    """What follows a refused head is its body, even when it looks like another request."""
    inner = head(shared_server, f"Content-Length: {len(MESSAGE)}") + MESSAGE
    outer = head(shared_server, "Content-Encoding: gzip", f"Content-Length: {len(inner)}") + inner
    with closing(shared_server.connect(10)) as connection:
        connection.sendall(outer)
        connection.shutdown(socket.SHUT_WR)
        received = connection.makefile("rb").read()
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 415 ")


def test_curl_with_fields_and_no_type_is_understood(shared_server: Server) -> None:
    """The example of the README works: JSON is recognized though curl calls it a form."""
    curl = require_program("curl")
    result = subprocess.run(
        [
            *(curl, "--silent", "--show-error", "--oauth2-bearer", shared_server.token),
            *("-X", "POST", f"{shared_server.url}/mail/inbound"),
            *("-d", '{"from":"test@example.com","to":"dest@example.com"}'),
        ],
        capture_output=True,
        check=True,
        timeout=30,
    )
    receipt = json.loads(result.stdout)
    assert receipt["status"] == "success"
    with closing(SQLiteStore(shared_server.data_dir)) as store:
        envelope = store.get(receipt["message_id"]).envelope
    assert (envelope.sender, envelope.recipient) == ("test@example.com", "dest@example.com")


def test_a_large_body_refused_early_does_not_harm_the_server(
    shared_server: Server, stores_nothing: None
) -> None:
    """Whether or not the sender still hears the 401, others are served and nothing is stored."""
    with suppress(OSError, http.client.HTTPException):
        shared_server.request("POST", "/mail/inbound", b"x" * LIMIT)
    assert shared_server.request("GET", "/ready").status == 200
