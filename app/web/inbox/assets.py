"""The files beside the pages: style sheet, script, icon."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from flask import Response
from werkzeug.exceptions import NotFound

from app.web.access import page, public
from app.web.inbox.blueprint import blueprint
from app.web.message_answers import client_has, not_modified

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class _Asset:
    content: bytes
    content_type: str
    digest: str


@blueprint.get("/inbox/static/<name>")
@page
@public
def asset(name: str) -> Response:
    """Return one of the files beside the pages, which browsers keep until its URL changes.

    Returns:
    - 200, or 304 if `If-None-Match` has the ETag
    - 404 `not_found` if no file has this name
    """
    found = _assets().get(name)
    if found is None:
        raise NotFound
    etag = f'"{found.digest}"'
    if client_has(etag):
        return not_modified(etag)
    answer = Response(found.content, content_type=found.content_type)
    answer.headers["ETag"] = etag
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return answer


def asset_url(name: str) -> str:
    """Return the URL of a file, which changes with its content."""
    return f"/inbox/static/{name}?v={_assets()[name].digest}"


@cache
def _assets() -> Mapping[str, _Asset]:
    found = {}
    for file in (files("app.web.inbox") / "static").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            content = file.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            found[file.name] = _Asset(content, kind, digest)
    return found
