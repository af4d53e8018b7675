from collections.abc import Sequence

import pytest
from support.endpoints import endpoint
from support.processor_time import processor_seconds

from app.deliveries.routes import Routes

MANY = 1000


def names_for(patterns: Sequence[str], recipient: str) -> tuple[str, ...]:
    """Return the names of a recipient's endpoints, of which there is one for each pattern."""
    found = Routes([endpoint(pattern, recipients=(pattern,)) for pattern in patterns])
    return found.names_for(recipient)


@pytest.mark.parametrize(
    ("pattern", "recipient"),
    [
        ("support@example.com", "support@example.com"),
        ("support@example.com", "Support@EXAMPLE.com"),
        ("Support@Example.COM", "support@example.com"),
        ("support@example.com", "support@example.com."),
        ("help+*@example.com", "help+1234@example.com"),
        ("help+*@example.com", "HELP+abc@example.com"),
        ("help+*@example.com", "help+@example.com"),
        ("help+*@example.com", "help+a+b@example.com"),
        ("order-*@example.com", "order-7@example.com"),
        ("*@example.com", "anybody@example.com"),
        ("*@bücher.example", "ann@xn--bcher-kva.example"),
        ("*@xn--bcher-kva.example", "ann@BÜCHER.example"),
        ("*@straße.example", "ann@xn--strae-oqa.example"),
        ("*@[192.0.2.1]", "ann@[192.0.2.1]"),
        ('"a b"@example.com', '"a b"@example.com'),
        ("*@example.com", '"a@b"@example.com'),
        ("jürgen@example.com", "jürgen@example.com"),
        ("*", "ann@example.com"),
        ("*", "postmaster@[::1]"),
    ],
)
def test_a_recipient_matches(pattern: str, recipient: str) -> None:
    """The whole address, the beginning of its local part, its domain, or any; case is the same."""
    assert names_for([pattern], recipient) == (pattern,)


@pytest.mark.parametrize(
    ("pattern", "recipient"),
    [
        ("support@example.com", "support@example.org"),
        ("support@example.com", "support+x@example.com"),
        ("support@example.com", "xsupport@example.com"),
        ("help+*@example.com", "help@example.com"),
        ("help+*@example.com", "xhelp+1@example.com"),
        ("help+*@example.com", "help+1@sub.example.com"),
        ("help+*@example.com", "hel"),
        ("*@example.com", "ann@sub.example.com"),
        ("*@example.com", "ann@notexample.com"),
        ("*@strasse.example", "ann@straße.example"),
        ("JÜRGEN@example.com", "jürgen@example.com"),
        ("h.lp@example.com", "help@example.com"),
    ],
)
def test_a_recipient_does_not_match(pattern: str, recipient: str) -> None:
    """No subdomain, no other beginning, no letter outside of ASCII in another case."""
    assert names_for([pattern], recipient) == ()


def test_each_endpoint_that_matches_gets_the_message_once() -> None:
    """In the order of the configuration, however many of its patterns match."""
    routes = Routes(
        [
            endpoint("third", recipients=("*@example.com",)),
            endpoint("other", recipients=("*@example.org",)),
            endpoint("all"),
            endpoint("first", recipients=("ann@example.com", "a*@example.com", "*@example.com")),
        ]
    )
    assert routes.names_for("ann@example.com") == ("third", "all", "first")
    assert routes.names_for("bob@example.com") == ("third", "all", "first")
    assert routes.names_for("bob@example.net") == ("all",)


def test_beginnings_of_one_domain_are_told_apart() -> None:
    """The longest doesn't hide the shorter ones, nor the other way round."""
    patterns = ["a*@b.c", "a+*@b.c", "a+x*@b.c", "b*@b.c"]
    assert names_for(patterns, "a+xy@b.c") == ("a*@b.c", "a+*@b.c", "a+x*@b.c")
    assert names_for(patterns, "a@b.c") == ("a*@b.c",)


def test_a_look_up_changes_nothing() -> None:
    """Threads do it at the same time, and unknown domains leave nothing behind."""
    routes = Routes([endpoint("one", recipients=("a+*@b.c", "x@y.z"))])
    before = repr(vars(routes))
    for recipient in ("a@unknown.example", "b@b.c", "q@y.z"):
        assert routes.names_for(recipient) == ()
    assert repr(vars(routes)) == before


@pytest.mark.parametrize("pattern", ["u{}@example.com", "u{}+*@example.com", "*@d{}.example"])
def test_many_endpoints_cost_no_more_than_a_few(pattern: str) -> None:
    """A look-up among a thousand takes 20 us at most, where a message takes some 900."""
    routes = Routes(
        [endpoint(f"e{number}", recipients=(pattern.format(number),)) for number in range(MANY)]
    )
    recipients = [pattern.format(number).replace("*", "x") for number in range(MANY)]
    assert list(map(routes.names_for, recipients)) == [(f"e{number}",) for number in range(MANY)]
    bound = 20e-6 * MANY
    assert processor_seconds(lambda: list(map(routes.names_for, recipients)), bound) < bound
