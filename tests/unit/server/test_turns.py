"""Which of the requests that have arrived gets the next thread."""

from types import SimpleNamespace
from typing import Any

from app.server.gunicorn_internals.turns import Turns


def connection(address: str, number: int) -> Any:
    """Return what Turns looks at of a connection."""
    client = (address, 4711) if address else ""  # as a Unix socket has it
    return SimpleNamespace(client=client, name=f"{address}#{number}")


def order(*addresses: str) -> list[str]:
    """Return in which order requests from `addresses`, which arrive in this one, get a thread."""
    turns: Any = Turns()
    for number, address in enumerate(addresses):
        turns.add(connection(address, number))
    return [turns.take().name for _ in range(len(turns))]


def test_a_flood_makes_another_client_wait_for_one_request() -> None:
    """A hundred requests wait before the other client's: 99 of them get a thread after it."""
    taken = order(*["192.0.2.1"] * 100, "192.0.2.2")
    assert taken.index("192.0.2.2#100") == 1
    assert len(taken) == 101


def test_the_requests_of_one_client_keep_their_order() -> None:
    """Also when others come in between."""
    assert order("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1") == [
        "192.0.2.1#0",
        "192.0.2.2#1",
        "192.0.2.1#2",
        "192.0.2.1#3",
    ]


def test_a_network_of_ipv6_is_one_client() -> None:
    """A /64 has addresses enough to take every turn."""
    taken = order("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
    assert taken.index("2001:db8:0:1::1#3") == 1


def test_all_of_a_unix_socket_are_one_client() -> None:
    """Its peers have no address."""
    assert order("", "", "192.0.2.1") == ["#0", "192.0.2.1#2", "#1"]


def test_a_client_that_was_served_begins_anew() -> None:
    """Nothing is kept of a client that has no request waiting."""
    turns: Any = Turns()
    for _ in range(2):
        turns.add(connection("192.0.2.1", 0))
        assert (len(turns), turns.take().name, len(turns)) == (1, "192.0.2.1#0", 0)
