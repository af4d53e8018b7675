"""The document for a message's HTML holds all that it shows, and its policy allows nothing else."""

import tracemalloc
from base64 import b64encode
from collections.abc import Mapping

import pytest
from support.html_mail import GIF, JPEG, PNG, WEBP, html_mail
from support.processor_time import processor_seconds

from app.inbox.html_view import MOST_HTML_BYTES, MOST_LINKS, html_document, security_policy
from app.inbox.pictures import MOST_BYTES, MOST_BYTES_IN_ALL


def document_of(html: str, pictures: Mapping[str, bytes] | None = None) -> str:
    document = html_document(html_mail(html, pictures or {}))
    assert document is not None
    return document.decode()


def data_url(picture: bytes, content_type: str = "image/png") -> str:
    return f"data:{content_type};base64,{b64encode(picture).decode()}"


def test_the_html_is_shown_as_it_was_sent() -> None:
    """Nothing is taken out of the HTML: what it may do is decided by the policy."""
    html = "<style>p { color: red }</style><p onclick='a()'>Grüße<script>b()</script>"
    assert document_of(html).endswith(html)


def test_the_document_is_no_quirk() -> None:
    """It begins with a doctype, and has a body that the keyboard reaches.

    A browser adds the attributes of the message's own <body> to it.
    """
    document = document_of("<html><head></head><body bgcolor=red>a")
    assert document.startswith("<!doctype html>\n<base")
    assert '\n<body tabindex="0">\n<html><head></head><body bgcolor=red>a' in document


@pytest.mark.parametrize(
    ("picture", "content_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
)
def test_a_picture_has_the_type_of_its_bytes(picture: bytes, content_type: str) -> None:
    """What the part declares doesn't count."""
    document = document_of("<img src='cid:a@b'>", {"a@b": picture})
    assert f"<img src='{data_url(picture, content_type)}'>" in document


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<html><script>alert(1)</script>",
        b" " + PNG,
        b"%PDF-1.7",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"BM\x00\x00",
    ],
)
def test_what_is_no_picture_is_not_put_in(content: bytes) -> None:
    """Only PNG, JPEG, GIF and WebP become `data:` URLs; an SVG could run scripts."""
    assert "<img src='cid:a@b'>" in document_of("<img src='cid:a@b'>", {"a@b": content})


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ('<img src="cid:a@b">', '<img src="{}">'),
        ("<img src=cid:a@b>", "<img src={}>"),
        ("<img src=cid:a@b alt=c>", "<img src={} alt=c>"),
        ("<img src = ' CID:a@b'>", "<img src = ' {}'>"),
        ("<img src='cid:a%40b'>", "<img src='{}'>"),
        ("<img src='cid:a&#64;b'>", "<img src='{}'>"),
        ("<td background='cid:a@b'>", "<td background='{}'>"),
        ("<style>p{background:url(cid:a@b)}</style>", "<style>p{{background:url({})}}</style>"),
        ("<p style='background:url(\"cid:a@b\")'>", "<p style='background:url(\"{}\")'>"),
        (
            '<p style="background:url(&quot;cid:a@b&quot;)">',
            '<p style="background:url(&quot;{}&quot;)">',
        ),
    ],
)
def test_pictures_are_found_wherever_html_has_urls(html: str, shown: str) -> None:
    """In attributes of any quoting, and in CSS."""
    assert document_of(html, {"a@b": PNG}).endswith(shown.format(data_url(PNG)))


@pytest.mark.parametrize("html", ["<p>see cid:a@b", "<img src='cid:c@d'>", "<img src='cid:'>"])
def test_other_mentions_stay(html: str) -> None:
    """Text about a picture, and URLs of pictures that aren't in the message, stay as they are."""
    assert document_of(html, {"a@b": PNG}).endswith(html)


def test_the_first_of_two_pictures_with_one_id_is_shown() -> None:
    """As the parts are in the order of the message."""
    raw = html_mail("<img src='cid:a'>", {"a": PNG, "<a>": GIF})
    assert data_url(PNG).encode() in (html_document(raw) or b"")


def test_large_pictures_are_left_out() -> None:
    """A picture of 2 MiB is shown, a larger one isn't."""
    html = "<img src='cid:a'><img src='cid:b'>"
    pictures = {"a": PNG.ljust(MOST_BYTES, b"\0"), "b": PNG.ljust(MOST_BYTES + 1, b"\0")}
    document = document_of(html, pictures)
    assert data_url(pictures["a"]) in document
    assert document.endswith("<img src='cid:b'>")


def test_many_pictures_are_left_out() -> None:
    """Beyond 10 MiB, also of one picture that is shown again and again, none is put in."""
    html = "<img src='cid:a'>" * 6 + "<img src='cid:b'>"
    picture = PNG.ljust(MOST_BYTES, b"\0")
    document = document_of(html, {"a": picture, "b": PNG})
    assert document.count(data_url(picture)) * MOST_BYTES == MOST_BYTES_IN_ALL
    assert document.endswith("<img src='cid:a'><img src='cid:b'>")


def test_a_picture_that_no_html_shows_is_not_put_in() -> None:
    """Attachments don't make the document larger."""
    assert len(document_of("<p>a", {"a": PNG.ljust(MOST_BYTES, b"\0")})) < 1000


def test_links_open_in_a_new_tab() -> None:
    """Whatever target the message wants, and without a Referer or a way back for the new page."""
    html = "<a href='https://example.com/' target=_top rel=opener>a</a><AREA\nhref=b>"
    assert document_of(html).endswith(
        "<a target=_blank rel=noreferrer href='https://example.com/' target=_top rel=opener>a</a>"
        "<area target=_blank rel=noreferrer\nhref=b>"
    )


def test_links_within_the_message_stay_there() -> None:
    """A table of contents leads to its chapters."""
    html = "<a class=b href='#c'>a</a>"
    assert document_of(html).endswith("<a target=_self class=b href='#c'>a</a>")


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<link rel=preconnect href=a>", "<meta rel=preconnect href=a>"),
        ("<LINK\nREL=icon>", "<meta\nREL=icon>"),
        ("<iframe/src=a></iframe>", "<iframe srcdoc src/src=a></iframe>"),
        (
            "<iframe srcdoc='<iframe src=a>'>",
            "<iframe srcdoc src srcdoc='<iframe srcdoc src src=a>'>",
        ),
        ("<frame src=a>", "<frame src src=a>"),
    ],
)
def test_browsers_have_nothing_to_connect_to(html: str, shown: str) -> None:
    """Frames are empty, since the first of two attributes counts; links are other elements."""
    assert document_of(html).endswith(shown)


def test_other_tags_are_no_links() -> None:
    """Tags whose names begin alike, and closing tags, stay as they are."""
    html = "<abbr>a</abbr><frameset></frameset><a>b</a><links rel=c>"
    assert document_of(html).endswith(html)


def test_a_target_in_a_value_does_not_end_it() -> None:
    """A value that looks like a link stays one value."""
    document = document_of("<img alt='<a b' src=c><img alt=\"<a b\" src=c>")
    assert "alt='<a target=_blank rel=noreferrer b' src=c>" in document


def test_text_beside_html_is_shown() -> None:
    """As in the API, the text parts of a mixed message are in between."""
    part = b"--b\r\nContent-Type: text/plain\r\n\r\na<b\r\n--b--"
    raw = html_mail("<p>c").replace(b"multipart/related", b"multipart/mixed")
    document = html_document(raw.replace(b"--b--", part)) or b""
    assert document.endswith(b"<p>c\n<pre>a&lt;b</pre>")


@pytest.mark.parametrize("raw", [b"", b"Subject: a\r\n\r\nb", b"\0" * 1000])
def test_without_html_there_is_no_document(raw: bytes) -> None:
    """A message of text, or of nothing, has none."""
    assert html_document(raw) is None


def test_too_much_html_is_not_shown() -> None:
    """Exactly 2 MiB are shown, one byte more isn't, and the document says so."""
    html = "<p>a".ljust(MOST_HTML_BYTES, "b")
    assert document_of(html).endswith(html)
    document = document_of(html + "b")
    assert "more than 2 MiB of HTML" in document
    assert len(document) < 1000


def test_too_many_links_are_not_shown() -> None:
    """So that a document is never much longer than its message."""
    assert document_of("<a b>" * MOST_LINKS).count("_blank rel") == MOST_LINKS
    assert "20,000 links" in document_of("<a b>" * (MOST_LINKS + 1))


@pytest.mark.parametrize(
    "html",
    [
        *("<a ", "<a href", "<a href ", "<a href=#", "<a href=' ", "<"),
        *(" href", " href =", "= ", "=cid:", "=cid:&", "=cid:&quot", "(cid:a(", "=cid:a "),
        "=cid:" + "a" * 3000 + "(",
    ],
)
def test_no_html_takes_long(html: str) -> None:
    """2 MiB of anything, also of what looks like the beginning of a link, take under a second."""
    raw = html_mail((html * (MOST_HTML_BYTES // len(html)))[:MOST_HTML_BYTES], {"a": PNG})
    assert html_document(raw)
    assert processor_seconds(lambda: html_document(raw), 1) < 1


def test_a_picture_that_is_repeated_takes_little_memory() -> None:
    """Three times as much as the document, also beside a character that needs four bytes."""
    picture = PNG + bytes(600_000)
    raw = html_mail("\U0001f600" + "<img src='cid:a'>" * 17, {"a": picture})
    html_document(raw)  # imports codecs
    tracemalloc.start()
    try:
        document = html_document(raw) or b""
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert document.count(b"data:image/png") == 17
    assert peak < 3 * len(document)


def test_the_policy_allows_pictures_of_the_message_only() -> None:
    """No script, no connection, no form, no frame; a sandbox also outside of a frame."""
    policy = security_policy(with_remote_pictures=False)
    assert policy.split("; ") == [
        "sandbox allow-popups allow-popups-to-escape-sandbox",
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    ]


def test_remote_pictures_are_all_that_can_be_allowed() -> None:
    """The policy differs in `img-src` alone."""
    strict = security_policy(with_remote_pictures=False)
    allowing = security_policy(with_remote_pictures=True)
    assert allowing == strict.replace("img-src data:", "img-src data: http: https:")
