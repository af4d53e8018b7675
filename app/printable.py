"""Foreign text made harmless for terminals and logs."""

import re

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def escape(text: str) -> str:
    r"""Return `text` with control characters, line separators and surrogates as `\x1b` etc."""
    return UNPRINTABLE.sub(_escape_character, text)


def _escape_character(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()
