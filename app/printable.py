"""Foreign text made harmless for terminals, logs and listings."""

import re

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Controls, line separators and surrogates."""

# What changes the direction of the text around it, or isn't seen at all: with it a subject or a
# name can pass for another one. Joiners (U+200C, U+200D) are part of words and emoji in other
# scripts, and invisible beside ASCII.
_INVISIBLE = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
    r"|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)


def escape(text: str) -> str:
    r"""Return `text` with what can't be seen as `\x1b`, `\u202e` etc."""
    return _INVISIBLE.sub(_escape_character, UNPRINTABLE.sub(_escape_character, text))


def readable(text: str) -> str:
    """Return `text` as one line for a listing: controls become spaces, the invisible goes."""
    return _INVISIBLE.sub("", UNPRINTABLE.sub(" ", text)).strip()


def _escape_character(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()
