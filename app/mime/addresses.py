"""Mail addresses as envelopes and header fields carry them.

docs/addresses.md has the rules as a table. They are those of RFC 5322, extended for what
occurs in real mail, and the same on every Python: email.utils changed what it finds with the fix of
CVE-2023-27043. An address is used exactly as written or not at all; none is made up from parts.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from app.address import LABEL, is_address

MAX_FIELD_CHARACTERS = 4096
"""The longest list of addresses that is read; a longer one counts as empty."""

_ROUTE = re.compile(rf"(?:@{LABEL}(?:\.{LABEL})*,*)+:")  # RFC 5322 section 4.4, without spaces

_UNQUOTED = (
    r"(?P<literal>\[[^\[\]\\\s]*\])"
    r"|(?P<encoded>=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=)"  # RFC 2047, whatever characters it has
    r"|(?P<space>\s+)"
    r"|(?P<special>[\"\[\]\\<>,;:()])"
    r"|(?P<text>(?:(?!=\?)[^\s\"\[\]\\<>,;:()])+|=)"
)
_TOKEN = re.compile(_UNQUOTED, re.DOTALL)
_TOKEN_OR_QUOTED = re.compile(r'(?P<quoted>"(?:[^"\\]|\\.)*")|' + _UNQUOTED, re.DOTALL)
_COMMENT_EDGE = re.compile(r"\\.|[()]", re.DOTALL)


class Token(NamedTuple):
    """A token of an address field; `kind` is quoted, literal, encoded, space, special or text.

    A comment, with its parentheses, is of the kind space (RFC 5322 section 3.2.2).
    """

    kind: str
    text: str


def whole_address(text: str) -> str | None:
    """Return the address that `text` is, None when it is not one address and nothing else.

    Angle brackets, apostrophes and backticks (Outlook's way) around it aren't part of it.
    """
    bare = text.strip()
    if bare.startswith("<") and bare.endswith(">"):
        bare = bare[1:-1]
    bare = _unquoted(bare)
    return bare if is_address(bare) else None


def named_address(text: str) -> str | None:
    """Return the address in `text`, which may have a display name, as in `Ann <ann@example.com>`.

    None unless it is exactly one address, and nothing but its name and comments would be lost.
    """
    if len(text) > MAX_FIELD_CHARACTERS:
        return None
    elements = list(_elements(list(_tokens(text))))
    if len(elements) != 1 or _has_group(text):
        return None
    address = _address_in(elements[0][0])
    return address if address is not None and address in text else None


def find_addresses(text: str) -> list[str]:
    """Return the bare addresses in a header value such as `Ann <ann@example.com>, bob@…`.

    Never raises. What can't be understood, or is longer than MAX_FIELD_CHARACTERS, holds no
    addresses. An address occurs in `text` as it is returned, except for the white space and
    the comments that RFC 5322 section 4.4 allows around its dots and its @.
    """
    bare = whole_address(text)
    if bare is not None:
        return [bare]
    if len(text) > MAX_FIELD_CHARACTERS:
        return []
    return [address for _, address in elements_with_addresses(text) if address is not None]


def elements_with_addresses(text: str) -> list[tuple[Sequence[Token], str | None]]:
    """Return the elements of an address list of any length, each with its address.

    The address is None for an element without a usable one. Never raises; takes time proportional
    to the length.
    """
    elements = list(_elements(list(_tokens(text))))
    found = [_address_in(element) for element, _ in elements]
    for number, (element, is_joined) in enumerate(elements[1:], start=1):
        # A comma with nothing but a word on one side, and no space: one address with a comma in it.
        if is_joined and (_is_word(element) or _is_word(elements[number - 1][0])):
            for place in (number - 1, number):
                if not _has_angle(elements[place][0]):
                    found[place] = None
    return [(element, address) for (element, _), address in zip(elements, found, strict=True)]


def _has_group(text: str) -> bool:
    in_angle = False
    for token in _tokens(text):
        in_angle = token.text == "<" or (in_angle and token.text != ">")
        if token == Token("special", ":") and not in_angle:
            return True
    return False


def _tokens(text: str) -> Iterator[Token]:
    position, expression = 0, _TOKEN_OR_QUOTED
    while position < len(text):
        if text[position] == "(":
            end = _end_of_comment(text, position)
            yield Token("space", text[position:end])
            position = end
            continue
        match = expression.match(text, position)
        if match is None:  # can't happen: the expression covers every character
            return
        if match.group() == '"':  # without another half; none that follows has one either
            expression = _TOKEN
        yield Token(str(match.lastgroup), match.group())
        position = match.end()


def _end_of_comment(text: str, start: int) -> int:
    """Return where the comment ends that begins at `start`; comments nest (RFC 5322 3.2.2)."""
    depth = 0
    for match in _COMMENT_EDGE.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.end()
    return len(text)


def _elements(tokens: Sequence[Token]) -> Iterator[tuple[list[Token], bool]]:
    """Yield what is between commas and semicolons, and whether a separator joins it.

    A separator joins its neighbours if no white space is around it. A group's name belongs to no
    element (RFC 5322 section 3.4).
    """
    element: list[Token] = []
    is_joined = in_angle = False
    closed = _closed_angles(tokens)
    for number, token in enumerate(tokens):
        if token.text == "<":
            in_angle = number in closed
        elif token.text == ">":
            in_angle = False
        if in_angle or token.kind != "special" or token.text not in {",", ";", ":"}:
            element.append(token)
            continue
        if token.text != ":":
            yield element, is_joined
        follows = tokens[number + 1] if number + 1 < len(tokens) else None
        precedes = tokens[number - 1] if number else None
        is_joined = token.text != ":" and not any(
            each is None or each.kind in {"space", "special"} for each in (precedes, follows)
        )
        element = []
    yield element, is_joined


def _closed_angles(tokens: Sequence[Token]) -> set[int]:
    """Return where angle brackets open that are closed before the next one opens."""
    angles = [number for number, token in enumerate(tokens) if token.text in {"<", ">"}]
    return {one for one, next_one in pairwise(angles) if tokens[one].text < tokens[next_one].text}


def _address_in(element: Sequence[Token]) -> str | None:
    """Return the address of one element: the one in angle brackets if there are any."""
    if not _has_angle(element):
        bare = [token for token in element if token != Token("special", ">")]
        is_closed_late = len(bare) == len(element) - 1 and element[-1].text == ">"
        return _address_of(bare if is_closed_late else element)
    inside = [found for each in _angles(element) if (found := _address_of(each)) is not None]
    return inside[0] if len(inside) == 1 else None


def _has_angle(element: Sequence[Token]) -> bool:
    return Token("special", "<") in element


def _angles(element: Sequence[Token]) -> Iterator[list[Token]]:
    inside: list[Token] | None = None
    for token in element:
        if token == Token("special", "<"):
            if inside:
                yield inside
            inside = []
        elif token == Token("special", ">"):
            if inside:
                yield inside
            inside = None
        elif inside is not None:
            inside.append(token)
    if inside:  # the other half is missing
        yield inside


def _address_of(tokens: Sequence[Token]) -> str | None:
    text = _unquoted(_without_route(_joined(tokens)))
    return text if is_address(text) else None


def _joined(tokens: Sequence[Token]) -> str:
    """Return the text of `tokens` without the space that may stand around dots and the @."""
    pieces: list[str] = []
    space = ""
    for token in tokens:
        if token.kind == "space":
            space = " "
            continue
        glues = not pieces or pieces[-1][-1] in ".@" or token.text[0] in ".@"
        pieces += [token.text] if glues else [space, token.text]
        space = ""
    return "".join(pieces)


def _without_route(text: str) -> str:
    route = _ROUTE.match(text)
    return text[route.end() :] if route else text


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 2 and text[0] == text[-1] and text[0] in "'`"
    return text[1:-1] if is_quoted else text


def _is_word(element: Sequence[Token]) -> bool:
    return len(element) == 1 and element[0].kind == "text" and "@" not in element[0].text
