"""Whatever an endpoint does, an attempt ends in time, with the right outcome."""

import gzip
import time

import pytest
from support.endpoint_server import (
    OK,
    EndpointServer,
    Treat,
    Visit,
    answering,
    closed_port,
    healthy,
)
from support.sending import NOW, PAYLOAD, sender_to, sent_to

from app.deliveries.outcome import OutcomeKind, Reason
from app.deliveries.payload import Payload

BIG = Payload(b"x" * 8 * 1024 * 1024, "message/rfc822")
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
IN_TIME_SECONDS = 3.0
"""With a timeout of 1 s, on a busy machine."""


def status(line: str, *fields: str, body: bytes = b"") -> bytes:
    """Return an answer."""
    lines = [f"HTTP/1.1 {line}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def resets(visit: Visit) -> None:
    visit.request()
    visit.reset()


def hangs(visit: Visit) -> None:
    visit.request()
    visit.hang()


def never_reads(visit: Visit) -> None:
    visit.hang()


def hangs_within_the_head(visit: Visit) -> None:
    visit.request()
    visit.send(b"HTTP/1.1 200 OK\r\nContent-")
    visit.hang()


def drips_its_head(visit: Visit) -> None:
    visit.request()
    visit.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000)


def continues_for_ever(visit: Visit) -> None:
    visit.request()
    while not visit.server.is_over.wait(0.02):
        visit.send(b"HTTP/1.1 100 Continue\r\n\r\n")


def hints_for_ever(visit: Visit) -> None:
    visit.request()
    while not visit.server.is_over.wait(0.02):
        visit.send(INTERIM)


def closes_within_the_head(visit: Visit) -> None:
    visit.request()
    visit.send(b"HTTP/1.1 200 OK\r\nX-A: b\r\n")


BAD: dict[str, tuple[Treat, Reason]] = {
    "resets": (resets, Reason.CONNECTION_CLOSED),
    "closes": (answering(), Reason.CONNECTION_CLOSED),
    "closes within the head": (closes_within_the_head, Reason.CONNECTION_CLOSED),
    "hangs before the head": (hangs, Reason.TIMEOUT),
    "hangs within the head": (hangs_within_the_head, Reason.TIMEOUT),
    "drips its head": (drips_its_head, Reason.TIMEOUT),
    "continues for ever": (continues_for_ever, Reason.TIMEOUT),
    "301": (answering(status("301 Moved", "Location: /other")), Reason.REDIRECT),
    "302": (answering(status("302 Found", "Location: http://10.0.0.1/")), Reason.REDIRECT),
    "307": (answering(status("307 Temporary", "Location: http://127.0.0.1/")), Reason.REDIRECT),
    "400": (answering(status("400 Bad")), Reason.REFUSED),
    "410": (answering(status("410 Gone")), Reason.GONE),
    "429": (answering(status("429 Slow down")), Reason.RATE_LIMITED),
    "500": (answering(status("500 Oops")), Reason.SERVER_ERROR),
    "503": (answering(status("503 Later")), Reason.SERVER_ERROR),
    "only an interim answer": (answering(INTERIM), Reason.CONNECTION_CLOSED),
    "interim answers for ever": (hints_for_ever, Reason.TIMEOUT),
    "another protocol at request": (answering(status("101 Switching")), Reason.REFUSED),
    "another protocol": (answering(b"SSH-2.0-OpenSSH_9.2\r\n"), Reason.ANSWER_INVALID),
    "HTTP/2": (answering(b"HTTP/2 200\r\n\r\n"), Reason.ANSWER_INVALID),
    "a head without end": (answering(OK[:17] + b"X: " + b"y" * 200000), Reason.ANSWER_INVALID),
    "too many fields": (answering(OK[:17] + b"X: y\r\n" * 101 + b"\r\n"), Reason.ANSWER_INVALID),
}


@pytest.mark.parametrize("name", BAD)
def test_each_ends_in_time_with_its_reason(name: str) -> None:
    """One request is made, and none to where a redirect leads."""
    treat, reason = BAD[name]
    with EndpointServer(treat) as server:
        began = time.monotonic()
        outcome = sent_to(server)
        assert time.monotonic() - began < IN_TIME_SECONDS
        assert outcome.reason is reason, outcome
        assert outcome.attempt.error
        assert outcome.attempt.address == "127.0.0.1"
        assert outcome.pauses == (name == "410")
        assert server.visits == 1


def test_one_that_resets_at_once() -> None:
    """The reset may arrive before connect() has returned, or after."""
    for _ in range(20):
        with EndpointServer(Visit.reset) as server:
            outcome = sent_to(server)
            assert outcome.reason in {Reason.CONNECTION_CLOSED, Reason.CONNECTION_FAILED}
            assert outcome.kind is OutcomeKind.UNREACHABLE
            assert server.visits == 1


def test_interim_answers_are_no_answers() -> None:
    """The final one decides (RFC 9110 section 15.2), and the connection is kept."""
    for final, reason in ((OK, None), (status("400 Bad"), Reason.REFUSED)):
        treat = answering(b"HTTP/1.1 102 Processing\r\n\r\n" + INTERIM + final)
        with EndpointServer(treat) as server:
            assert sent_to(server).reason is reason


def test_where_a_redirect_leads_is_shown_without_secrets() -> None:
    """Often it is the URL of the request, with its token, and https."""
    leads = {
        "https://app.example/h?token=Pl4nted": "https://app.example/h?***",
        "https://ann:Pl4nted@app.example/h#Pl4nted": "https://***@app.example/h?***",
        "/h?a=1\t&token=Pl4nted": "/h?***",
    }
    for location, shown in leads.items():
        with EndpointServer(answering(status("301 Moved", f"Location: {location}"))) as server:
            error = str(sent_to(server).attempt.error)
        assert f"redirects to {shown} are not followed" in error
        assert "Pl4nted" not in error


def test_one_that_refuses_connections() -> None:
    """It is unreachable at once."""
    with closed_port() as port, sender_to(f"http://127.0.0.1:{port}/") as sender:
        outcome = sender.send("msg_1", PAYLOAD, NOW)
    assert outcome.reason is Reason.CONNECTION_FAILED
    assert outcome.kind is OutcomeKind.UNREACHABLE
    assert "refused" in str(outcome.attempt.error)


def test_one_that_does_not_read() -> None:
    """Sending ends in time, too."""
    with EndpointServer(never_reads) as server:
        began = time.monotonic()
        outcome = sent_to(server, BIG)
        assert outcome.reason is Reason.TIMEOUT
        assert time.monotonic() - began < IN_TIME_SECONDS


def test_one_that_answers_before_it_has_read() -> None:
    """Its answer counts, though the connection ended while the message was being sent."""

    def too_large(visit: Visit) -> None:
        visit.connected.recv(1000)
        visit.send(status("413 Too Large", "Connection: close"))

    with EndpointServer(too_large) as server:
        outcome = sent_to(server, BIG)
    assert (outcome.reason, outcome.attempt.status) == (Reason.REFUSED, 413)


def hangs_behind_the_head(visit: Visit) -> None:
    visit.request()
    visit.send(status("200 OK", body=b"ok")[:-1])
    visit.hang()


def drips_its_body(visit: Visit) -> None:
    visit.request()
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    visit.drip(b"x" * 100000)


@pytest.mark.parametrize("treat", [hangs_behind_the_head, drips_its_body])
def test_a_body_that_does_not_end_changes_nothing(treat: Treat) -> None:
    """The status says that the message has arrived; the connection isn't used again."""
    with EndpointServer(treat) as server, sender_to(server.url()) as sender:
        began = time.monotonic()
        outcome = sender.send("msg_1", PAYLOAD, NOW)
        assert time.monotonic() - began < IN_TIME_SECONDS
        assert outcome.kind is OutcomeKind.DELIVERED
        server.treat = healthy
        assert sender.send("msg_2", PAYLOAD, NOW).kind is OutcomeKind.DELIVERED
        assert server.visits == 2


def test_an_answer_of_a_gigabyte() -> None:
    """It is a success, of which the first KiB is kept; the rest fills buffers at most."""
    piece = b"0123456789abcdef" * 4096
    taken = 0

    def treat(visit: Visit) -> None:
        nonlocal taken
        visit.request()
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        for _ in range(1073741824 // len(piece)):
            visit.send(piece)
            taken += len(piece)

    with EndpointServer(treat) as server:
        began = time.monotonic()
        outcome = sent_to(server)
        assert time.monotonic() - began < IN_TIME_SECONDS
    assert taken < 32 * 1024 * 1024
    assert outcome.kind is OutcomeKind.DELIVERED
    assert outcome.attempt.answer == b"0123456789abcdef" * 64


def test_a_bomb_is_not_unpacked() -> None:
    """The answer is kept as it came."""
    bomb = gzip.compress(bytes(50 * 1024 * 1024))
    fields = ("Content-Encoding: gzip", "Content-Type: text/plain")
    with EndpointServer(answering(status("200 OK", *fields, body=bomb))) as server:
        outcome = sent_to(server)
        assert server.received[0].headers["Accept-Encoding"] == "identity"
    assert outcome.kind is OutcomeKind.DELIVERED
    assert outcome.attempt.answer == bomb[:1024]


@pytest.mark.parametrize(
    ("line", "value", "seconds"),
    [
        ("429 No", "120", 120),
        ("503 No", "Thu, 26 Nov 2026 12:02:00 GMT", 119.5),
        ("429 No", "Thu, 26 Nov 2020 12:02:00 GMT", 0),
        ("429 No", "31536000", 86400),
        ("200 OK", "120", None),
    ],
)
def test_what_it_asks_for_with_retry_after(line: str, value: str, seconds: float | None) -> None:
    """In seconds, as a date, in the past, in a year; a success has nothing to be repeated."""
    with EndpointServer(answering(status(line, f"Retry-After: {value}"))) as server:
        assert sent_to(server).retry_after_s == seconds


def test_a_redirect_is_named() -> None:
    """So that whoever reads the attempt can correct the URL."""
    with EndpointServer(answering(status("302 Found", "Location: /new\u202e"))) as server:
        error = sent_to(server).attempt.error
    assert error == "The endpoint answered 302 Found; redirects to /new are not followed."


def test_the_answer_is_kept_as_bytes() -> None:
    """Its first KiB, whatever it is, and its status."""
    body = bytes(range(256)) * 5
    with EndpointServer(answering(status("500 Oops", body=body))) as server:
        attempt = sent_to(server).attempt
    assert (attempt.status, attempt.answer, attempt.at) == (500, body[:1024], NOW)
    assert attempt.error == "The endpoint answered 500 Oops."


def test_no_proxy_and_no_netrc(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says about other programs' requests means nothing here."""
    with EndpointServer(healthy) as server, EndpointServer(healthy) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url())
        assert sent_to(server).kind is OutcomeKind.DELIVERED
        assert (server.visits, proxy.visits) == (1, 0)
        assert "Authorization" not in server.received[0].headers
