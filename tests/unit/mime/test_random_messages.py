"""Any bytes can be parsed, and the result can be encoded."""

import email
import hashlib
import json
from email.message import Message

from hypothesis import given, settings
from hypothesis import strategies as st
from support.rounds import rounds

from app.mime.message import parse, read_part
from app.mime.structure import read_structure

PIECES = [
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b";", b"=", b'"', b"\\", b"\0", b"\xff"),
    *(b"From: ", b"To: ", b"Subject: ", b"Date: ", b"Message-ID: <a@b>", b"References: <a@b> <c"),
    *(b"Content-Type: ", b"multipart/mixed", b"multipart/alternative", b"multipart/related"),
    *(b"text/plain", b"text/html", b"message/rfc822", b"image/png", b"application/ms-tnef"),
    *(b"; boundary=b", b'; boundary="b b"', b"; charset=", b"utf-8", b"utf-7", b"gb2312", b"x-y"),
    *(b"\r\n--b\r\n", b"\n--b\n", b"\r\n--b--\r\n", b"\r\n--b b\r\n", b"--", b"b"),
    *(b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"x-uuencode", b"7bit"),
    *(b"Content-Disposition: attachment; filename=", b"filename*0*=utf-8''%41", b"filename*1=b"),
    *(
        b"a.txt",
        b"../",
        b"=?utf-8?q?=C3=BC?=",
        b"=?utf-8?b?w7w",
        b"?=",
        b"\xc3\xbc",
        b"\xe2\x80\xae",
    ),
    *(b"Ann <ann@example.com>", b"<", b">", b"@", b",", b"(", b")", b"Thu, 26 Nov 2026 10:00:00"),
    *(b"<p>", b"<br>", b"<script>", b"</", b"<!--", b"&lt;", b"JVBERg==", b"=41", b"+2AA-"),
    *(b"On Monday Ann wrote:\n", b"> ", b"\n\n", b"From: a\nSent: b\nTo: c\n"),
]
MESSAGES = st.one_of(
    st.binary(max_size=300), st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)
)
# Well-formed enough that two parsers must agree: all lines end with LF, and there is no CR.
MULTIPARTS = st.recursive(
    st.sampled_from([b"\n", b"\nx", b"\nx\n", b"Content-Type: image/png\n\nx", b"a: b\n\n\ny\n"]),
    lambda inner: st.builds(
        lambda boundary, parts, is_closed: (
            b'Content-Type: multipart/mixed; boundary="%s"\n\n' % boundary
            + b"".join(b"--%s\n%s\n" % (boundary, part) for part in parts)
            + b"--%s--\n" % boundary * is_closed
        ),
        st.sampled_from([b"b", b"bb", b"b b", b"b--", b"=_(b)"]),
        st.lists(inner, min_size=1, max_size=4),
        st.booleans(),
    ),
    max_leaves=12,
)


@settings(max_examples=rounds(1000, 300), deadline=None)
@given(MESSAGES)
def test_any_bytes_are_read(raw: bytes) -> None:
    """Nothing is raised, all text can be encoded, and each attachment is a part."""
    parsed = parse(raw)
    people = [*parsed.from_, *parsed.to, *parsed.cc, *parsed.reply_to]
    texts = (parsed.headers, parsed.subject, people, parsed.text, parsed.html, parsed.reply)
    ids = (parsed.header_message_id, parsed.in_reply_to, parsed.references)
    json.dumps([texts, ids, parsed.defects], ensure_ascii=False).encode()
    for attachment in parsed.attachments:
        part = read_part(raw, attachment.part)
        assert part is not None
        assert hashlib.sha256(part.content).hexdigest() == attachment.sha256
        assert (part.content_type, part.filename) == (attachment.content_type, attachment.filename)


@settings(max_examples=rounds(1000, 300), deadline=None)
@given(MESSAGES)
def test_parts_do_not_overlap(raw: bytes) -> None:
    """Parts follow each other, and are within the message."""
    position = 0
    for part in read_structure(raw, set()).leaves():
        assert position <= part.start <= part.end <= len(raw)
        position = part.end


@settings(max_examples=rounds(1000, 300), deadline=None)
@given(MULTIPARTS)
def test_the_tree_is_that_of_the_standard_library(raw: bytes) -> None:
    """Both find the same parts in nested multiparts, closed or not."""
    ours = [part.content_type for part in read_structure(raw, set()).leaves()]
    assert ours == list(_leaves(email.message_from_bytes(raw)))


def _leaves(message: Message) -> list[str]:
    parts = message.get_payload()
    if not isinstance(parts, list):
        is_multipart = message.get_content_maintype() == "multipart"  # in which no part was found
        return ["text/plain" if is_multipart else message.get_content_type()]
    return [leaf for part in parts if isinstance(part, Message) for leaf in _leaves(part)]
