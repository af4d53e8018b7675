"""Reads the mailboxes in an address field: addresses with their display names."""

import re
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from app.mime.addresses import Token, elements_with_addresses
from app.mime.defects import Defect
from app.mime.encoded_words import decode_words
from app.printable import UNPRINTABLE, readable

MAX_BYTES = 32 * 1024
MAX_MAILBOXES = 1000

_SEPARATOR = re.compile(rb"[,;]")
_ESCAPED_BYTE = re.compile(rb"\\.", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Mailbox(NamedTuple):
    """An address and its display name, "" if it has none."""

    name: str
    address: str


def read_mailboxes(value: bytes, found: set[Defect]) -> tuple[Mailbox, ...]:
    """Return the mailboxes in a field; app.mime.addresses decides what is an address."""
    text = _bounded(value, found).decode("utf-8", "surrogateescape")
    mailboxes = []
    for element, address in elements_with_addresses(text):
        # A surrogate stands for a byte that isn't UTF-8, so the address can't be known.
        if address is not None and not UNPRINTABLE.search(address):
            mailboxes.append(Mailbox(_name(element), address))
        elif any(token.kind != "space" for token in element):
            found.add(Defect.ADDRESS_INVALID)
    return tuple(mailboxes)


def _bounded(value: bytes, found: set[Defect]) -> bytes:
    separators = _SEPARATOR.finditer(value, 0, MAX_BYTES)
    last = next(islice(separators, MAX_MAILBOXES - 1, None), None)
    if last is None and len(value) <= MAX_BYTES:
        return value
    found.add(Defect.ADDRESSES_TOO_LONG)
    kept = value[: last.end() if last else MAX_BYTES]
    # The cut may be within a quoted name; what looks like an address there isn't one.
    if _ESCAPED_BYTE.sub(b"", kept).count(b'"') % 2:
        kept = kept.rpartition(b'"')[0]
    return kept[: max(kept.rfind(b","), kept.rfind(b";"), 0)]


def _name(element: Sequence[Token]) -> str:
    """Return the text outside the angle brackets, else the comments."""
    outside, comments = _outside_angle(element), _comments(element)
    return outside or comments


def _outside_angle(element: Sequence[Token]) -> str:
    if Token("special", "<") not in element:
        return ""
    texts = []
    is_inside = False
    for token in element:
        if token == Token("special", "<"):
            is_inside = True
        elif token == Token("special", ">"):
            is_inside = False
        elif not is_inside:
            texts.append(_plain(token))
    return _decoded("".join(texts))


def _comments(element: Sequence[Token]) -> str:
    return _decoded(" ".join(_plain_comment(t.text) for t in element if t.text.startswith("(")))


def _plain(token: Token) -> str:
    if token.kind == "space":
        return " "
    if token.kind == "quoted":
        return _ESCAPED.sub(r"\1", token.text[1:-1])
    return token.text


def _plain_comment(text: str) -> str:
    return _ESCAPED.sub(r"\1", text.removeprefix("(").removesuffix(")"))


def _decoded(text: str) -> str:
    words = " ".join(text.split())
    return readable(decode_words(words.encode("utf-8", "surrogateescape")))
