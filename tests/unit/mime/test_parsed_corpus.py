"""All real messages, compared with the standard library's compat32 parser and with intake."""

import email
import hashlib
import re
from collections.abc import Iterator
from email.message import Message

import pytest
from support.corpus import read_corpus
from support.processor_time import processor_seconds

from app.errors import MessageRejected
from app.intake.headers import parse_head
from app.mime.defects import Defect
from app.mime.message import parse, read_part
from app.mime.structure import read_structure
from app.printable import UNPRINTABLE

NOT_AFTER_FROM = "an mbox, whose `From ` line the standard library takes for the start of the body"
NO_PARTS = "a multipart without parts, whose type the standard library keeps"
OTHERWISE_READ = {
    "imaptest/src__tests__fetch-binary-mime-base64.mbox": NOT_AFTER_FROM,
    "imaptest/src__tests__fetch-binary-mime-qp.mbox": NOT_AFTER_FROM,
    "imaptest/src__tests__fetch-binary-mime.mbox": NOT_AFTER_FROM,
    "imaptest/src__tests__fetch-body-mime.mbox": NOT_AFTER_FROM,
    "imaptest/src__tests__fetch-bodystructure.mbox": NOT_AFTER_FROM,
    "imaptest/src__tests__urlauth-binary.mbox": NOT_AFTER_FROM,
    "mikel-mail/spec__fixtures__emails__error_emails__bad_date_header2.eml": NO_PARTS,
    "mikel-mail/spec__fixtures__emails__error_emails__empty_in_reply_to.eml": NO_PARTS,
    "mikel-mail/spec__fixtures__emails__error_emails__missing_body.eml": NO_PARTS,
    "mikel-mail/spec__fixtures__emails__error_emails__must_supply_encoding.eml": NO_PARTS,
}


@pytest.fixture(scope="module")
def corpus() -> dict[str, bytes]:
    """Return the bytes of each file of the corpus by its name."""
    return read_corpus()


def stdlib_leaves(message: Message, number: str = "") -> Iterator[tuple[str, str, bytes | None]]:
    """Yield number, type and content of each part; the content of attached messages is None."""
    parts = message.get_payload()
    if message.get_content_maintype() == "multipart" and isinstance(parts, list):
        for count, part in enumerate(parts, start=1):
            yield from stdlib_leaves(part, f"{number}.{count}" if number else str(count))
        return
    content = message.get_payload(decode=True)
    yield (
        number or "1",
        message.get_content_type(),
        content if isinstance(content, bytes) else None,
    )


def stripped(content: bytes) -> bytes:
    """Return `content` without white space at the ends of lines."""
    return re.sub(rb"[ \t]+(?=\r?\n|\Z)", b"", content)


def test_no_real_message_raises_or_takes_long(corpus: dict[str, bytes]) -> None:
    """Every file is parsed, all of them together within ten seconds."""
    assert processor_seconds(lambda: [parse(raw) for raw in corpus.values()], 10) < 10


def test_the_parts_are_those_of_the_standard_library(corpus: dict[str, bytes]) -> None:
    """Both find the same parts of the same types, except in the files listed above."""
    differing = set()
    for name, raw in corpus.items():
        ours = [(part.number, part.content_type) for part in read_structure(raw, set()).leaves()]
        theirs = [leaf[:2] for leaf in stdlib_leaves(email.message_from_bytes(raw))]
        if ours != theirs:
            differing.add(name)
    assert differing == OTHERWISE_READ.keys()


def test_the_contents_are_those_of_the_standard_library(corpus: dict[str, bytes]) -> None:
    """Each part decodes to the same bytes, unless the message or the encoding is malformed."""
    compared = 0
    for name, raw in corpus.items():
        found: set[Defect] = set()
        leaves = list(read_structure(raw, found).leaves())
        ours = [leaf.content(raw, found) for leaf in leaves]
        if name in OTHERWISE_READ or {Defect.HEADER_INVALID, Defect.BOUNDARY_UNCLOSED} & found:
            continue
        theirs = [content for _, _, content in stdlib_leaves(email.message_from_bytes(raw))]
        for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            if their is None or leaves[number].encoding.endswith("uuencode"):
                continue
            if leaves[number].encoding == "quoted-printable":
                # The standard library keeps trailing white space, which RFC 2045 says to remove.
                assert stripped(our) == stripped(their), name
            else:
                assert our == their, name
            compared += 1
    assert compared > 200


def test_every_attachment_can_be_read(corpus: dict[str, bytes]) -> None:
    """Each listed attachment is a part whose content has the listed size and SHA-256."""
    seen = 0
    for name, raw in corpus.items():
        for attachment in parse(raw).attachments:
            part = read_part(raw, attachment.part)
            assert part is not None, name
            assert len(part.content) == attachment.size, name
            assert hashlib.sha256(part.content).hexdigest() == attachment.sha256, name
            assert (part.content_type, part.filename) == (
                attachment.content_type,
                attachment.filename,
            )
            seen += 1
    assert seen > 80


def test_intake_and_reading_agree(corpus: dict[str, bytes]) -> None:
    """On the subject, and on the first usable address in From and To."""
    for name, raw in corpus.items():
        try:
            head = parse_head(raw, is_whole=True)
        except MessageRejected:
            continue
        parsed = parse(raw)
        assert parsed.subject == head.subject, name
        assert next((each.address for each in parsed.from_), None) == head.sender, name
        if len(head.to_field) > 0:
            assert next((each.address for each in parsed.to), None) == head.recipient, name


def test_no_value_has_control_characters(corpus: dict[str, bytes]) -> None:
    """Header values and file names are one printable line; text can be encoded as UTF-8."""
    for name, raw in corpus.items():
        parsed = parse(raw)
        people = [*parsed.from_, *parsed.to, *parsed.cc, *parsed.reply_to]
        files = [attachment.filename or "" for attachment in parsed.attachments]
        for each in (parsed.subject, *sum(parsed.headers, ()), *sum(people, ()), *files):
            assert not UNPRINTABLE.search(each), name
        for text in (parsed.text or "", parsed.html or ""):
            assert "\0" not in text, name
            assert "\r" not in text, name
            text.encode()
