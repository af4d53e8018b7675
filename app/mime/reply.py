"""Separates a reply from the message that it quotes below."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from mailparser_reply.constants import MAIL_LANGUAGES
from mailparser_reply.parser import EmailMessage

# mailparser_reply takes 20 s for 64 KiB of line ends. Within these limits, no text that was tried
# takes more than 0.2 s.
MAX_CHARACTERS = 16 * 1024
_MAX_LINE_CHARACTERS = 200

# Where the lines above a quotation can begin: with words as in "On Monday" or "Tor 1 jan skrev", or
# with one such as "From:". Searching only there takes a tenth of the time.
_BEGINNING = re.compile(
    r"^(?:> ?)*(?:-{5}|(?:On|Am|Le|El|Il|Op|Dne|Dnia)\s"
    r"|(?:\d|Den|M.n|Ti[rs]|Ons|Tor|Fre|L.r|S.n)(?=[^\n]*(?:\n[^\n]*){0,3}(?:skrev|年))"
    r"|[* ]*(?:\[?Original |보낸\s|받는\s|(?!https?:)[^\s:]{0,13} ?:))",
    re.MULTILINE | re.IGNORECASE,
)


class Reply(NamedTuple):
    """The text above the quoted message; the whole text unless a quoted message was `found`."""

    text: str
    found: bool


def read_reply(text: str) -> Reply:
    """Look for a quoted message in the first 16,384 characters of `text`.

    Quotes are recognized by the line that mail programs write above them, in 13 languages.
    """
    lines = text[:MAX_CHARACTERS].split("\n")
    searched = EmailMessage(text="\n".join(_condensed(lines)), languages=["en"]).text
    newest = searched[: _quotation_start(searched)].strip()
    if not newest:
        return Reply(text, found=False)
    written = lines[: _end(lines, newest.split("\n"))]
    return Reply("\n".join(written).strip("\n"), found=True)


def _quotation_start(text: str) -> int:
    """Return where the line that introduces the first quotation begins; 0 if there is none."""
    expression = _expression()
    for beginning in _BEGINNING.finditer(text):
        start = beginning.start()
        found = expression.match(text, start)
        if not found and start > 0 and text[start] == ">":  # it has "\n> From:", but not "> From:"
            found = expression.match(text, start - 1)
        if found and found.lastindex:
            return found.start()
    return 0


@cache
def _expression() -> re.Pattern[str]:
    """Return the package's own expression, compiled on first use, since that takes long."""
    expression: re.Pattern[str] = EmailMessage("", languages=sorted(MAIL_LANGUAGES)).HEADER_REGEX
    return expression


def _condensed(lines: Sequence[str]) -> Iterator[str]:
    """Yield `lines` with long ones cut and runs of blank lines reduced to one."""
    is_blank = False
    for line in lines:
        was_blank, is_blank = is_blank, not line.strip()
        if not (was_blank and is_blank):
            yield line[:_MAX_LINE_CHARACTERS]


def _end(lines: Sequence[str], fragment: Sequence[str]) -> int:
    """Return how many of `lines` the condensed `fragment` covers."""
    number = 0
    for wanted in filter(None, map(str.strip, fragment)):
        while number < len(lines) and lines[number][:_MAX_LINE_CHARACTERS].strip() != wanted:
            number += 1
        number += 1
    return number
