"""Connections are kept alive, and a message isn't lost on one that has ended."""

import socket
from contextlib import closing

import pytest
from support.clock import Clock
from support.endpoint_server import OK, EndpointServer, Treat, Visit, healthy
from support.sending import NOW, PAYLOAD, sender_to

from app.deliveries.connection import Connection
from app.deliveries.outcome import OutcomeKind, Reason
from app.deliveries.pool import KEPT_SECONDS, Pool

DELIVERED = OutcomeKind.DELIVERED


def test_messages_follow_each_other_on_one_connection() -> None:
    """Until the sender is closed."""
    with EndpointServer(healthy) as server:
        with sender_to(server.url()) as sender:
            for number in range(5):
                outcome = sender.send(f"msg_{number}", PAYLOAD, NOW)
                assert (outcome.kind, outcome.attempt.answer) == (DELIVERED, b"ok")
        assert server.visits == 1
        assert [each.headers["webhook-id"] for each in server.received] == [
            f"msg_{number}" for number in range(5)
        ]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_each_kind_of_answer_leaves_a_connection_that_can_be_used(answer: bytes) -> None:
    """Read to its end, however that is told."""

    def treat(visit: Visit) -> None:
        for _ in visit.requests():
            visit.send(answer)

    with EndpointServer(treat) as server, sender_to(server.url()) as sender:
        outcomes = {sender.send("msg_1", PAYLOAD, NOW).attempt.status for _ in range(3)}
        assert (len(outcomes), server.visits) == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
def test_one_that_the_endpoint_wants_closed_is_closed(answer: bytes) -> None:
    """The next message has another."""

    def treat(visit: Visit) -> None:
        visit.request()
        visit.send(answer)

    with EndpointServer(treat) as server, sender_to(server.url()) as sender:
        assert [sender.send("msg_1", PAYLOAD, NOW).kind for _ in range(2)] == [DELIVERED] * 2
        assert (server.visits, len(server.received)) == (2, 2)


def closes_at_the_wrong_moment(visit: Visit) -> None:
    """Answer once, then close when the next request has arrived; the second visit is healthy."""
    visit.request()
    visit.send(OK)
    visit.request()
    if visit.number > 1:
        visit.send(OK)


def resets_at_the_wrong_moment(visit: Visit) -> None:
    visit.request()
    visit.send(OK)
    visit.request()
    if visit.number == 1:
        visit.reset()
    visit.send(OK)


@pytest.mark.parametrize("treat", [closes_at_the_wrong_moment, resets_at_the_wrong_moment])
def test_one_that_ends_at_the_wrong_moment(treat: Treat) -> None:
    """The message is sent again at once, with the same id, and no attempt is lost."""
    with EndpointServer(treat) as server, sender_to(server.url()) as sender:
        sender.send("msg_1", PAYLOAD, NOW)
        assert sender.send("msg_2", PAYLOAD, NOW).kind is DELIVERED
        sent = [(each.visit, each.headers["webhook-id"]) for each in server.received]
        assert sent == [(1, "msg_1"), (1, "msg_2"), (2, "msg_2")]


def test_it_is_sent_again_once() -> None:
    """An endpoint that ends the new connection, too, has failed."""

    def treat(visit: Visit) -> None:
        visit.request()
        if visit.number == 1:
            visit.send(OK)
            visit.request()

    with EndpointServer(treat) as server, sender_to(server.url()) as sender:
        sender.send("msg_1", PAYLOAD, NOW)
        assert sender.send("msg_2", PAYLOAD, NOW).reason is Reason.CONNECTION_CLOSED
        assert len(server.received) == 3


def test_it_is_not_sent_again_when_there_was_a_part_of_an_answer() -> None:
    """The endpoint has the message, and failed over it."""

    def treat(visit: Visit) -> None:
        visit.request()
        visit.send(OK)
        visit.request()
        visit.send(b"HTTP/1.1 200 OK\r\nX-")

    with EndpointServer(treat) as server, sender_to(server.url()) as sender:
        sender.send("msg_1", PAYLOAD, NOW)
        assert sender.send("msg_2", PAYLOAD, NOW).reason is Reason.CONNECTION_CLOSED
        assert len(server.received) == 2


def test_a_timeout_is_not_sent_again() -> None:
    """Or an attempt would take twice its time."""

    def treat(visit: Visit) -> None:
        visit.request()
        visit.send(OK)
        visit.request()
        visit.hang()

    with EndpointServer(treat) as server, sender_to(server.url()) as sender:
        sender.send("msg_1", PAYLOAD, NOW)
        assert sender.send("msg_2", PAYLOAD, NOW).reason is Reason.TIMEOUT
        assert server.visits == 1


@pytest.mark.parametrize("surplus", [OK, b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", b"!"])
def test_a_second_answer_is_not_that_of_the_next_message(surplus: bytes) -> None:
    """A connection over which more has come than was asked for isn't used again."""

    def answers_twice(visit: Visit) -> None:
        visit.request()
        visit.send(OK + surplus)
        visit.hang()

    with EndpointServer(answers_twice) as server, sender_to(server.url()) as sender:
        assert [sender.send("msg_1", PAYLOAD, NOW).kind for _ in range(3)] == [DELIVERED] * 3
        assert server.visits == 3


def pair() -> tuple[Connection, socket.socket]:
    """Return a connection, and the side of the endpoint."""
    ours, theirs = socket.socketpair()
    return Connection(ours, "192.0.2.1", 1), theirs


def test_the_pool_keeps_so_many_and_so_long() -> None:
    """Those beyond are closed, and those that weren't used for KEPT_SECONDS."""
    clock = Clock(0.0)
    pool = Pool(2, clock)
    connections, others = zip(*(pair() for _ in range(3)), strict=True)
    for each in connections:
        pool.keep(each)
    assert [each.is_closed for each in connections] == [False, False, True]
    assert pool.take(["192.0.2.2"]) is None
    taken = pool.take(["192.0.2.2", "192.0.2.1"])
    assert taken is connections[1]
    clock.now = KEPT_SECONDS + 1
    assert pool.take(["192.0.2.1"]) is None
    assert connections[0].is_closed
    pool.close()
    pool.keep(taken)
    assert taken.is_closed
    for each in others:
        each.close()


def test_the_pool_passes_over_what_has_ended() -> None:
    """Or over which something has come unasked for."""
    pool = Pool(4)
    (good, _good), (ended, _ended), (spoiled, _spoiled) = (pair() for _ in range(3))
    for each in (good, ended, spoiled):
        pool.keep(each)
    _ended.close()
    _spoiled.send(b"!")
    with closing(_good), closing(_spoiled), closing(pool):
        taken = pool.take(["192.0.2.1"])
        assert taken is good
        assert (ended.is_closed, spoiled.is_closed) == (True, True)
        taken.close()


def test_a_connection_never_makes_itself_anew() -> None:
    """It would go to an address that nobody has checked."""
    connection, theirs = pair()
    connection.close()
    theirs.close()
    with pytest.raises(Exception, match=r"^$") as caught:
        connection.request("POST", "/")
    assert type(caught.value).__name__ == "NotConnected"
