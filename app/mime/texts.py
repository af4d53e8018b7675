"""Joins the text parts of a message into one text and one HTML document."""

from collections.abc import Sequence
from html import escape

from app.mime.defects import Defect
from app.mime.html_text import text_of_html
from app.mime.parameters import token
from app.mime.structure import Entity
from app.mime.text import decode_text, html_charset

MAX_BYTES = 1024 * 1024
"""The usual limit for all parts of the text, and for all those of the HTML, in encoded bytes."""


class Texts:
    """Reads the text parts of one message; `cut` lists those that exceeded `most_bytes`."""

    def __init__(self, raw: bytes, found: set[Defect], most_bytes: int = MAX_BYTES) -> None:
        self._raw = raw
        self._found = found
        self._most_bytes = most_bytes
        self.cut: list[Entity] = []
        self._last: tuple[Entity, bytes] | None = None

    def content(self, part: Entity) -> bytes:
        """Return the bytes of a part, of which the last one isn't decoded again."""
        if self._last is None or self._last[0] is not part:
            self._last = None  # before there are two of them in memory
            self._last = part, part.content(self._raw, self._found)
        return self._last[1]

    def as_text(self, parts: Sequence[Entity]) -> str | None:
        """Return the text of `parts`, HTML parts as their visible text; None without parts."""
        texts = [
            text_of_html(text) if part.content_type == "text/html" else text
            for part, text in self._read(parts)
        ]
        return _joined(texts)

    def as_html(self, parts: Sequence[Entity]) -> str | None:
        """Return the HTML of `parts`, text parts in <pre>; None if none of them is HTML."""
        if all(part.content_type != "text/html" for part in parts):
            return None
        texts = [
            text if part.content_type == "text/html" else f"<pre>{escape(text)}</pre>"
            for part, text in self._read(parts)
        ]
        return _joined(texts)

    def _read(self, parts: Sequence[Entity]) -> list[tuple[Entity, str]]:
        texts = []
        left = self._most_bytes
        for part in parts:
            # What nobody will see isn't decoded for it.
            data = self.content(part) if left else self._raw[part.start : part.end]
            if len(data) > left:
                self._note_cut(part)
            texts.append((part, self._decode(part, data[:left], is_whole=len(data) <= left)))
            left = max(0, left - len(data))
        return texts

    def _note_cut(self, part: Entity) -> None:
        self._found.add(Defect.TEXT_TOO_LONG)
        if part not in self.cut:
            self.cut.append(part)

    def _decode(self, part: Entity, data: bytes, *, is_whole: bool) -> str:
        charset = token(part.parameters, "charset", self._found)
        if part.content_type == "text/html":
            charset = charset or html_charset(data)
        return decode_text(data, charset, is_whole, self._found)


def _joined(texts: Sequence[str]) -> str | None:
    if not texts:
        return None
    lines = [text if text.endswith("\n") or not text else f"{text}\n" for text in texts[:-1]]
    return "".join([*lines, texts[-1]])
