"""Look-ups of names end in time, and don't pile up."""

import threading
import time
from collections.abc import Iterator

import pytest

from app.deliveries.name_lookup import NameLookup, look_up


@pytest.fixture
def answered() -> Iterator[threading.Event]:
    """Return what lets a name server answer; it does so in any case in the end."""
    event = threading.Event()
    yield event
    event.set()


def test_one_that_hangs_is_given_up(answered: threading.Event) -> None:
    """It ends at the deadline, and ten of them have one thread."""
    asked = []

    def hang(name: str) -> list[str]:
        asked.append(name)
        answered.wait()
        return ["192.0.2.1"]

    lookup = NameLookup(hang)
    before = threading.active_count()
    for _ in range(10):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            lookup.addresses("app.example", began + 0.02)
        assert time.monotonic() - began < 2
    assert asked == ["app.example"]
    assert threading.active_count() == before + 1
    answered.set()
    assert lookup.addresses("app.example", time.monotonic() + 5) == ["192.0.2.1"]


def test_another_name_does_not_wait(answered: threading.Event) -> None:
    """Nor does an endpoint whose name server answers."""

    def one_hangs(name: str) -> list[str]:
        if name == "slow.example":
            answered.wait()
        return ["192.0.2.2"]

    lookup = NameLookup(one_hangs)
    with pytest.raises(TimeoutError):
        lookup.addresses("slow.example", time.monotonic() + 0.02)
    assert lookup.addresses("fast.example", time.monotonic() + 5) == ["192.0.2.2"]


def test_nothing_is_remembered() -> None:
    """Each attempt sees what the name has now."""
    answers = iter((["192.0.2.1"], ["192.0.2.2"]))
    lookup = NameLookup(lambda _: next(answers))
    until = time.monotonic() + 5
    assert lookup.addresses("app.example", until) == ["192.0.2.1"]
    assert lookup.addresses("app.example", until) == ["192.0.2.2"]


def test_an_address_is_not_looked_up() -> None:
    """Of either kind."""

    def never(_: str) -> list[str]:
        raise AssertionError

    for address in ("192.0.2.1", "2001:db8::1"):
        assert NameLookup(never).addresses(address, 0) == [address]


@pytest.mark.parametrize("name", ["nothing.invalid", "a" * 64 + ".example", "a..example"])
def test_a_name_without_addresses_is_an_error(name: str) -> None:
    """Also one that can't even be asked for."""
    with pytest.raises(OSError, match=r"."):
        NameLookup().addresses(name, time.monotonic() + 20)


def test_unusual_ways_to_write_an_address_are_looked_up() -> None:
    """So what is judged is what the connection is made to."""
    assert look_up("127.1") == look_up("0x7f000001") == ["127.0.0.1"]
