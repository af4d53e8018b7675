"""Decodes text parts: by the declared charset if it is right, else by a guess noted as a defect."""

import codecs
import re

from app.mime.charsets import codec_of, decode_unlabelled
from app.mime.defects import Defect

_HTML_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def html_charset(data: bytes) -> str | None:
    """Return the charset that an HTML document declares in its first 1,024 bytes, if any."""
    match = _HTML_CHARSET.search(data, 0, 1024)
    return match[1].decode("latin-1") if match else None


def decode_text(data: bytes, charset: str | None, is_whole: bool, found: set[Defect]) -> str:
    """Decode `data`, with LF line ends, and U+FFFD for NUL and lone surrogates. Never raises.

    Unless it `is_whole`, it may end in the middle of a character.
    """
    text = _decoded(data, charset, is_whole, found).removeprefix("\ufeff")
    # With `replace`, since `re.sub` needs many times the memory of a text with short lines.
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    if _SURROGATE.search(text):  # UTF-7 can encode lone surrogates
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _decoded(data: bytes, charset: str | None, is_whole: bool, found: set[Defect]) -> str:
    if data.isascii() and (not charset or not _is_stateful(charset)):
        return data.decode("ascii")
    codec = codec_of(charset) if charset else None
    if codec is None or (charset and _says_ascii(charset)):
        found.add(Defect.CHARSET_UNKNOWN if charset and not codec else Defect.CHARSET_GUESSED)
        return _guessed(data, is_whole)
    text = _strict(data, codec, is_whole)
    if text is not None:
        return text
    found.add(Defect.CHARSET_WRONG)
    text = _strict(data, "utf-8", is_whole)
    return data.decode(codec, "replace") if text is None else text


def _is_stateful(charset: str) -> bool:
    """Return whether ASCII bytes can encode other characters in `charset`."""
    codec = codec_of(charset)
    return codec is not None and not codec.startswith(("utf-8", "cp125", "iso8859", "koi8"))


def _says_ascii(charset: str) -> bool:
    return charset.strip().lower() in {"us-ascii", "ascii", "ansi_x3.4-1968"}


def _guessed(data: bytes, is_whole: bool) -> str:
    text = _strict(data, "utf-8", is_whole)
    return decode_unlabelled(data) if text is None else text


def _strict(data: bytes, codec: str, is_whole: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(codec)("strict").decode(data, is_whole)
    except ValueError:
        return None
