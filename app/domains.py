"""Domain names as they are compared everywhere: IDNA 2008 with the mapping of UTS 46.

Python's own `idna` codec is IDNA 2003, which makes strasse.example of straße.example: another
domain.
"""

from contextlib import suppress
from functools import lru_cache

import idna


@lru_cache(maxsize=4096)
def comparable(domain: str) -> str:
    """Return `domain` in ASCII (A-labels) and lower case, without a final dot.

    Never raises: a label that is not valid under IDNA 2008 stays as it is, in lower case.
    """
    if not domain.isascii():
        # Maps case and width, and the full stops of East Asian scripts to dots.
        with suppress(idna.IDNAError):
            domain = idna.uts46_remap(domain, std3_rules=False, transitional=False)
    return ".".join(map(_a_label, domain.lower().rstrip(".").split(".")))


def in_unicode(domain: str) -> str:
    """Return `domain` as people read it (U-labels), in lower case, without a final dot."""
    return ".".join(map(_u_label, comparable(domain).split(".")))


def domain_of(address: str) -> str:
    """Return the domain of `address` as `comparable` does; "" for the null sender."""
    return comparable(address.rpartition("@")[2])


def comparable_address(address: str) -> str:
    """Return `address` for looking up what is stored for it: ASCII case makes no difference."""
    local_part, at, domain = address.rpartition("@")
    return local_part.encode().lower().decode() + at + comparable(domain)


def _a_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        return idna.alabel(label).decode("ascii")
    except idna.IDNAError:
        return label


def _u_label(label: str) -> str:
    try:
        return idna.ulabel(label)
    except idna.IDNAError:
        return label
