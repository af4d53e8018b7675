"""Which hosts the inbox page may be opened under."""

import pytest

from app.auth.allowed_hosts import allowed_hosts, is_allowed
from app.domains import comparable

ALLOWED = allowed_hosts(["0.0.0.0", "Mail.Example.com", "bücher.example", "2001:DB8::0:5"])


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:3000", "LOCALHOST:1", "localhost.", "127.0.0.1:3000"),
        *("[::1]", "[::1]:3000", "[0:0:0:0:0:0:0:1]:3000", "0.0.0.0:3000"),
        *("mail.example.com", "MAIL.example.com:443", "mail.example.com."),
        *("xn--bcher-kva.example", "[2001:db8::5]:3000"),
    ],
)
def test_these_are_allowed(host: str) -> None:
    """On any port, in upper or lower case, in any form of an address."""
    assert is_allowed(host, ALLOWED)


@pytest.mark.parametrize(
    "host",
    [
        *(None, "", ":3000", "evil.example", "localhost.evil.example", "evil-localhost"),
        *("mail.example.com.evil.example", "sub.mail.example.com", "example.com"),
        *("127.0.0.2", "127.1", "2130706433", "0x7f.1", "[::2]", "::1", "[::1", "[::1]x"),
        *("localhost:", "localhost:x", "localhost:3000:3000", "localhost@evil.example"),
        *("localhost,evil.example", "localhost evil.example", "localhost/", "localhost\n"),
        *("bücher.example", "[localhost]", "\u2488localhost"),
    ],
)
def test_these_are_not(host: str | None) -> None:
    """A name that only resembles an allowed one is refused, and so is text that isn't a name."""
    expected = host == "[localhost]"  # no browser sends it, and it is the same name
    assert is_allowed(host, ALLOWED) == expected


def test_long_names_fill_no_memory() -> None:
    """Anyone can send them, and names are remembered in the form in which they are compared."""
    remembered = comparable.cache_info().currsize
    assert not any(is_allowed(f"{number}{'a' * 8000}", ALLOWED) for number in range(10))
    assert comparable.cache_info().currsize == remembered
