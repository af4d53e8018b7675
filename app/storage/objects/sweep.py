"""Finds and deletes objects that no row names: what was put shortly before a process was killed."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from tempfile import TemporaryFile
from typing import IO

from app.storage.objects.store import LIST_LENGTH, Objects, StoredObject

Named = Callable[[Sequence[str]], Collection[str]]
"""Returns those of some names that rows have, among all rows that are committed by then."""

YOUNGEST = timedelta(hours=24)
"""An object is there before its row; one that is younger than this is never an orphan."""

EXAMPLES = 10
ALWAYS_ALLOWED = 10
ALLOWED_SHARE = 0.01


@dataclass
class Findings:
    """How many objects there are, and how many of them are orphans, of `orphan_bytes` together."""

    objects: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_plausible(self) -> bool:
        """Whether the orphans are few enough to be what kills have left.

        A database that is older than the bucket, or not the bucket's, has rows for less. Orphans
        may be one in a hundred. In a bucket with few objects they may be ALWAYS_ALLOWED, but
        never all that there is.
        """
        allowed = max(ALWAYS_ALLOWED, int(self.objects * ALLOWED_SHARE))
        return self.orphans <= allowed and (not self.orphans or self.orphans < self.objects)


class Sweep:
    """One search, and the deletion of what it has found; made by `sweep`.

    The names of orphans are in a file, since there may be any number of them.
    """

    def __init__(self, objects: Objects, named: Named, names: IO[str]) -> None:
        self._objects = objects
        self._named = named
        self._names = names

    def search(self, now: datetime) -> Findings:
        """Look at all objects; `now` is the time by the store's clock.

        Each object is looked for in the database after it was listed, so a row that is committed
        during the search keeps its object, whatever its age.
        """
        findings = Findings()
        for some in self._objects.stored():
            findings.objects += len(some)
            old = [each for each in some if each.modified_at <= now - YOUNGEST]
            for orphan in self._without_row(old):
                findings.orphans += 1
                findings.orphan_bytes += orphan.size
                findings.examples += [orphan.name][: EXAMPLES - len(findings.examples)]
                self._names.write(f"{orphan.name}\n")
        return findings

    def delete(self) -> int:
        """Delete what the search has found and what still has no row; return how many."""
        self._names.seek(0)
        deleted = 0
        lines = (line.rstrip("\n") for line in self._names)
        while names := list(islice(lines, LIST_LENGTH)):
            orphans = sorted(set(names).difference(self._named(names)))
            self._objects.remove(orphans)
            deleted += len(orphans)
        return deleted

    def _without_row(self, found: Sequence[StoredObject]) -> list[StoredObject]:
        named = self._named([each.name for each in found]) if found else ()
        return [each for each in found if each.name not in named]


@contextmanager
def sweep(objects: Objects, named: Named) -> Iterator[Sweep]:
    """Return a sweep whose file is removed at the end."""
    with TemporaryFile("w+", encoding="utf-8") as names:
        yield Sweep(objects, named, names)
