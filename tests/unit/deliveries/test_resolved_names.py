"""A connection is made to an address that was checked, whatever the name resolves to next."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from support.endpoint_server import OK, EndpointServer, answering, healthy
from support.sending import NOW, PAYLOAD, sender_to

from app.deliveries.outcome import Outcome, OutcomeKind, Reason

METADATA, LOOPBACK = "169.254.169.254", "127.0.0.1"


def sent(server: EndpointServer, addresses: Sequence[str], **changes: Any) -> Outcome:
    """Return what comes of an attempt when app.example has these `addresses`."""
    with sender_to(server.url("app.example"), lambda _: list(addresses), **changes) as sender:
        return sender.send("msg_1", PAYLOAD, NOW)


def test_a_name_that_resolves_to_loopback() -> None:
    """Where that is allowed it gets the message, under its own name; elsewhere nothing."""
    with EndpointServer(healthy) as server:
        refused = sent(server, [LOOPBACK], networks="public")
        assert (refused.reason, server.visits) == (Reason.ADDRESS_REFUSED, 0)
        assert sent(server, [LOOPBACK]).kind is OutcomeKind.DELIVERED
        assert server.received[0].headers["Host"] == f"app.example:{server.port}"


def test_a_name_that_resolves_to_a_metadata_service() -> None:
    """It is refused, and the attempt says why."""
    with EndpointServer(healthy) as server:
        outcome = sent(server, [METADATA])
    assert (outcome.reason, outcome.kind) == (Reason.ADDRESS_REFUSED, OutcomeKind.UNREACHABLE)
    assert outcome.attempt.error == (
        "Requests may not be sent there: 169.254.169.254 is a link-local address."
    )


def test_a_name_that_resolves_to_both() -> None:
    """The other address is used, in whichever order they come, and even if it doesn't answer."""
    with EndpointServer(healthy) as server:
        for addresses in ([METADATA, LOOPBACK], [LOOPBACK, METADATA]):
            outcome = sent(server, addresses)
            assert (outcome.kind, outcome.attempt.address) == (OutcomeKind.DELIVERED, LOOPBACK)
        outcome = sent(server, ["127.0.0.2", METADATA])
        assert (outcome.reason, outcome.attempt.address) == (Reason.CONNECTION_FAILED, "127.0.0.2")


def test_a_name_that_resolves_to_another_one_at_each_look_up() -> None:
    """There is one look-up an attempt: what was checked is what the connection is made to."""
    answers = iter([[LOOPBACK], [METADATA], [LOOPBACK]])
    with EndpointServer(healthy) as server:
        with sender_to(server.url("app.example"), lambda _: next(answers)) as sender:
            outcomes = [sender.send("msg_1", PAYLOAD, NOW) for _ in range(3)]
        assert [each.attempt.address for each in outcomes] == [LOOPBACK, None, LOOPBACK]
        assert len(server.received) == 2


def test_a_name_that_moves_takes_the_messages_along() -> None:
    """A connection that is kept to the old address isn't used any more."""
    addresses = [LOOPBACK]
    with EndpointServer(healthy, at="0.0.0.0") as server:
        with sender_to(server.url("app.example"), lambda _: addresses) as sender:
            sender.send("msg_1", PAYLOAD, NOW)
            addresses = ["127.0.0.2"]
            outcome = sender.send("msg_2", PAYLOAD, NOW)
        assert (outcome.attempt.address, server.visits) == ("127.0.0.2", 2)


def test_an_address_that_does_not_answer_leaves_time_for_the_next() -> None:
    """As one of IPv6 may do where only IPv4 works."""
    with EndpointServer(healthy) as server:
        outcome = sent(server, ["127.0.0.3", "::1", LOOPBACK])
        assert (outcome.kind, outcome.attempt.address) == (OutcomeKind.DELIVERED, LOOPBACK)


def test_one_that_did_not_answer_is_tried_last_from_then_on() -> None:
    """Or each new connection would wait for it."""
    closing = answering(OK)
    with EndpointServer(closing) as server:
        url = server.url("app.example")
        with sender_to(url, lambda _: ["127.0.0.3", LOOPBACK]) as sender:
            sender.send("msg_1", PAYLOAD, NOW)
            # Something listens there by now, and would get the message but for what happened.
            with EndpointServer(closing, at="127.0.0.3", port=server.port) as other:
                for _ in range(2):
                    sender.send("msg_1", PAYLOAD, NOW)
                assert (server.visits, other.visits) == (3, 0)


def test_a_name_without_addresses() -> None:
    """The endpoint is unreachable."""

    def nothing(_: str) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with sender_to("http://app.example/", nothing) as sender:
        outcome = sender.send("msg_1", PAYLOAD, NOW)
    assert outcome.reason is Reason.NAME_NOT_FOUND
    assert outcome.attempt.error == "app.example can't be looked up: Name or service not known."


def test_a_look_up_that_hangs_ends_in_time() -> None:
    """The name counts within the endpoint's timeout."""
    is_over = threading.Event()

    def hang(_: str) -> list[str]:
        is_over.wait()
        return [LOOPBACK]

    began = time.monotonic()
    with sender_to("http://app.example/", hang) as sender:
        outcome = sender.send("msg_1", PAYLOAD, NOW)
    assert outcome.reason is Reason.TIMEOUT
    assert time.monotonic() - began < 3
    is_over.set()
