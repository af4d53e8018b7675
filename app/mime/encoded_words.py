"""Encoded words: text in header fields beyond ASCII (RFC 2047)."""

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from app.mime.charsets import codec_of, decode_unlabelled

_WORD = re.compile(rb"=\?([^?\s]+)\?([bBqQ])\?([^?]*)\?=")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")


class _Piece(NamedTuple):
    """A stretch of a value; `codec` is None for text that is not encoded."""

    codec: str | None
    data: bytes
    source: bytes


def decode_words(value: bytes) -> str:
    """Return an unfolded header value as text. Never raises; takes time proportional to its length.

    Words that stand beside each other are joined before they are decoded, since some software cuts
    characters in two. A word whose charset is unknown, or that doesn't decode, stays as it is.
    """
    if b"=?" not in value:  # as in most mail
        return decode_unlabelled(value)
    return "".join(
        _text(codec, list(pieces)) for codec, pieces in groupby(_pieces(value), lambda p: p.codec)
    )


def _pieces(value: bytes) -> Iterator[_Piece]:
    end = 0
    follows_word = False
    for match in _WORD.finditer(value):
        between = value[end : match.start()]
        if between and not (follows_word and between.isspace()):  # RFC 2047 section 6.2
            yield _Piece(None, between, between)
        piece = _decoded(match)
        follows_word = piece.codec is not None
        yield piece
        end = match.end()
    if end < len(value):
        yield _Piece(None, value[end:], value[end:])


def _decoded(match: re.Match[bytes]) -> _Piece:
    charset, encoding, text = match.groups()
    codec = codec_of(charset.decode("latin-1"))
    data = _unquoted(text) if encoding in b"qQ" else _from_base64(text)
    if codec is None or data is None:
        return _Piece(None, match.group(), match.group())
    return _Piece(codec, data, match.group())


def _unquoted(text: bytes) -> bytes:
    return _HEX.sub(lambda match: bytes.fromhex(match[1].decode()), text.replace(b"_", b" "))


def _from_base64(text: bytes) -> bytes | None:
    digits = _NOT_BASE64.sub(b"", text)
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4))
    except binascii.Error:  # one digit too many
        return None


def _text(codec: str | None, pieces: list[_Piece]) -> str:
    if codec is None:
        return decode_unlabelled(b"".join(piece.data for piece in pieces))
    try:
        return b"".join(piece.data for piece in pieces).decode(codec)
    except ValueError:
        return "".join(_alone(codec, piece) for piece in pieces)


def _alone(codec: str, piece: _Piece) -> str:
    try:
        return piece.data.decode(codec)
    except ValueError:
        return decode_unlabelled(piece.source)
