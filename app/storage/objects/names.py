"""The names of objects."""

import re
import secrets
from datetime import datetime

_OWN = r"[0-9]{4}/[0-9]{2}/[0-9a-f-]{36}-[0-9a-f]{32}"


class Names:
    """The names of the objects below `prefix`, which may be empty."""

    def __init__(self, prefix: str) -> None:
        self._start = f"{prefix}/" if prefix else ""
        self._own = re.compile(re.escape(self._start) + _OWN)

    def new(self, message_id: str, at: datetime) -> str:
        """Return a name that no object has or had, whichever process asks for it.

        A second try to store the same message gets another name, so that nothing that happens to
        the object of the first, however late, can harm it.
        """
        return f"{self._start}{at:%Y/%m}/{message_id}-{secrets.token_hex(16)}"

    def is_own(self, name: str) -> bool:
        """Return whether `new` may have made this name; a bucket can have other things in it."""
        return self._own.fullmatch(name) is not None

    @property
    def probe(self) -> str:
        """The name of the object that checks write."""
        return f"{self._start}check"
