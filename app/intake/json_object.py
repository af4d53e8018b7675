"""Decodes the JSON body of a request, and refuses what two parsers might read differently."""

import json
from typing import Any, Never

from app.errors import BadRequest
from app.mime.head import BOM

MAX_STRUCTURE_BYTES = 64 * 1024
"""How much of a JSON body may be outside strings: decoding a 35 MB list would use a gigabyte."""


class _Refused(ValueError):
    """Raised for JSON that the standard library would accept."""


def decode_object(data: bytes) -> dict[str, Any]:
    """Decode `data`, a JSON object in UTF-8 that may begin with a byte order mark.

    Raises BadRequest if it is anything else, is nested too deeply, repeats a name, or has more than
    MAX_STRUCTURE_BYTES outside strings.
    """
    data = data.removeprefix(BOM)
    if _is_overgrown(data):
        raise BadRequest("The JSON body has far more members than a message needs.")
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise BadRequest("The JSON body is nested too deeply.") from error
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {_reason(error)}") from error
    if not isinstance(document, dict):
        raise BadRequest("The JSON body must be an object.")
    return document


def _is_overgrown(data: bytes) -> bool:
    """Return whether more than MAX_STRUCTURE_BYTES, quotation marks included, are outside strings.

    Takes one pass over `data`, without decoding it.
    """
    if b"\\" in data:
        data = data.replace(rb"\\", b"").replace(rb"\"", b"")
    outside = position = 0
    while outside <= MAX_STRUCTURE_BYTES:
        start = data.find(b'"', position)
        if start < 0:
            return outside + len(data) - position > MAX_STRUCTURE_BYTES
        outside += start - position + 2
        end = data.find(b'"', start + 1)
        if end < 0:  # an unclosed string, which json reports
            break
        position = end + 1
    return outside > MAX_STRUCTURE_BYTES


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}."
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8."
    return str(error) if isinstance(error, _Refused) else "a number is too large."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Refused("an object has the same name twice.")
    return members


def _refuse_constant(name: str) -> Never:
    raise _Refused(f"{name} is not a JSON number.")
