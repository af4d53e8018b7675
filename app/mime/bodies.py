"""Finds the parts that are a message's text, as JMAP does (RFC 8621 section 4.1.4)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.mime.structure import Entity

_TEXT, _HTML = "text/plain", "text/html"


@dataclass(frozen=True)
class Bodies:
    """The parts that make up the text body and the HTML body, in order, and all other parts.

    A part without an alternative is in both bodies: `text` may hold HTML parts, `html` text parts.
    """

    text: list[Entity] = field(default_factory=list)
    html: list[Entity] = field(default_factory=list)
    attachments: list[Entity] = field(default_factory=list)


class _Place(NamedTuple):
    """The multipart that holds some parts, and which of the two bodies they belong to."""

    subtype: str
    in_alternative: bool = False
    for_text: bool = True
    for_html: bool = True


def find_bodies(message: Entity) -> Bodies:
    """Return the parts of `message` sorted into bodies; inline images count as attachments."""
    bodies = Bodies()
    _sort([message], _Place("mixed"), bodies)
    return bodies


def _sort(parts: Sequence[Entity], place: _Place, bodies: Bodies) -> None:
    texts_before, html_before = len(bodies.text), len(bodies.html)
    is_alternative = place.subtype == "alternative"
    here = place
    for number, part in enumerate(parts):
        if part.children:
            subtype = part.content_type.removeprefix("multipart/")
            inner = here._replace(
                subtype=subtype, in_alternative=place.in_alternative or subtype == "alternative"
            )
            _sort(part.children, inner, bodies)
        elif not _is_body(part, is_first=number == 0, around=place.subtype):
            bodies.attachments.append(part)
        elif is_alternative:
            _add(part, _narrowed(place, part), bodies)
        else:
            # In an alternative, later parts go to the body of its first text or HTML part.
            if here.in_alternative and here.for_text and here.for_html:
                here = _narrowed(here, part)
            _add(part, here, bodies)
    if is_alternative and place.for_text and place.for_html:
        _complete(bodies, texts_before, html_before)


def _narrowed(place: _Place, part: Entity) -> _Place:
    if part.content_type == _TEXT:
        return place._replace(for_html=False)
    return place._replace(for_text=False)


def _add(part: Entity, place: _Place, bodies: Bodies) -> None:
    bodies.text.extend([part] * place.for_text)
    bodies.html.extend([part] * place.for_html)
    if not (place.for_text or place.for_html):  # both bodies have another part in this place
        bodies.attachments.append(part)


def _complete(bodies: Bodies, texts_before: int, html_before: int) -> None:
    """Use the parts of one body for the other too, if an alternative has only one kind."""
    if len(bodies.text) == texts_before:
        bodies.text.extend(bodies.html[html_before:])
    elif len(bodies.html) == html_before:
        bodies.html.extend(bodies.text[texts_before:])


def _is_body(part: Entity, is_first: bool, around: str) -> bool:
    if part.content_type not in {_TEXT, _HTML} or part.disposition.value == "attachment":
        return False
    if is_first:
        return True
    return around != "related" and not _has_name(part)


def _has_name(part: Entity) -> bool:
    names = (*part.disposition.parameters, *part.parameters)
    return any(name.partition("*")[0] in {"filename", "name"} for name in names)
