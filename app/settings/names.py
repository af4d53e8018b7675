"""Finds the known name that an unknown one was probably meant to be."""

import re
from collections.abc import Collection, Iterable

MISSPELLING_EDITS = 2
"""An unknown MAIL_ variable this close to a known one is a misspelling."""

_LONGEST_NAME = 60  # the distance takes time in proportion to the product of both lengths


def edits(one: str, other: str) -> int:
    """Return the Damerau-Levenshtein distance, in which a swap of two neighbours is one edit."""
    before: list[int] = []
    above = list(range(len(other) + 1))
    for row, a in enumerate(one, start=1):
        here = [row]
        for column, b in enumerate(other, start=1):
            cost = min(above[column] + 1, here[-1] + 1, above[column - 1] + (a != b))
            if row > 1 and column > 1 and (a, one[row - 2]) == (other[column - 2], b):
                cost = min(cost, before[column - 2] + 1)
            here.append(cost)
        before, above = above, here
    return above[-1]


def misspelled(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` is a misspelling of, if any."""
    near = [
        (edits(name, known), known)
        for known in names
        if abs(len(known) - len(name)) <= MISSPELLING_EDITS
    ]
    distance, known = min(near, default=(MISSPELLING_EDITS + 1, ""))
    return known if distance <= MISSPELLING_EDITS else None


def nearest(name: str, names: Collection[str]) -> str | None:
    """Return the one of `names` that is most similar to `name`, ignoring case.

    If none is similar, return the first one whose words include all words of `name`, or the other
    way round; None if there is none.
    """
    if len(name) > _LONGEST_NAME:
        return None
    plain = _plain(name)
    ranked = [(edits(plain, _plain(known)), known) for known in names]
    distance, known = min(ranked)
    if distance <= min(4, (len(plain) + 1) // 3):
        return known
    # The first one, since the schema begins with the settings that most people need.
    return next((known for known in names if _share_words(plain, _plain(known))), None)


def _plain(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return words.removeprefix("mail_")


def _share_words(one: str, other: str) -> bool:
    words, others = set(one.split("_")), set(other.split("_"))
    return words <= others or others <= words
