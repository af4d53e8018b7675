"""What has arrived is told as Gunicorn's parser sees it: of what counts as whole, it never waits
for more."""

from collections.abc import Iterator

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from app.server.gunicorn_internals.arrival import Arrival, Missing

LONGEST_LINE = 4094
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
WITH_LENGTH = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED += b"5;a=b\r\n12345\r\n3\r\n0\r\n\r\n0\r\n\r\n"
WITH_TRAILER = CHUNKED[:-2] + b"X: y\r\n\r\n"
REQUESTS = [GET, WITH_LENGTH, CHUNKED, WITH_TRAILER, b"\r\n" + GET]
REFUSED = [
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"x" * (LONGEST_LINE + 10),
    b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: %b\r\n\r\n" % (b"9" * 5000),
    b"\x16\x03\x01\x02\x00\x01\n",
]


class WouldWait(Exception):
    """The parser asked for more than has arrived."""


def arrived(pieces: list[bytes]) -> Arrival:
    """Return what is known after `pieces`."""
    arrival = Arrival(LONGEST_LINE)
    for piece in pieces:
        arrival.add(piece)
    return arrival


def parse(data: bytes) -> None:
    """Read a whole request as a thread would; raises WouldWait."""

    def source() -> Iterator[bytes]:
        yield data
        raise WouldWait

    parser = RequestParser(Config(), source(), ("127.0.0.1", 1))
    try:
        body = next(parser).body
        while body is not None and body.read(100):
            pass
    except (ParseException, StopIteration):
        pass


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_is_whole_with_its_last_byte(request_: bytes) -> None:
    """Not before, however it is cut; the parser agrees."""
    for end in range(1, len(request_)):
        assert arrived([request_[:end]]).missing is not Missing.NOTHING, end
    byte_by_byte = [bytes([byte]) for byte in request_]
    for pieces in ([request_], byte_by_byte):
        assert arrived(pieces).missing is Missing.NOTHING
    parse(request_)


@pytest.mark.parametrize("data", REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_at_once_is_whole(data: bytes) -> None:
    """No more needs to come."""
    assert arrived([data]).missing is Missing.NOTHING
    parse(data)


@given(
    st.lists(
        st.sampled_from(
            [
                *(b"GET / HTTP/1.1", b"POST /x HTTP/1.1", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" "),
                *(b"Content-Length:", b"content-length: 3", b"Transfer-Encoding: chunked", b"5"),
                *(
                    b"0\r\n\r\n",
                    b"3\r\nabc\r\n",
                    b"3;x\r\n",
                    b"-1\r\n",
                    b"X: y",
                    b"Expect: 100-continue",
                ),
                *(b"Content_Length: 9", b"\0", b"\xb2", b"Transfer-Encoding: gzip", b"abc"),
            ]
        ),
        max_size=14,
    )
)
def test_the_parser_never_waits_for_what_counts_as_whole(pieces: list[bytes]) -> None:
    """Whatever is sent: else a stranger could have a thread that is for others."""
    if arrived(pieces).missing is Missing.NOTHING:
        parse(b"".join(pieces))
