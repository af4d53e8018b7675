import random
from contextlib import suppress
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processor_time import processor_seconds

from app.errors import MessageRejected
from app.intake.headers import MAX_VALUE_BYTES, Head, parse_head
from app.printable import UNPRINTABLE

REAL_HEAD = (
    b"Received: from mail.example.org (mail.example.org [192.0.2.1])\r\n"
    b"\tby mx.example.com (Postfix) with ESMTPS id 4TBk1z0qZxz\r\n"
    b"\tfor <ann@example.com>; Mon, 06 Nov 2023 08:00:01 +0100 (CET)\r\n"
    b'From: "=?iso-8859-1?Q?J=FCrgen?= \\"J\\" M." <juergen@example.org> (work)\r\n'
    b"To: =?utf-8?B?QW5uIMOEcHBs?= <ann@example.com>, bob@example.com\r\n"
    b"Subject: =?utf-8?B?R3LDvMOfZQ==?= =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n"
    b" continued here\r\n"
    b"Message-ID: <abc@example.org>\r\n"
)
WITHIN_SECONDS = 0.1


def whole(head: bytes) -> Head:
    return parse_head(head + b"\r\n\r\nBody", is_whole=True)


def subject_of(value: bytes) -> str:
    return whole(b"Subject: " + value).subject


def test_a_real_head_is_read() -> None:
    """Comments, quotes, encoded words and folded lines come out as a person would read them."""
    head = whole(REAL_HEAD)
    assert (head.sender, head.recipient) == ("juergen@example.org", "ann@example.com")
    assert head.subject.startswith("Grüße日本")
    assert head.subject.endswith("continued here")


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_the_head_ends_at_the_first_empty_line(line_end: bytes) -> None:
    """What looks like a header field in the body isn't read."""
    raw = line_end.join([b"From: a@example.com", b"", b"To: b@example.com", b""])
    assert parse_head(raw, is_whole=True) == Head(from_field="a@example.com")


def test_a_space_before_the_colon_is_obsolete_and_read() -> None:
    """RFC 5322 section 4.5 has it, and relays deliver it."""
    assert whole(b"From: a@example.com\r\nTo : b@example.com").recipient == "b@example.com"
    assert whole(b"From  : a@example.com\r\n").sender == "a@example.com"  # not an mbox line


@pytest.mark.parametrize("line", [b"not a field", b"Dear Ann,", b"-- ", b"To", b"\xff: x"])
def test_the_first_line_that_is_not_a_field_ends_the_head(line: bytes) -> None:
    """Without a blank line before the body, nothing in it is taken for a field."""
    raw = b"From: a@example.com\nX: y\n folded\n" + line + b"\nTo: b@example.com\nSubject: no\n"
    assert parse_head(raw, is_whole=True) == Head(from_field="a@example.com")
    assert parse_head(raw, is_whole=False) == Head(from_field="a@example.com")


@pytest.mark.parametrize(
    "before",
    [
        *(b"\n", b"\r\n\r\n", b"From a@b Mon Mar  2 12:00:00 2026\r\n", b">From x\n"),
        *(b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n", b"\nFrom x\n"),
    ],
)
def test_what_comes_before_the_head_is_passed_over(before: bytes) -> None:
    """Blank lines, the line of an mbox, and a byte order mark."""
    raw = before + b"From: a@example.com\r\nTo: b@example.com\r\n\r\nTo: c@example.com\r\n"
    head = parse_head(raw, is_whole=True)
    assert (head.sender, head.recipient) == ("a@example.com", "b@example.com")


@pytest.mark.parametrize("end", [b"\r", b"\r\r\n", b"\n\r"])
def test_a_bare_carriage_return_ends_a_line_and_not_the_head(end: bytes) -> None:
    """What some readers would take for a field or for the body can't be hidden from this one."""
    assert whole(b"X: y" + end + b"To: b@example.com").recipient == "b@example.com"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"From", b"FROM", b"To", b"to", b"X-To", b"Received"]),
            st.lists(
                st.binary(min_size=1).filter(lambda part: not set(part) & set(b"\r\n\0")),
                max_size=4,
            ).map(b"\n ".join),
        ),
        min_size=1,
    ),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_fields_are_those_of_the_standard_library(
    fields: list[tuple[bytes, bytes]], line_end: bytes
) -> None:
    """In a head as it should be, the first From and To are what its parser finds, unfolded."""
    head = b"".join(b"%b: %b\n" % field for field in fields).replace(b"\n", line_end)
    expected = BytesHeaderParser(policy=compat32).parsebytes(head)
    found = parse_head(head + line_end, is_whole=True)
    assert (found.from_field, found.to_field) == (
        unfolded(expected, "from"),
        unfolded(expected, "to"),
    )


@pytest.mark.parametrize("before", [b" " * 5000, b"\r\n " * 5000])
def test_white_space_is_no_part_of_a_value(before: bytes) -> None:
    """However much of it comes first."""
    assert whole(b"To:" + before + b"<b@example.com>").recipient == "b@example.com"


def test_no_address_is_cut() -> None:
    """A value that is too long ends behind its last whole address, or has none."""
    many = b", ".join(b"b%d@example.com" % number for number in range(1000))
    assert whole(b"To: " + many).to_field.endswith("@example.com")
    assert len(whole(b"To: " + many).to_field) > 4000
    hidden = b'"' + b"x" * 4085 + b'" <b@example.com>'
    assert whole(b"To: " + hidden).recipient is None


def test_a_head_with_doubled_carriage_returns_ends() -> None:
    """What such a message says in its body isn't taken for a field."""
    raw = b"From: a@example.com\r\r\n\r\r\nHello\r\r\nTo: b@example.com\r\r\n"
    head = parse_head(raw, is_whole=True)
    assert (head.sender, head.recipient) == ("a@example.com", None)


def unfolded(fields: Message, name: str) -> str:
    value = next((str(value) for key, value in fields.raw_items() if key.lower() == name), "")
    raw = value.encode("ascii", "surrogateescape")[:MAX_VALUE_BYTES]
    return raw.replace(b"\r", b"").replace(b"\n", b"").strip(b" \t").decode("utf-8", "replace")


def test_no_address_comes_from_a_quoted_name_that_is_cut() -> None:
    """A value that is too long ends behind an address; where none ended, it holds none."""
    name = b'"' + b"ceo@example.com, " + b"x, " * MAX_VALUE_BYTES + b'"'
    assert whole(b"From: " + name + b" <ann@example.com>").sender is None
    assert whole(b"From: ann@example.com, " + name + b" <bob@example.com>").sender is None
    assert whole(b"From: ann@example.com" + b", bob@example.com" * 999).sender == "ann@example.com"


def test_a_message_may_have_no_body() -> None:
    """A head alone, without an empty line, is a message when it is the whole of it."""
    assert parse_head(b"Subject: Hello", is_whole=True).subject == "Hello"


def test_a_head_that_does_not_end_is_refused() -> None:
    """When more follows than was looked at, a head without an end is none."""
    with pytest.raises(MessageRejected, match="first 14 bytes"):
        parse_head(b"Subject: Hello", is_whole=False)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\r\n\r\nBody", b"\nBody", bytes(10_000), b"just text", b"%PDF-1.7 \xff\n", b"GET / X"],
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    """Nothing, NULs, and bytes without a header field are MessageRejected."""
    with pytest.raises(MessageRejected):
        parse_head(raw, is_whole=True)


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"=?UTF-8?b?R3LDvMOfZQ==?=", "Grüße"),
        (b"=?x-unknown?Q?text?=", "=?x-unknown?Q?text?="),
        (b"=?rot13?Q?text?=", "=?rot13?Q?text?="),
        (b"=?utf-8?B?abcde?=", "=?utf-8?B?abcde?="),
        (b"=?utf-8?Q?=FF=FE?=", "=?utf-8?Q?=FF=FE?="),
        (b"a\x00b\x1b[31mc\x7f", "a b [31mc"),
        (b"=?utf-8?Q?a=00b=1B=0D=0Ac?=", "a b   c"),
        (b"=?utf-8?Q?a=E2=80=A8b=E2=80=A9c?=", "a b c"),
        (b"=?utf-8?Q?a=C2=85b?=", "a b"),
        ("【重要】=?utf-8?B?44GT?=".encode(), "【重要】こ"),
        (b"=?x-unknown?Q?a?= =?utf-8?Q?=C3=BC?=", "=?x-unknown?Q?a?= ü"),
        (b"=?us-ascii*en?Q?Hi?=", "Hi"),
        (b"=?iso-8859-1?Q?=8010?=", "€10"),
        (b"=?gb2312?B?xOO6w4hA?=", "你好圓"[:2] + b"\x88\x40".decode("gb18030")),
        (b"=?ks_c_5601-1987?B?sKE=?=", "가"),
        (b"=?windows-874?B?oQ==?=", "ก"),
        (b"=?utf-8?Q?=E2=9C?= =?utf-8?Q?=85?=", "✅"),
        (b"=?utf-8?Q?a?=\r\n =?utf-8?Q?b?=", "ab"),
        (b"=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"),
        (b"=?utf-8?B?SGk?=", "Hi"),
        (b"caf\xe9", "café"),
        (b"caf\xe9 =?utf-8?Q?=C3=BC?=", "café ü"),
        ("safe\u202efdp.exe\u2066\u200b".encode(), "safefdp.exe"),
        (b"=?utf-8?Q?pay=E2=80=8Bpal=EF=BB=BF?=", "paypal"),
        ("pay\u200dpal 👨\u200d👩".encode(), "paypal 👨\u200d👩"),
        (b"one\r\n two", "one two"),
        (b"", ""),
    ],
)
def test_a_subject_is_decoded_and_made_harmless(value: bytes, subject: str) -> None:
    """What can't be decoded stays, controls become spaces, and what nobody sees is dropped."""
    assert subject_of(value) == subject


@pytest.mark.parametrize("value", [b"caf\xe9", "café".encode(), b"=?\xc3\xbc?q?x?=", b"\xff" * 99])
def test_an_8_bit_subject_is_readable_text(value: bytes) -> None:
    """Raw 8-bit bytes never raise, and no surrogate is left that would break a later encoding."""
    subject = subject_of(value)
    assert subject.encode("utf-8")
    assert subject


def test_a_long_subject_is_cut() -> None:
    """No more than 998 characters are kept for the listing."""
    assert subject_of(b"x" * 4000) == "x" * 998


@pytest.mark.parametrize("field", [b"From", b"To", b"Subject"])
@pytest.mark.parametrize(
    "bomb",
    [
        b"," * 65_536,
        b"(" * 65_536,
        b"<" * 65_536,
        b'"' * 65_536,
        b"=?utf-8?Q?x?= " * (262_144 // 14),
        b"=?utf-8?B?=?=" * (262_144 // 13),
        b"=?punycode?Q?" + b"a" * 4000 + b"?=",
        b"=?idna?Q?" + b"xn--a." * 600 + b"?=",
        b"a@b.c, " * 37_000,
    ],
    ids=lambda bomb: repr(bomb[:16]),
)
def test_a_bomb_is_read_in_no_time(field: bytes, bomb: bytes) -> None:
    """Values that keep the standard library busy for seconds take less than 100 ms here."""
    assert processor_seconds(lambda: whole(field + b": " + bomb), WITHIN_SECONDS) < WITHIN_SECONDS


@pytest.mark.parametrize("line", [b"To: a@b.c\n", b"a: b\n", b" \r\n"])
def test_many_lines_are_read_in_time(line: bytes) -> None:
    """256 KiB of the shortest lines take the time of one pass over them, below half a second."""
    head = b"To: a@b.c\n" + line * (262_144 // len(line))
    assert processor_seconds(lambda: whole(head), 0.5) < 0.5


@given(st.binary(max_size=2000), st.booleans())
def test_arbitrary_bytes_are_read_or_refused(data: bytes, is_whole: bool) -> None:
    """No bytes make it raise anything but MessageRejected."""
    try:
        head = parse_head(data, is_whole=is_whole)
    except MessageRejected:
        return
    assert not UNPRINTABLE.search(head.subject)


@given(
    st.sampled_from(["From", "To", "Subject"]),
    st.lists(
        st.sampled_from(
            [*'=?<>@,;:"()[]\\ \t\r\n\0\x1b', "=?utf-8?Q?", "=?utf-8?b?", "?=", "a@b.c"]
        )
        | st.text(max_size=4)
        | st.sampled_from(["=?utf-7?q?", "=?idna?q?", "=?punycode?q?", "=?big5?b?", "=?x?q?"]),
        max_size=30,
    ),
)
def test_arbitrary_values_are_read_or_refused(name: str, parts: list[str]) -> None:
    """Neither do values made of what the parsers of headers look for."""
    value = "".join(parts).encode("utf-8", "surrogatepass")
    try:
        whole(name.encode() + b": " + value)
    except MessageRejected:
        return


@given(st.integers())
def test_mutated_heads_are_read_or_refused(seed: int) -> None:
    """A real head with bytes replaced, doubled and removed raises nothing else and stays quick."""
    head = _mutated(REAL_HEAD, random.Random(seed))

    def read() -> None:
        with suppress(MessageRejected):
            parse_head(head, is_whole=True)

    assert processor_seconds(read, WITHIN_SECONDS) < WITHIN_SECONDS


def _mutated(head: bytes, chance: random.Random) -> bytes:
    mutated = bytearray(head)
    for _ in range(chance.randint(1, 30)):
        start = chance.randrange(len(mutated))
        end = start + chance.randint(0, 40)
        piece = chance.choice(
            [b"", chance.randbytes(3), mutated[start:end] * 3, b"?=", b"=?", b"("]
        )
        mutated[start:end] = piece
        mutated = mutated or bytearray(head)
    return bytes(mutated)
