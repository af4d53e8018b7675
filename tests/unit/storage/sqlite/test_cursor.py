"""A reader that goes on from the last number it has seen, while others write and delete."""

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryFile

from support.rounds import rounds

from app.storage.interface import MessageStore, Query
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

WRITERS = 4
MESSAGES = rounds(2000, 150)  # a writer


# One in ten is deleted right after, one in 75 is large.
WRITE = """
import json, sys
from contextlib import closing
from pathlib import Path
from support.store import add
from app.storage.message import Reason
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite.store import SQLiteStore
stored = {"kept": [], "deleted": []}
with closing(SQLiteStore(Path(sys.argv[1]))) as store:
    for count in range(int(sys.argv[3])):
        size = LARGE_MESSAGE_BYTES + 1 if count % 75 == 50 else 100
        message_id = add(store, b"x" * size, f"{sys.argv[2]}-{count}")
        if count % 10 == 0:
            store.remove([message_id], Reason.REQUEST)
        stored["kept" if count % 10 else "deleted"].append(message_id)
print(json.dumps(stored))
"""


def read_on(store: MessageStore, after: int, seen: Counter[str]) -> int:
    """Count what is behind `after`; return the last number."""
    page = store.page(Query(after=after, oldest_first=True, limit=37), 1000)
    for found in page.messages:
        assert found.number > after
        after = found.number
        seen[found.message_id] += 1
    assert page.position in {None, after}
    return after


def test_a_reader_sees_each_message_once(data_dir: Path) -> None:
    """Of four processes that write and delete at once none is missed, none comes twice."""
    seen: Counter[str] = Counter()
    after, pages = 0, 0
    create_store(data_dir).close()
    with ExitStack() as stack:
        store = stack.enter_context(closing(SQLiteStore(data_dir)))
        # Not pipes: nobody reads what a writer says before it has ended.
        outputs = [stack.enter_context(TemporaryFile()) for _ in range(WRITERS)]
        writers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WRITE, data_dir, str(number), str(MESSAGES)],
                    stdout=output,
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                )
            )
            for number, output in enumerate(outputs)
        ]
        while any(writer.poll() is None for writer in writers):
            before, after = after, read_on(store, after, seen)
            pages += after > before
        while (last := read_on(store, after, seen)) != after:
            after = last
        for output in outputs:
            output.seek(0)
        said = [json.load(output) for output in outputs]
    kept = {message_id for each in said for message_id in each["kept"]}
    deleted = {message_id for each in said for message_id in each["deleted"]}
    assert len(kept) + len(deleted) == WRITERS * MESSAGES
    assert pages > MESSAGES / 25  # it has read while they wrote
    assert set(seen.values()) == {1}
    assert kept <= set(seen) <= kept | deleted
