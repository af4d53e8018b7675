"""Every fault of a message is reported by its code, and loses no content."""

import re
from collections.abc import Mapping

import pytest

from app.mime.defects import Defect
from app.mime.message import parse, read_part

CLEAN = "\r\n".join(
    [
        "From: Ann <ann@example.com>",
        "To: =?utf-8?q?B=C3=BCcher?= <bob@example.com>",
        "Date: Thu, 26 Nov 2026 10:00:00 +0100",
        "Subject: Grüße",
        "Message-ID: <1@example.com>",
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="b"',
        "",
        "--b",
        "Content-Type: text/plain; charset=iso-8859-1",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "Gr=FC=DFe=20",
        "--b",
        "Content-Type: application/pdf; name*=utf-8''B%C3%BCcher.pdf",
        "Content-Transfer-Encoding: base64",
        "",
        "JVBERg==",
        "--b--",
        "",
    ]
).encode()


def html(charset: str, body: bytes) -> bytes:
    """Return an HTML message."""
    return f"Content-Type: text/html{charset}\r\n\r\n".encode() + body


def encoded(encoding: str, body: bytes) -> bytes:
    """Return a message with one attachment."""
    head = f"Content-Type: image/png\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body


def multipart(body: bytes, parameters: bytes = b"; boundary=b") -> bytes:
    """Return a multipart message."""
    return b"Content-Type: multipart/mixed" + parameters + b"\r\n\r\n" + body


def named(parameter: str) -> bytes:
    """Return a message with one attachment that has a parameter."""
    return f"Content-Disposition: attachment; {parameter}\r\n\r\nx".encode("latin-1")


DEEP = b"".join(multipart(b"--b%d\r\n" % n, b"; boundary=b%d" % n) for n in range(20))
CLOSED = b"".join(b"\r\n--b%d--" % n for n in reversed(range(20)))

BROKEN: Mapping[Defect, tuple[bytes, ...]] = {
    Defect.HEAD_TOO_LONG: (
        b"a: b\r\n" * 1001 + b"\r\nx",
        b"a: b" + b"\r\n c" * 100_000 + b"\r\n\r\nx",
    ),
    Defect.HEADER_INVALID: (b"From: a@b.c\r\nnothing\r\n\r\nx", b"nothing"),
    Defect.HEADER_REPEATED: (b"Subject: a\r\nsubject: b\r\n\r\nx",),
    Defect.HEADER_CHARSET_GUESSED: (b"Subject: Gr\xfc\xdfe\r\n\r\nx",),
    Defect.ENCODED_WORD_INVALID: (
        b"Subject: =?nonsense?q?a?=\r\n\r\nx",
        b"Subject: =?utf-8?b?A?=\r\n\r\nx",
    ),
    Defect.PARAMETER_INVALID: (
        named("filename*=nonsense''a.txt"),
        named("filename*=utf-8''%FF.txt"),
    ),
    Defect.ADDRESS_INVALID: (b"From: Ann\r\n\r\nx", b"To: a@b.c, Bob <>\r\n\r\nx"),
    Defect.ADDRESSES_TOO_LONG: (
        b"To: " + b"a@b.c, " * 1001 + b"\r\n\r\nx",
        b"To: " + b"a" * 40_000 + b", a@b.c\r\n\r\nx",
    ),
    Defect.DATE_INVALID: (
        b"Date: yesterday\r\n\r\nx",
        b"Date: Thu, 99 Nov 2026 10:00:00 +0100\r\n\r\nx",
        b"Date: Fri, 31 Dec 9999 23:00:00 -2300\r\n\r\nx",
        b"Date:\r\n\r\nx",
    ),
    Defect.CONTENT_TYPE_INVALID: (b"Content-Type: text\r\n\r\nx", b"Content-Type: a/b/c\r\n\r\nx"),
    Defect.TOO_MANY_PARTS: (multipart(b"--b\r\n\r\nx\r\n" * 1001 + b"--b--"),),
    Defect.TOO_DEEP: (DEEP + b"\r\nx" + CLOSED,),
    Defect.BOUNDARY_MISSING: (multipart(b"x"), multipart(b"--b\r\n\r\nx", b"")),
    Defect.BOUNDARY_UNCLOSED: (multipart(b"--b\r\n\r\nx"),),
    Defect.TRANSFER_ENCODING_UNKNOWN: (
        encoded("x-uuencode", b"begin 644 a.txt\r\n#0V%T\r\n`\r\nend\r\n"),
        b"Content-Transfer-Encoding: base64\r\n" + multipart(b"--b\r\n\r\nx\r\n--b--"),
    ),
    Defect.BASE64_INVALID: (encoded("base64", b"JVBERg"), encoded("base64", b"JV*BERg==")),
    Defect.QUOTED_PRINTABLE_INVALID: (encoded("quoted-printable", b"a=b"),),
    Defect.CHARSET_UNKNOWN: (html("; charset=x-unknown", b"\xfc"),),
    Defect.CHARSET_GUESSED: (html("", b"\xfc"), html("; charset=us-ascii", "ü".encode())),
    Defect.CHARSET_WRONG: (html("; charset=utf-8", b"\xfc"), html("; charset=gb2312", b"\xff\xff")),
    Defect.TEXT_TOO_LONG: (b"\r\n" + b"x" * (1024 * 1024 + 1), html("", b"x" * (1024 * 1024 + 1))),
    Defect.FILENAME_CHANGED: (
        named('filename="../a.txt"'),
        named('filename="C:\\Temp\\a.txt"'),
        named("filename*=utf-8''a%E2%80%AEtxt.exe"),
        named("filename=" + "a" * 300 + ".txt"),
    ),
}
CASES = [(defect, raw) for defect, messages in BROKEN.items() for raw in messages]


def test_a_good_message_has_no_defect() -> None:
    """UTF-8 in header fields and old charsets aren't defects."""
    parsed = parse(CLEAN)
    assert (parsed.defects, parsed.truncated) == ((), False)
    assert (parsed.subject, parsed.text) == ("Grüße", "Grüße ")


def test_every_code_has_a_message_and_a_meaning() -> None:
    """The table above covers every code; codes are snake_case, and meanings are sentences."""
    assert BROKEN.keys() == set(Defect)
    for defect in Defect:
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", defect)
        assert defect.meaning.endswith(".")


@pytest.mark.parametrize(("defect", "raw"), CASES, ids=[str(defect) for defect, _ in CASES])
def test_a_broken_message_says_what_is_wrong(defect: Defect, raw: bytes) -> None:
    """The message lists the defect, and is truncated if a defect truncates."""
    parsed = parse(raw)
    assert defect in parsed.defects
    assert parsed.truncated == any(each.truncates for each in parsed.defects)


@pytest.mark.parametrize(("defect", "raw"), CASES, ids=[str(defect) for defect, _ in CASES])
def test_nothing_is_lost_over_a_defect(defect: Defect, raw: bytes) -> None:
    """Every message still has text or an attachment, and each attachment has its bytes."""
    parsed = parse(raw)
    assert parsed.text or parsed.html or parsed.attachments
    for attachment in parsed.attachments:
        part = read_part(raw, attachment.part)
        assert part is not None
        assert len(part.content) == attachment.size


def test_parts_beyond_the_limit_are_kept_as_one() -> None:
    """All bytes after the last allowed part are in one more part."""
    raw = multipart(b"--b\r\n\r\nx\r\n" * 1000 + b"--b\r\n\r\nlast\r\n--b--")
    (rest,) = parse(raw).attachments
    part = read_part(raw, rest.part)
    assert part is not None
    assert (rest.part, part.content_type) == ("1001", "application/octet-stream")
    assert part.content == b"--b\r\n\r\nlast\r\n--b--"


def test_header_sections_beyond_the_limit_are_kept() -> None:
    """What follows is one part, with all its bytes."""
    long_part = b"--b\r\n" + b"a: %s\r\n" % (b"b" * 1000) * 200 + b"\r\nx\r\n"
    raw = multipart(long_part * 6 + b"--b\r\nContent-Type: image/png\r\n\r\nlast\r\n--b--")
    parsed = parse(raw)
    last = parsed.attachments[-1]
    part = read_part(raw, last.part)
    assert part is not None
    assert (last.part, part.content_type) == ("7", "application/octet-stream")
    assert part.content == b"Content-Type: image/png\r\n\r\nlast"
    assert (parsed.defects, parsed.truncated) == ((Defect.TOO_MANY_PARTS,), True)


def test_a_multipart_nested_too_deep_is_kept_whole() -> None:
    """A multipart below the deepest level is a single part with all its bytes."""
    (deep,) = parse(DEEP + b"\r\nx" + CLOSED).attachments
    part = read_part(DEEP + b"\r\nx" + CLOSED, deep.part)
    assert part is not None
    assert (deep.part.count("."), part.content_type) == (15, "multipart/mixed")
    assert part.content.startswith(b"--b16\r\n")
    assert part.content.endswith(b"\r\nx" + CLOSED.partition(b"\r\n--b15--")[0])


def test_a_text_that_is_cut_is_also_an_attachment() -> None:
    """The whole part is among the attachments."""
    body = "ü".encode() * (1024 * 1024)
    raw = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + body
    parsed = parse(raw)
    assert parsed.text == "ü" * (512 * 1024)
    assert [(each.part, each.size) for each in parsed.attachments] == [("1", len(body))]


@pytest.mark.parametrize(
    ("lines", "content"),
    [
        (b"a=\r\nb", b"ab"),
        (b"a= \t\r\nb", b"ab"),
        (b"a \t\r\nb  ", b"a\r\nb"),
        (b"a=20\r\nb=", b"a \r\nb"),
        (b"a=b=3d", b"a=b="),
        (b"=E2=82=ac\xe2\x82\xac", "€€".encode()),
        (b"a=\n" * 50_000, b"a" * 50_000),
    ],
)
def test_quoted_printable_is_decoded(lines: bytes, content: bytes) -> None:
    """Trailing white space is removed; an equals sign that encodes nothing stays."""
    part = read_part(encoded("quoted-printable", lines), "1")
    assert part is not None
    assert part.content == content


@pytest.mark.parametrize(
    ("digits", "content"),
    [
        (b"JVBERg", b"%PDF"),
        (b"JVBERi0", b"%PDF-"),
        (b"JVBE!Rg==", b"%PDF"),
        (b"JVBERg==JVBERg==", b"%PDF%PDF"),
        (b"JVBER", b"%PD"),
        (b"=", b""),
        (b"\xff", b""),
    ],
)
def test_broken_base64_is_decoded_as_far_as_it_goes(digits: bytes, content: bytes) -> None:
    """All complete bytes are decoded, whatever is between the digits or after them."""
    part = read_part(encoded("base64", digits), "1")
    assert part is not None
    assert part.content == content
