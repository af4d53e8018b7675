"""Parsed messages: text, HTML, mailboxes and attachments."""

from datetime import datetime, timedelta, timezone

import pytest

from app.mime.defects import Defect
from app.mime.mailboxes import Mailbox
from app.mime.message import ParsedMessage, parse, read_part, read_parts

TEXT = "Content-Type: text/plain; charset=utf-8\r\n\r\n{}"
HTML = "Content-Type: text/html; charset=utf-8\r\n\r\n{}"
PICTURE = (
    "Content-Type: image/png; name=dot.png\r\nContent-ID: <dot@example.com>\r\n"
    "Content-Disposition: inline\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo="
)
PDF = "Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\n%PDF"


def multipart(subtype: str, *parts: str) -> str:
    """Return a multipart of `parts`, with a boundary that doesn't occur in them."""
    boundary = f"{subtype}-{abs(hash(parts))}"
    inner = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'
    return f"{head}{inner}--{boundary}--\r\n"


def read(message: str) -> ParsedMessage:
    """Parse a message, which must have no defects."""
    parsed = parse(message.encode())
    assert parsed.defects == ()
    return parsed


def attached(parsed: ParsedMessage) -> list[tuple[str, str]]:
    """Return the number and the type of each attachment."""
    return [(each.part, each.content_type) for each in parsed.attachments]


@pytest.mark.parametrize(
    ("message", "text", "html", "attachments"),
    [
        (TEXT.format("a"), "a", None, []),
        (HTML.format("<p>a"), "a", "<p>a", []),
        ("Subject: x\r\n\r\na", "a", None, []),
        (PDF, None, None, [("1", "application/pdf")]),
        (multipart("alternative", TEXT.format("a"), HTML.format("<p>b")), "a", "<p>b", []),
        (multipart("alternative", HTML.format("<p>b"), TEXT.format("a")), "a", "<p>b", []),
        (multipart("alternative", HTML.format("<p>b")), "b", "<p>b", []),
        (
            multipart("mixed", TEXT.format("a"), PDF, TEXT.format("b")),
            "a\nb",
            None,
            [("2", "application/pdf")],
        ),
        (
            multipart(
                "mixed",
                multipart(
                    "related",
                    multipart("alternative", TEXT.format("a"), HTML.format("<p>b")),
                    PICTURE,
                ),
                PDF,
            ),
            "a",
            "<p>b",
            [("1.2", "image/png"), ("2", "application/pdf")],
        ),
        (
            multipart(
                "alternative",
                TEXT.format("a"),
                multipart("mixed", HTML.format("<p>b"), PDF, HTML.format("<p>c")),
            ),
            "a",
            "<p>b\n<p>c",
            [("2.2", "application/pdf")],
        ),
        (
            multipart("mixed", HTML.format("<p>a"), TEXT.format("<list>")),
            "a\n<list>",
            "<p>a\n<pre>&lt;list&gt;</pre>",
            [],
        ),
        (
            multipart(
                "mixed",
                multipart("alternative", TEXT.format("a"), HTML.format("<p>b")),
                TEXT.format("list"),
            ),
            "a\nlist",
            "<p>b\n<pre>list</pre>",
            [],
        ),
        (
            multipart(
                "alternative",
                TEXT.format("a"),
                HTML.format("<p>b"),
                "Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR",
            ),
            "a",
            "<p>b",
            [("3", "text/calendar")],
        ),
        (
            multipart("mixed", TEXT.format("a"), "Content-Type: text/plain; name=b.txt\r\n\r\nb"),
            "a",
            None,
            [("2", "text/plain")],
        ),
        (
            multipart("digest", "\r\nSubject: b\r\n\r\nb", "\r\nSubject: c\r\n\r\nc"),
            None,
            None,
            [("1", "message/rfc822"), ("2", "message/rfc822")],
        ),
        (
            multipart(
                "signed", TEXT.format("a"), "Content-Type: application/pgp-signature\r\n\r\nb"
            ),
            "a",
            None,
            [("2", "application/pgp-signature")],
        ),
        (
            "Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\na",
            None,
            None,
            [("1", "application/pkcs7-mime")],
        ),
        (
            multipart("mixed", TEXT.format("a"), "Content-Type: application/ms-tnef\r\n\r\nb"),
            "a",
            None,
            [("2", "application/ms-tnef")],
        ),
    ],
)
def test_each_part_is_text_html_or_an_attachment(
    message: str, text: str | None, html: str | None, attachments: list[tuple[str, str]]
) -> None:
    """Text and HTML are chosen as RFC 8621 says; all other parts are attachments."""
    parsed = read(message)
    assert (parsed.text, parsed.html, attached(parsed)) == (text, html, attachments)


def test_no_part_is_lost_between_two_alternatives() -> None:
    """A text part that belongs to neither body is an attachment."""
    inner = multipart("alternative", TEXT.format("b"), HTML.format("<p>c"))
    parsed = read(
        multipart("alternative", TEXT.format("a"), multipart("mixed", HTML.format("<p>d"), inner))
    )
    assert (parsed.text, parsed.html) == ("a", "<p>d\n<p>c")
    assert attached(parsed) == [("2.2.1", "text/plain")]


def test_the_headers_are_in_order_and_for_people() -> None:
    """Values are decoded, unfolded and printable; names are as written, even if repeated."""
    raw = (
        b"Received: b\r\nRECEIVED: a\r\n"
        b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n =?utf-8?q?_an?= \x1b[1m\r\n"
        b"X-Folded: one\r\n\ttwo\r\n\r\nx"
    )
    assert parse(raw).headers == (
        ("Received", "b"),
        ("RECEIVED", "a"),
        ("Subject", "Grüße an  [1m"),
        ("X-Folded", "one two"),
    )


def test_the_thread_of_a_message() -> None:
    """Message ids are in order, without angle brackets or duplicates."""
    parsed = read(
        "Message-ID: <3@example.com>\r\nIn-Reply-To: Ann's mail of today <2@example.com>\r\n"
        "References: <1@example.com>\r\n <2@example.com><1@example.com>\r\n\r\nx"
    )
    assert parsed.header_message_id == "3@example.com"
    assert parsed.in_reply_to == ("2@example.com",)
    assert parsed.references == ("1@example.com", "2@example.com")


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("Your message of Monday", ()),
        ("<1@example.com", ("1@example.com",)),
        ("<a 1@example.com>", ("1@example.com",)),
        ("<1", ("1",)),
        ("<>", ()),
    ],
)
def test_an_id_has_no_angle_bracket_and_is_no_word_of_a_sentence(
    value: str, ids: tuple[str, ...]
) -> None:
    """Old programs write sentences there, and others leave out a bracket."""
    parsed = parse(f"In-Reply-To: {value}\r\nMessage-ID: {value}\r\n\r\n".encode())
    assert parsed.in_reply_to == ids
    assert parsed.header_message_id == (ids[0] if ids else None)


def test_ids_without_angle_brackets_are_words() -> None:
    """Some software leaves the brackets out."""
    parsed = read("Message-ID: 3@example.com\r\nReferences: 1@a 2@b\r\n\r\nx")
    assert (parsed.header_message_id, parsed.references) == ("3@example.com", ("1@a", "2@b"))


@pytest.mark.parametrize(
    ("value", "hours"),
    [
        ("Thu, 26 Nov 2026 10:20:30 +0100", 1),
        ("26 Nov 2026 10:20:30 +0100 (CET)", 1),
        ("Thu, 26 Nov 2026 10:20:30 -0000", 0),
        ("Thu, 26 Nov 2026 10:20:30 GMT", 0),
        ("Thu, 26 Nov 26 10:20:30 EST", -5),
    ],
)
def test_the_date_keeps_its_offset(value: str, hours: int) -> None:
    """The offset is as stated, or 0 if it is stated to be unknown."""
    date = read(f"Date: {value}\r\n\r\nx").date
    assert date == datetime(2026, 11, 26, 10, 20, 30, tzinfo=timezone(timedelta(hours=hours)))


def test_people_have_names() -> None:
    """A name is the decoded display name of an address, or else the comment after it."""
    parsed = read(
        "From: =?iso-8859-1?q?J=F6rg?= M. <j@example.com>\r\n"
        'To: "Smith, \\"Ann\\"" <ann@example.com>, bob@example.com (Bob (Sales)), c@example.com\r\n'
        'Cc: Team: "=?utf-8?q?D=C3=A9?=" <d@example.com>, e@example.com;,\r\n'
        " Frédéric <f@example.com>\r\n"
        "Reply-To: undisclosed-recipients:;\r\n\r\nx"
    )
    assert parsed.from_ == (Mailbox("Jörg M.", "j@example.com"),)
    assert parsed.to == (
        Mailbox('Smith, "Ann"', "ann@example.com"),
        Mailbox("Bob (Sales)", "bob@example.com"),
        Mailbox("", "c@example.com"),
    )
    assert parsed.cc == (
        Mailbox("Dé", "d@example.com"),
        Mailbox("", "e@example.com"),
        Mailbox("Frédéric", "f@example.com"),
    )
    assert parsed.reply_to == ()


@pytest.mark.parametrize("count", [1000, 1001, 1200])
def test_of_too_many_addresses_the_first_are_read(count: int) -> None:
    """The first 1,000 are there, and a defect says when others are left out."""
    field = ",".join(f"a{number}@b.c" for number in range(count))
    parsed = parse(f"To: {field}\r\n\r\nx".encode())
    assert [each.address for each in parsed.to] == [f"a{number}@b.c" for number in range(1000)]
    assert (Defect.ADDRESSES_TOO_LONG in parsed.defects) == (count > 1000)


def test_an_address_in_a_quoted_name_does_not_count() -> None:
    """Not even where a list longer than 32 KiB is cut within the name."""
    within = '"x' + ", boss@example.com" * 20 + ', y" <ann@example.net>, '
    raw = ("To: " + within * 200 + "\r\n\r\nx").encode()
    parsed = parse(raw)
    assert len(parsed.to) > 40
    assert {each.address for each in parsed.to} == {"ann@example.net"}


def test_bytes_outside_utf_8_are_never_part_of_an_address() -> None:
    """They may be part of a name."""
    parsed = parse(b"From: J\xf6rg <j@example.com>\r\nTo: j\xf6rg@example.com\r\n\r\nx")
    assert parsed.from_ == (Mailbox("Jörg", "j@example.com"),)
    assert parsed.to == ()


def test_an_attachment_is_described() -> None:
    """Each has its number, name, type, size, checksum, content id and disposition."""
    parsed = read(multipart("related", HTML.format("<img src=cid:dot@example.com>"), PICTURE))
    (picture,) = parsed.attachments
    assert (picture.part, picture.filename, picture.content_type) == ("2", "dot.png", "image/png")
    assert (picture.size, picture.content_id, picture.disposition) == (
        8,
        "dot@example.com",
        "inline",
    )
    assert picture.sha256 == "4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6"


def test_a_disposition_is_a_word() -> None:
    """Anything but a plain word, such as control characters, is left out."""
    raw = b"Content-Type: image/png\r\nContent-Disposition: %s\r\n\r\nx"
    stated = (b"Attachment", b"form-data; name=a", b"\x1b[1m", b"=?utf-8?q?a?=", b"")
    found = [parse(raw % value).attachments[0].disposition for value in stated]
    assert found == ["attachment", "form-data", None, None, None]


def test_a_part_is_found_by_its_number() -> None:
    """Only the exact number of a part finds it."""
    raw = multipart("mixed", multipart("alternative", TEXT.format("ü"), HTML.format("b")), PDF)
    part = read_part(raw.encode(), "1.1")
    assert part is not None
    assert (part.content, part.content_type, part.filename) == ("ü".encode(), "text/plain", None)
    pdf = read_part(raw.encode(), "2")
    assert pdf is not None
    assert (pdf.content, pdf.filename) == (b"%PDF", "a.pdf")
    for number in ("", "0", "1", "3", "1.3", "1.1.1", "01.1", "2.", "../2", "\uff12", "9" * 10_000):
        assert read_part(raw.encode(), number) is None


def test_several_parts_are_read_at_once() -> None:
    """The contents are the same as one by one; numbers of no part are left out."""
    raw = multipart("mixed", TEXT.format("a"), PDF, PICTURE).encode()
    found = read_parts(raw, ["2", "3", "9", "2.1"])
    one_by_one = {number: read_part(raw, number) for number in ("2", "3")}
    assert found == {number: part.content for number, part in one_by_one.items() if part}
    assert list(found) == ["2", "3"]
    assert read_parts(raw, []) == {}


def test_an_attached_message_is_one_part() -> None:
    """Its bytes are unchanged, and its own parts aren't parts of the outer message."""
    inner = "Subject: inner\r\n" + multipart("mixed", TEXT.format("b"), PDF)
    raw = multipart("mixed", TEXT.format("a"), f"Content-Type: message/rfc822\r\n\r\n{inner}")
    parsed = read(raw)
    assert (parsed.text, attached(parsed)) == ("a", [("2", "message/rfc822")])
    part = read_part(raw.encode(), "2")
    assert part is not None
    assert part.content == inner.encode()


def test_uuencode_and_yenc_stay_text() -> None:
    """Files encoded within a text are left in it, since no header field declares them."""
    uuencoded = "begin 644 a.txt\n#0V%T\n`\nend\n"
    yencoded = "=ybegin line=128 size=3 name=a.txt\nmkn\n=yend size=3\n"
    parsed = read(TEXT.format(uuencoded + yencoded))
    assert (parsed.text, parsed.attachments) == (uuencoded + yencoded, ())


@pytest.mark.parametrize(
    ("charset", "data", "text"),
    [
        ("gb2312", "镕".encode("gbk"), "镕"),
        ("ks_c_5601-1987", "똠".encode("cp949"), "똠"),
        ("shift_jis", "①".encode("cp932"), "①"),
        ("iso-8859-1", b"\x80\x93", "€“"),
        ("us-ascii (Plain text)", b"a", "a"),
        ("iso-8859-8-i", "ש".encode("iso8859-8"), "ש"),
        ('"utf-8"', "\ufeffü".encode(), "ü"),
        ("utf-16", "ü".encode("utf-16"), "ü"),
        ("iso-2022-jp", "日本".encode("iso-2022-jp"), "日本"),
        ("utf-7", b"+AOQ-", "ä"),
        ("utf-8*de", "ü".encode(), "ü"),
    ],
)
def test_charsets_mean_what_mail_means_by_them(charset: str, data: bytes, text: str) -> None:
    """Text is decoded as the software that labelled it meant it."""
    parsed = parse(f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + data)
    assert (parsed.text, parsed.defects) == (text, ())


def test_html_may_name_its_charset_itself() -> None:
    """A charset in <meta> counts if the part doesn't declare one."""
    raw = b'Content-Type: text/html\r\n\r\n<meta charset="koi8-r"><p>' + "да".encode("koi8-r")
    parsed = parse(raw)
    assert (parsed.text, parsed.defects) == ("да", ())


def test_text_has_lf_line_ends_and_valid_characters() -> None:
    """CRLF and CR become LF; NUL and lone surrogates become U+FFFD."""
    parsed = parse(b"Content-Type: text/plain; charset=utf-7\r\n\r\na\r\nb\rc\0+2AA-")
    assert parsed.text == "a\nb\nc\ufffd\ufffd"
