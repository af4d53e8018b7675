import re

import pytest
from address_table import RULES
from hypothesis import given
from hypothesis import strategies as st
from support.processor_time import processor_seconds

from app.address import is_address
from app.domains import comparable, domain_of, in_unicode
from app.mime.addresses import find_addresses, named_address, whole_address


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com",
        "ann+tag@sub.example.com",
        "ann@example.com.",
        "ann@localhost",
        '"ann b"@example.com',
        r'"ann\"b"@example.com',
        "ann@[192.0.2.1]",
        "ann@[IPv6:2001:db8::1]",
        "bücher@bücher.example",
        "a" * 985 + "@example.com.",
    ],
)
def test_an_address_is_taken(text: str) -> None:
    """Whatever RFC 5321 and RFC 6531 call a mailbox passes, up to the limit of 998 characters."""
    assert is_address(text)
    assert find_addresses(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@example..com",
        "ann@.com",
        "ann b@example.com",
        "ann@exa mple.com",
        "ann@example.com\r\nBcc: bob@example.com",
        '"ann\n"@example.com',
        "ann\x00@example.com",
        "ann@example.com\x7f",
        "ann@bob@example.com",
        "../../etc/passwd",
        "a" * 987 + "@example.com",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Nothing without exactly one local part and one domain, and no control character, passes."""
    assert not is_address(text)


TABLE = [(field, list(found)) for rule in RULES for field, found in rule.fields]


@pytest.mark.parametrize(("field", "found"), TABLE)
def test_addresses_are_found_by_the_rules_of_the_page(field: str, found: list[str]) -> None:
    """Each field of docs/addresses.md holds what the page says, on every Python."""
    assert find_addresses(field) == found


def test_the_page_has_enough_fields() -> None:
    """Every rule has examples, sixty and more in all, none twice."""
    assert len(TABLE) >= 60
    assert len({field for field, _ in TABLE}) == len(TABLE)
    assert all(rule.fields for rule in RULES)


PIECES = [*"ab.@,;:<>()[]\"'` \\", "a@b.c", "=?utf-8?q?a@b?=", "Ann ", "<a@b.c>", ", "]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=60))
def test_what_is_found_stands_in_the_field(field: str) -> None:
    """No address is made of pieces: without comments and spaces around . and @, it is there."""
    plain = re.sub(r"\s*([.@])\s*", r"\1", field)
    for address in find_addresses(field):
        assert is_address(address)
        assert address in field or address in plain or "(" in field


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_a_given_address_is_whole(text: str) -> None:
    """What is taken from an envelope is all of it but brackets, quotes and space around it."""
    address = whole_address(text)
    assert address is None or address == text.strip().strip("<>'`") or address in text
    if address is not None:
        assert len(text.strip()) - len(address) <= 4


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann <ann@example.com>", "ann@example.com"),
        ('"Doe, Ann" <ann@example.com>', "ann@example.com"),
        ("<'ann@example.com'>", "ann@example.com"),
        ("ann@example.com (Ann)", "ann@example.com"),
        ("team:ann@example.com", None),
        ("a,b@example.com", None),
        ("ann@example.com, bob@example.com", None),
        ("ann @ example.com", None),
        ("Doe, Ann <ann@example.com>", None),
        ("nobody", None),
    ],
)
def test_a_display_name_may_stand_beside_an_address(text: str, address: str | None) -> None:
    """One address with a name is read; lists, groups and what would have to be changed aren't."""
    assert named_address(text) == address


@pytest.mark.parametrize("bomb", [",", "(", "<", '"', "@", "[", "\\", '"\\', "a@b,", "(a@b"])
def test_a_hostile_value_is_read_in_no_time(bomb: str) -> None:
    """No value of the length that parse lets through takes more than 100 ms or raises."""
    value = (bomb * 4096)[:4096]
    assert processor_seconds(lambda: find_addresses(value), 0.1) < 0.1


@given(st.text())
def test_finding_never_raises(text: str) -> None:
    """Any text gives a list of what are addresses by themselves."""
    assert all(is_address(address) for address in find_addresses(text))


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("ann@EXAMPLE.com", "example.com"),
        ("ann@example.com.", "example.com"),
        ("ann@BÜCHER.example", "xn--bcher-kva.example"),
        ('"a@b"@example.com', "example.com"),
        ("ann@straße.example", "xn--strae-oqa.example"),
        ("ann@BLOCKED.example。", "blocked.example"),
        ("ann@\uff45xample\uff0ecom", "example.com"),
        ("ann@foo_bar.example", "foo_bar.example"),
        ("", ""),
    ],
)
def test_domains_are_comparable(address: str, domain: str) -> None:
    """Case, a final dot and the Unicode form make no difference between two domains."""
    assert domain_of(address) == domain


def test_a_domain_beyond_idna_stays_as_it_is() -> None:
    """A label that IDNA can't encode is compared in lower case."""
    assert comparable("Ü" * 70 + ".example") == "ü" * 70 + ".example"


def test_a_domain_is_shown_in_unicode() -> None:
    """From either of its spellings; what isn't an A-label stays."""
    assert in_unicode("xn--bcher-kva.example") == in_unicode("BÜCHER.example") == "bücher.example"
    assert in_unicode("foo_bar.xn--a.example") == "foo_bar.xn--a.example"
