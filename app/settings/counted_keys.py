"""Keys that a document gives more than once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


class CountedKeys(dict[Any, Any]):
    """A mapping of a document, and how often each key was given that was given more than once."""

    def __init__(self, pairs: Iterable[tuple[Any, Any]] = ()) -> None:
        super().__init__(pairs)
        self.repeated: Mapping[str, int] = {}

    def note(self, keys: Iterable[object]) -> None:
        """Count `keys`, all keys that were given."""
        counts = Counter(key for key in keys if isinstance(key, str))
        self.repeated = {key: count for key, count in counts.items() if count > 1}
