"""Reads the HTML of a message, and the parts that it refers to by their Content-ID (RFC 2392)."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.mime.bodies import find_bodies
from app.mime.defects import Defect
from app.mime.fields import read_ids
from app.mime.structure import Entity, read_structure
from app.mime.texts import Texts


@dataclass(frozen=True)
class HtmlBody:
    """The HTML of a message; `is_whole` unless it was cut."""

    html: str
    is_whole: bool
    _raw: bytes
    _parts: Mapping[str, Entity]

    def part(self, content_id: str) -> bytes | None:
        """Return the decoded content of the part with this Content-ID, None if there is none."""
        part = self._parts.get(content_id)
        return None if part is None else part.content(self._raw, set())


def read_html(raw: bytes, most_bytes: int) -> HtmlBody | None:
    """Return the HTML of a message, at most `most_bytes` of it, None without HTML. Never raises.

    It is that of ParsedMessage but for the limit, which is in bytes before charsets are decoded.
    """
    found: set[Defect] = set()
    message = read_structure(raw, found)
    texts = Texts(raw, found, most_bytes)
    html = texts.as_html(find_bodies(message).html)
    if html is None:
        return None
    return HtmlBody(html, not texts.cut, raw, _by_content_id(message))


def _by_content_id(message: Entity) -> Mapping[str, Entity]:
    """Return the parts that have a Content-ID; of several with the same one the first."""
    parts: dict[str, Entity] = {}
    for part in message.leaves():
        for content_id in read_ids(part.head.value("content-id") or b"")[:1]:
            parts.setdefault(content_id, part)
    return parts
