"""Copies one store to another, and again what has changed since.

A run compares the two stores instead of noting how far it got. So it makes no difference how the
last one ended, and nothing is copied twice.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.errors import MessageCorrupt, MessageNotFound, StorageUnavailable
from app.storage.body import Body
from app.storage.copying.interface import (
    MOST_ADDED,
    MOST_ASKED,
    DeliveryChange,
    Found,
    KeptDelivery,
    Original,
    Progress,
    Source,
    Target,
)
from app.storage.copying.pieces import pieces
from app.storage.message import Message
from app.storage.unreadable import why_unreadable

_MOST_BYTES = 8 * 1024 * 1024  # in memory, unless one message is larger
_PIECE_BYTES = 256 * 1024


@dataclass
class Report:
    """What a run has done.

    `copied` messages have `copied_bytes` and were compared with what the target has now; `there`
    were copied before, or received by both. `removed` messages were deleted in the source since the
    last run, and `deleted_in_target` in the target, where they stay deleted. `faults` has a line
    that begins with its id for each message that couldn't be copied as it was received.
    """

    copied: int = 0
    copied_bytes: int = 0
    there: int = 0
    deleted_in_target: int = 0
    tombstones: int = 0
    removed: int = 0
    deliveries: int = 0
    faults: list[str] = field(default_factory=list)


def copy(
    source: Source, target: Target, progress: Callable[[int], None] = lambda _: None
) -> Report:
    """Copy what the source has now and the target hasn't; durable on return.

    What the source receives meanwhile is left to the next run. `progress` is told how many messages
    are done. Raises StorageUnavailable.
    """
    run = _Run(source, target)
    for count in run.copy_messages():
        progress(count)
    run.copy_deletions()
    run.copy_decisions()
    target.finish()
    return run.report


class _Run:
    def __init__(self, source: Source, target: Target) -> None:
        self._source = source
        self._target = target
        self.report = Report()

    def copy_messages(self) -> Iterator[int]:
        """Copy messages with their deliveries, and yield how many are done, again and again."""
        last = self._source.store.arrivals(None).number
        for page in pieces(self._source.originals(last), MOST_ASKED):
            self._copy_page(page)
            yield len(page)

    def copy_deletions(self) -> None:
        """Delete what was deleted in the source; after the messages, some of which may be."""
        for page in pieces(self._source.tombstones(), MOST_ASKED):
            buried = self._target.bury(page)
            self.report.tombstones += buried.new
            self.report.removed += buried.removed

    def copy_decisions(self) -> None:
        """Copy pauses and replays; breakers are left out, since they are only observations."""
        queue = self._target.store.deliveries
        paused, before = self._source.store.deliveries.paused(), queue.paused()
        for endpoint in before.keys() - paused.keys():
            queue.resume(endpoint)
        for endpoint, reason in paused.items():
            if before.get(endpoint) != reason:
                queue.pause(endpoint, reason)
        self._target.replace_replays(self._source.replays())

    def _copy_page(self, page: Sequence[Original]) -> None:
        # The deliveries first: they tell the endpoints of a message that is new in the target.
        deliveries = self._source.deliveries([each.message.message_id for each in page])
        found = self._target.find(page)
        new = []
        there = set()
        for each in page:
            message_id = each.message.message_id
            if message_id not in found:
                new.append(each)
            elif self._is_there(each, found[message_id]):
                there.add(message_id)
        for batch in self._batches(new, _endpoints(deliveries)):
            self._add(batch)
            there.update(message.message_id for message, _ in batch)
        self._copy_deliveries([each for each in deliveries if each.key.message_id in there])

    def _is_there(self, original: Original, found: Found) -> bool:
        """Return whether the target has this very message; note what it has instead."""
        message_id = original.message.message_id
        if found.sha256 is None:
            self.report.deleted_in_target += 1
            return False
        if found.message_id == message_id and found.sha256 != original.sha256:
            self.report.faults.append(f"{message_id}: the target has other bytes with this id")
            return False
        self.report.there += 1
        return found.message_id == message_id

    def _batches(
        self, originals: Iterable[Original], endpoints: Mapping[str, Sequence[str]]
    ) -> Iterator[list[tuple[Message, Body]]]:
        batch: list[tuple[Message, Body]] = []
        size = 0
        try:
            for original in originals:
                body = self._body(original)
                if body is None:
                    continue
                own = tuple(endpoints.get(original.message.message_id, ()))
                batch.append((replace(original.message, endpoints=own), body))
                size += body.size
                if len(batch) == MOST_ADDED or size >= _MOST_BYTES:
                    yield batch
                    batch, size = [], 0
            if batch:
                yield batch
        finally:
            for _, body in batch:
                body.discard()  # a large one is in a file

    def _add(self, batch: Sequence[tuple[Message, Body]]) -> None:
        sent = [(message.message_id, body.size, body.sha256()) for message, body in batch]
        self._target.add(batch)
        stored = self._target.checksums([message_id for message_id, _, _ in sent])
        for message_id, size, checksum in sent:
            if stored.get(message_id) == checksum:
                self.report.copied += 1
                self.report.copied_bytes += size
            else:
                self.report.faults.append(f"{message_id}: the target has stored other bytes")

    def _body(self, original: Original) -> Body | None:
        """Return the bytes in a body of the target, None if there are none to copy."""
        raw = self._read(original)
        if raw is None:
            return None
        body = self._target.store.new_body()
        for start in range(0, len(raw), _PIECE_BYTES):
            body.write(raw[start : start + _PIECE_BYTES])
        return body

    def _read(self, original: Original) -> bytes | None:
        message_id = original.message.message_id
        try:
            return self._source.store.read(message_id)
        except MessageNotFound:
            return None  # it was deleted a moment ago
        except (MessageCorrupt, StorageUnavailable) as error:
            self._note_unreadable(message_id, error)
            return None

    def _note_unreadable(self, message_id: str, error: MessageCorrupt | StorageUnavailable) -> None:
        cause = error.__cause__
        is_of_file = isinstance(cause, OSError) and cause.errno is not None
        if isinstance(error, StorageUnavailable) and not is_of_file:
            self._source.store.check()  # raises if it isn't about this message alone
        self.report.faults.append(f"{message_id}: {why_unreadable(error)}")

    def _copy_deliveries(self, deliveries: Sequence[KeptDelivery]) -> None:
        """Let those in the target be as they are in the source."""
        ids = list(dict.fromkeys(each.key.message_id for each in deliveries))
        if not ids:
            return
        there = {each.key: each.progress for each in self._target.deliveries(ids)}
        changed = [each for each in deliveries if there.get(each.key) != each.progress]
        for piece in pieces(changed, MOST_ASKED):
            tried = [each for each in piece if each.progress.tries != _tries(there.get(each.key))]
            made = self._source.attempts([each.number for each in tried])
            self._target.change_deliveries(
                [DeliveryChange(each.key, each.progress, made.get(each.number)) for each in piece]
            )
        self.report.deliveries += len(changed)


def _endpoints(deliveries: Iterable[KeptDelivery]) -> dict[str, list[str]]:
    """Return the endpoints that each message was for when it arrived."""
    found: dict[str, list[str]] = {}
    for each in deliveries:
        if not each.key.is_replay:
            found.setdefault(each.key.message_id, []).append(each.key.endpoint)
    return found


def _tries(progress: Progress | None) -> int:
    return 0 if progress is None else progress.tries
