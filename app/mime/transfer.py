"""Removes the Content-Transfer-Encoding (RFC 2045 section 6); decodes as much as is valid."""

import binascii
import re
from collections.abc import Iterator

from app.mime.defects import Defect

_IDENTITY = {"", "7bit", "8bit", "binary", "7-bit", "8-bit", "7bits", "8bits"}
_WHITE_SPACE = b" \t\r\n\x0b\x0c"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_FOREIGN = bytes(set(range(256)) - set(_ALPHABET))
_MAX_RUNS = 1000  # of digits between padding, which occurs where encoded pieces were joined
_PADDING = re.compile(rb"=+")
_PIECE = 65536  # bytes at once, since a list of lines needs many times the memory of its lines


def is_identity(encoding: str) -> bool:
    """Return whether `encoding` leaves the bytes as they are."""
    return encoding in _IDENTITY


def decode(raw: bytes, start: int, end: int, encoding: str, found: set[Defect]) -> bytes:
    """Return `raw[start:end]` decoded. Never raises.

    `encoding` is in lower case. If it is unknown, the bytes are returned as they are. uuencode
    counts as unknown, since its text holds file names and more besides the encoded bytes.
    """
    if encoding == "base64":
        return _base64(raw, start, end, found)
    if encoding == "quoted-printable":
        return b"".join(_quoted_printable(raw, start, end, found))
    if not is_identity(encoding):
        found.add(Defect.TRANSFER_ENCODING_UNKNOWN)
    return raw[start:end]


def _quoted_printable(raw: bytes, start: int, end: int, found: set[Defect]) -> Iterator[bytes]:
    while start < end:
        next_start = raw.find(b"\n", start + _PIECE, end) + 1 or end
        lines = _without_space_at_ends(raw[start:next_start])
        decoded = binascii.a2b_qp(lines)
        if decoded.count(b"=") != lines.count(b"=3D") + lines.count(b"=3d"):
            found.add(Defect.QUOTED_PRINTABLE_INVALID)
        yield decoded
        start = next_start


def _without_space_at_ends(lines: bytes) -> bytes:
    """Return `lines` without trailing white space (RFC 2045 section 6.7, rule 3)."""
    for ending in (b" \n", b"\t\n", b" \r\n", b"\t\r\n"):
        if ending in lines:
            lines = ending[1:].join([each.rstrip(b" \t") for each in lines.split(ending)])
    return lines if lines.endswith(b"\n") else lines.rstrip(b" \t")


def _base64(raw: bytes, start: int, end: int, found: set[Defect]) -> bytes:
    digits = raw[start:end].translate(None, _WHITE_SPACE)
    try:
        return binascii.a2b_base64(digits, strict_mode=True)
    except binascii.Error:
        found.add(Defect.BASE64_INVALID)
    return b"".join(_runs(digits.translate(None, _FOREIGN)))


def _runs(digits: bytes) -> Iterator[bytes]:
    for run in _PADDING.split(digits, maxsplit=_MAX_RUNS):
        complete = run.translate(None, b"=")
        if len(complete) % 4 == 1:  # a single digit has too few bits for a byte
            complete = complete[:-1]
        yield binascii.a2b_base64(complete + b"=" * (-len(complete) % 4))
