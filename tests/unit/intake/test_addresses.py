import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processor_time import processor_seconds

from app.intake.addresses import comparable_domain, domain_of, find_addresses, is_address


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ann <ann@example.com>", ["ann@example.com"]),
        (" <ann@example.com> ", ["ann@example.com"]),
        ("ann@example.com, Bob <bob@example.com>", ["ann@example.com", "bob@example.com"]),
        ('"Smith, Ann" <ann@example.com>', ["ann@example.com"]),
        ("ann @ example . com", ["ann@example.com"]),
        ("ann@example.com (Ann)", ["ann@example.com"]),
        ("Pete(A \\) chap) <pete(his account)@silly.test(his host)>", ["pete@silly.test"]),
        ("ann@example.com via List <list@example.org>", ["list@example.org"]),
        (
            "ann@example.com <bob@example.com>, Cy <cy@example.com>, di@example.com",
            ["bob@example.com", "cy@example.com", "di@example.com"],
        ),
        ("ann@example.com Team", []),
        ("ann@example.com Team (one)", []),
        ('"a(b)c"@example.com, ann@example.com', ['"a(b)c"@example.com', "ann@example.com"]),
        ("undisclosed-recipients:;", []),
        ("nobody", []),
    ],
)
def test_addresses_are_found_in_header_values(text: str, found: list[str]) -> None:
    """Names, angle brackets and lists are taken apart; none is made up, or taken from a name."""
    assert find_addresses(text) == found


@pytest.mark.parametrize("bomb", [",", "(", "<", '"', "@", "[", "\\", "a@b,", "(a@b"])
def test_a_hostile_value_is_read_in_no_time(bomb: str) -> None:
    """No value of the length that parse lets through takes more than 100 ms or raises."""
    value = (bomb * 4096)[:4096]
    assert processor_seconds(lambda: find_addresses(value)) < 0.1


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
        ("", ""),
    ],
)
def test_domains_are_comparable(address: str, domain: str) -> None:
    """Case, a final dot and the Unicode form make no difference between two domains."""
    assert domain_of(address) == domain


def test_a_domain_beyond_idna_stays_as_it_is() -> None:
    """A label that IDNA can't encode is compared in lower case."""
    assert comparable_domain("Ü" * 70 + ".example") == "ü" * 70 + ".example"
