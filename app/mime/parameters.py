"""Parses values with parameters, such as `text/plain; charset=utf-8` (RFC 2045, RFC 2231)."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from app.mime.charsets import codec_of, decode_unlabelled
from app.mime.defects import Defect
from app.mime.encoded_words import decode_words

MAX_BYTES = 8192  # of one parameter, as sent: more than the longest file name needs

# A quoted value without a closing quote extends to the end, so that each byte is matched once.
_PARAMETER = re.compile(rb';\s*([^\s;=]+)\s*=\s*("(?:[^"\\]|\\.)*(?:"|\Z|\\\Z)|[^;]*)', re.DOTALL)
_ESCAPED = re.compile(rb'\\(["\\])')  # other backslashes are literal, as in Windows paths
_COMMENT_AT_END = re.compile(r"\([^()]*\)\Z")


class Structured(NamedTuple):
    """The value before the first semicolon, in lower case, and the raw values of parameters."""

    value: str
    parameters: Mapping[str, bytes]


def read_structured(raw: bytes) -> Structured:
    """Parse a value with parameters; the first one counts if a parameter is repeated."""
    first, semicolon, _ = raw.partition(b";")
    parameters: dict[str, bytes] = {}
    for match in _PARAMETER.finditer(raw, len(first)) if semicolon else ():
        parameters.setdefault(match[1].decode("latin-1").lower(), _unquoted(match[2]))
    words = first.split(b"(")[0].decode("latin-1").lower().split()
    return Structured(words[0] if words else "", parameters)


def token(parameters: Mapping[str, bytes], name: str, found: set[Defect]) -> str | None:
    """Return a parameter that is one word, such as a charset, without a trailing comment."""
    text = parameter(parameters, name, found)
    return None if text is None else _COMMENT_AT_END.sub("", text.rstrip()).strip()


def parameter(parameters: Mapping[str, bytes], name: str, found: set[Defect]) -> str | None:
    """Return a parameter decoded by RFC 2231 or RFC 2047, or as it is; None if missing."""
    extended = parameters.get(f"{name}*")
    whole = [] if extended is None else [(extended[:MAX_BYTES], True)]
    pieces = whole or list(_pieces(parameters, name))
    text = _decoded(pieces, found) if pieces else None
    plain = parameters.get(name)
    return text if text or plain is None else decode_words(plain[:MAX_BYTES])


def _unquoted(value: bytes) -> bytes:
    if not value.startswith(b'"'):
        return value.strip()
    inner = value[1:-1] if len(value) > 1 and value.endswith(b'"') else value[1:]
    return _ESCAPED.sub(rb"\1", inner)


def _pieces(parameters: Mapping[str, bytes], name: str) -> Iterator[tuple[bytes, bool]]:
    """Yield the values of name*0, name*1*, … in order, and whether each is percent-encoded."""
    left = MAX_BYTES
    for number in range(len(parameters)):
        plain = parameters.get(f"{name}*{number}")
        encoded = parameters.get(f"{name}*{number}*")
        piece = plain if encoded is None else encoded
        if piece is None or left <= 0:
            return
        yield piece[:left], encoded is not None
        left -= len(piece)


def _decoded(pieces: list[tuple[bytes, bool]], found: set[Defect]) -> str:
    charset = None
    first, is_encoded = pieces[0]
    if is_encoded and first.count(b"'") >= 2:
        name, _, rest = first.split(b"'", 2)
        charset = name.decode("latin-1")
        pieces[0] = (rest, True)
    data = b"".join(unquote_to_bytes(piece) if encoded else piece for piece, encoded in pieces)
    if not charset:
        return decode_unlabelled(data) if is_encoded else decode_words(data)
    codec = codec_of(charset)
    try:
        if codec is not None:
            return data.decode(codec)
    except ValueError:
        pass
    found.add(Defect.PARAMETER_INVALID)
    return decode_unlabelled(data)
