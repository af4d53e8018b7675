"""Routes that return the bytes of messages and parts, in answers that are safe in a browser."""

import hashlib
from base64 import b64encode
from contextlib import ExitStack
from urllib.parse import quote

from flask import Response, request

from app.auth.tokens import TokenKind
from app.errors import MessageNotFound
from app.mime.message import Part
from app.storage.message import StoredMessage
from app.web.access import needs
from app.web.byte_range import requested_range
from app.web.message_answers import checked_id, client_has, not_modified
from app.web.parameters import NoParameters, load_query
from app.web.private_routes import private_blueprint
from app.web.request_context import current_reader

SHOWN_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"})
"""The types that are declared; others might run in a browser, as the scripts in an SVG do."""
LONGEST_PART_NUMBER = 100

blueprint = private_blueprint("message_content")

_NO_PARAMETERS = NoParameters()


@blueprint.get("/messages/<id>/raw")
@needs(TokenKind.API)
def raw_message(id: str) -> Response:  # noqa: A002 -- the name in the rule, metrics and docs
    """Return the bytes as received; HEAD returns their number without reading them.

    Returns:
    - 200, or 206 for a single `Range`, unless `If-Range` has another ETag
    - 304 if `If-None-Match` has the ETag
    - 400 `bad_request` for a parameter or a body
    - 401, 403, 429, 503 as for GET /messages
    - 404 `not_found` if no message has this id
    - 416 `range_not_satisfiable` if the range is beyond the end
    - 500 `internal_error` if the bytes are damaged
    """
    load_query(_NO_PARAMETERS, request.args)
    return raw_answer(id)


@blueprint.get("/messages/<id>/parts/<part>")
@needs(TokenKind.API)
def message_part(id: str, part: str) -> Response:  # noqa: A002
    """Return one part of a message, decoded, by its number in `attachments`.

    Returns:
    - 200: as application/octet-stream unless it is PNG, JPEG, GIF, WebP or PDF
    - 304 if `If-None-Match` has the ETag
    - 400, 401, 403, 429, 503 as for the raw message
    - 404 `not_found` if no message has this id, or the message has no such part
    - 500 `internal_error` if the bytes of the message are damaged
    """
    load_query(_NO_PARAMETERS, request.args)
    return part_answer(id, part)


def raw_answer(message_id: str) -> Response:
    """Return the answer with the bytes of a message; see raw_message."""
    stored = current_reader().stored(checked_id(message_id))
    etag = f'"{stored.sha256.hex()}"'
    if client_has(etag):
        return not_modified(etag)
    answer = _head(stored) if request.method == "HEAD" else _content(stored, etag)
    answer.headers["ETag"] = etag
    answer.headers["Accept-Ranges"] = "bytes"
    digest = b64encode(stored.sha256).decode()
    answer.headers["Repr-Digest"] = f"sha-256=:{digest}:"  # RFC 9530
    answer.headers["Content-Type"] = "message/rfc822"
    return _hardened(answer, f"{stored.message_id}.eml")


def part_answer(message_id: str, part: str) -> Response:
    """Return the answer with a part of a message; see message_part."""
    stored = current_reader().stored(checked_id(message_id))
    if len(part) > LONGEST_PART_NUMBER:
        raise _no_part()
    with ExitStack() as held:
        found = held.enter_context(current_reader().part(stored, part))
        if found is None:
            raise _no_part()
        etag = f'"{hashlib.sha256(found.content).hexdigest()}"'
        if client_has(etag):
            return not_modified(etag)
        answer = Response(found.content, content_type=_shown_type(found))
        answer.call_on_close(held.pop_all().close)
    answer.headers["ETag"] = etag
    return _hardened(answer, found.filename or f"{stored.message_id}-{part}")


def _no_part() -> MessageNotFound:
    return MessageNotFound("The message has no part with this number.")


def _head(stored: StoredMessage) -> Response:
    answer = Response()
    answer.headers["Content-Length"] = str(stored.size)
    return answer


def _content(stored: StoredMessage, etag: str) -> Response:
    asked = None
    if request.headers.get("If-Range", etag) == etag:
        asked = requested_range(request.headers.get("Range"), stored.size)
    with ExitStack() as held:
        content = held.enter_context(current_reader().content(stored))
        if asked is None:
            answer = Response(content)
        else:
            answer = Response(content[asked.start : asked.stop], status=206)
            answer.headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{stored.size}"
        answer.call_on_close(held.pop_all().close)  # after it has been sent
    return answer


def _shown_type(part: Part) -> str:
    return part.content_type if part.content_type in SHOWN_TYPES else "application/octet-stream"


def _hardened(answer: Response, filename: str) -> Response:
    answer.headers["Content-Disposition"] = _attachment(filename)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer


def _attachment(filename: str) -> str:
    """Return the value of Content-Disposition (RFC 6266), with a name in ASCII for old clients."""
    plain = "".join(each if each.isascii() and each not in '"\\%' else "_" for each in filename)
    value = f'attachment; filename="{plain}"'
    return value if plain == filename else f"{value}; filename*=UTF-8''{quote(filename, safe='')}"
