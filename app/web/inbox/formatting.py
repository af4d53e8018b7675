"""How values appear on the inbox page: filters of its templates."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

from app.printable import escape as visible_text
from app.printable import readable

_UNITS = ("kB", "MB", "GB", "TB", "PB")
_URL = re.compile(r"https?://[^\s<>\"'\x00-\x1f]+[^\s<>\"'\x00-\x1f.,:;!?)\]}]")


def size(number: int) -> str:
    """Return a number of bytes for people, in powers of 1,000."""
    if number < 1000:
        return f"{number} bytes" if number != 1 else "1 byte"
    amount = float(number)
    for unit in _UNITS:
        amount /= 1000
        if amount < 999.5 or unit == _UNITS[-1]:
            break
    return f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:.0f} {unit}"


def moment(at: datetime | None) -> Markup:
    """Return a time element, to the second and in UTC; nothing for None."""
    if at is None:
        return Markup()
    element = Markup('<time datetime="{}">{} UTC</time>')
    return element.format(at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M:%S}")


def one_line(text: str, otherwise: str = "") -> str:
    """Return foreign text as one line without what can't be seen; `otherwise` if none is left."""
    return readable(text) or otherwise


def visible(text: str) -> str:
    r"""Return foreign text line by line, with what can't be seen as `\x1b`, `\u202e` etc."""
    return "\n".join(visible_text(line.expandtabs()) for line in text.splitlines())


def linked(text: str) -> Markup:
    """Return text with its web addresses as links, which open in a new tab without a Referer."""
    text = text.replace("\0", "\ufffd")  # as a browser does
    pieces, end = [], 0
    link = Markup('<a href="{0}" target="_blank" rel="noopener noreferrer nofollow">{0}</a>')
    for found in _URL.finditer(text):
        pieces += [escape(text[end : found.start()]), link.format(found[0])]
        end = found.end()
    return Markup().join([*pieces, escape(text[end:])])


FILTERS: Mapping[str, Callable[..., Any]] = {
    "linked": linked,
    "moment": moment,
    "one_line": one_line,
    "size": size,
    "visible": visible,
}
