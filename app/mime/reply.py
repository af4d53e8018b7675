"""Separates a reply from the message that it quotes below."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mailparser_reply import EmailReplyParser
from mailparser_reply.constants import MAIL_LANGUAGES

# mailparser_reply takes 20 s for 64 KiB of line ends. Within these limits, no text that was tried
# takes more than 0.2 s.
MAX_CHARACTERS = 16 * 1024
_MAX_LINE_CHARACTERS = 200

_PARSER = EmailReplyParser(languages=sorted(MAIL_LANGUAGES))


class Reply(NamedTuple):
    """The text above the quoted message; the whole text unless a quoted message was `found`."""

    text: str
    found: bool


def read_reply(text: str) -> Reply:
    """Look for a quoted message in the first 16,384 characters of `text`.

    Quotes are recognized by the line that mail programs write above them, in 13 languages.
    """
    lines = text[:MAX_CHARACTERS].split("\n")
    fragments = _PARSER.read("\n".join(_condensed(lines))).replies
    newest = fragments[0]
    if len(fragments) == 1 or newest.headers or not newest.content:
        return Reply(text, found=False)
    written = lines[: _end(lines, newest.content.split("\n"))]
    return Reply("\n".join(written).strip("\n"), found=True)


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
