"""Extracts the text of an HTML document, for messages without a text part."""

import re
from collections.abc import Mapping
from io import StringIO

from lxml import etree

_HIDDEN = {"head", "noframes", "script", "style", "template", "title"}
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details"),
    *("dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header"),
    *("hr", "html", "legend", "li", "main", "menu", "nav", "optgroup", "option", "section"),
    *("summary", "table", "tbody", "tfoot", "thead", "tr"),
}
_PARAGRAPHS = {"h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "ul"}
_CELLS = {"td", "th"}
_SPACES = re.compile(r"[ \t\n\r\f]+")
_PIECE = 65536


def text_of_html(html: str) -> str:
    """Return the visible text: blocks and <br> end a line, <p> ends a paragraph.

    Never raises. Takes time proportional to the length of `html`.
    """
    target = _Text()
    # A target instead of a tree, which would lack elements nested more than 256 deep.
    parser = etree.HTMLParser(target=target)
    for start in range(0, len(html), _PIECE):
        parser.feed(html[start : start + _PIECE])
    return str(parser.close()) if html else ""


class _Text:
    """The target of lxml's parser: collects the visible text."""

    def __init__(self) -> None:
        self._written = StringIO()
        self._has_text = False
        self._data: list[str] = []
        self._line_ends = 0
        self._has_space = False
        self._unseen: str | None = None
        self._depth_of_unseen = 0
        self._depth_of_pre = 0

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        """Handle a start tag."""
        self._take_data()
        if self._unseen is None and tag in _HIDDEN:
            self._unseen = tag
        self._depth_of_unseen += tag == self._unseen
        if tag == "br":
            self._line_ends = min(self._line_ends + 1, 2)
        elif tag in _CELLS:
            self._has_space = True
        else:
            self._break(tag)
        self._depth_of_pre += tag == "pre"

    def end(self, tag: str) -> None:
        """Handle an end tag."""
        self._take_data()
        self._depth_of_unseen -= tag == self._unseen
        if not self._depth_of_unseen:
            self._unseen = None
        self._break(tag)
        self._depth_of_pre -= tag == "pre"

    def data(self, text: str) -> None:
        """Handle text; the parser may split a run of text into many calls."""
        if self._unseen is None:
            self._data.append(text)

    def close(self) -> str:
        """Return the collected text."""
        self._take_data()
        return self._written.getvalue().replace("\xa0", " ")

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._line_ends = max(self._line_ends, 1)
        elif tag in _PARAGRAPHS:
            self._line_ends = 2

    def _take_data(self) -> None:
        if not self._data:
            return
        text = "".join(self._data)
        self._data.clear()
        if self._depth_of_pre:
            self._write(text)
            return
        words = _SPACES.sub(" ", text)
        self._has_space |= words[0] == " "
        if words != " ":
            self._write(words.strip(" "))
            self._has_space = words[-1] == " "

    def _write(self, text: str) -> None:
        if self._has_text:  # no line ends before the first text
            self._written.write("\n" * self._line_ends or " " * self._has_space)
        self._written.write(text)
        self._has_text = True
        self._line_ends = 0
        self._has_space = False
