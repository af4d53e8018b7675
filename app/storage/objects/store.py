"""Objects in an S3 bucket: the bytes of large messages."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

from app.errors import StorageUnavailable
from app.metrics.catalog import ObjectOperation
from app.settings import ObjectStore
from app.storage.interface import ObjectRecorder
from app.storage.objects.client import bucket_and_prefix, new_client
from app.storage.objects.deadline import Deadline
from app.storage.objects.failures import FAILURES, ObjectStoreError, is_missing, reason_of
from app.storage.objects.names import Names
from app.storage.objects.pieces import pieces, until, whole
from app.storage.objects.probe import Probe

if TYPE_CHECKING:
    from obstore import ListStream, ObjectMeta  # exist only there

PART_BYTES = 5 * 1024 * 1024
"""Of a multipart upload, the least that S3 allows; about as much memory as a `put` takes."""

READ_BYTES = 1024 * 1024
LIST_LENGTH = 1000
_REMOVED_AT_ONCE = 100


@dataclass(frozen=True)
class StoredObject:
    """An object as the store lists it; `modified_at` is by the store's clock, `size` in bytes."""

    name: str
    size: int
    modified_at: datetime


class Objects:
    """The objects of one bucket and prefix.

    Every method may be called from any thread, takes at most `timeout` seconds (`stored` and
    `remove` for each of many steps), and raises StorageUnavailable, whose `__cause__` says in a
    line what the store did. Nothing is opened before the first call, which must come after the
    last fork: the library has threads, and a child has none of them.
    """

    def __init__(
        self,
        settings: ObjectStore,
        timeout: float,
        recorder: ObjectRecorder | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` is only for how long the result of `check` is kept."""
        _, self._prefix = bucket_and_prefix(settings.url)
        self.names = Names(self._prefix)
        self._settings = settings
        self._timeout = timeout
        self._recorder = recorder
        self._probe = Probe(lambda: self._write_probe(self._deadline()), clock)
        self._client: tuple[int, S3Store] | None = None

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Store the bytes of `chunks`, each at most once, as the new object `name`.

        It is there as a whole or not at all, and as durable on return as the store makes what it
        acknowledges. Each request has a SHA-256 that the store compares. An object that comes to be
        after the time is up is removed, if the store lets it; if not, no row names it, and the
        sweep finds it. `chunks` may still be read from shortly after a failure.
        """
        deadline = self._deadline()
        with self._counted("put"):
            client = self._process_client()
            content = whole(pieces(chunks), PART_BYTES)
            deadline.call(
                lambda: obstore.put(
                    client,
                    name,
                    content if isinstance(content, bytes) else until(deadline, content),
                    use_multipart=not isinstance(content, bytes),
                    chunk_size=PART_BYTES,
                    max_concurrency=1,
                ),
                undo=lambda: _delete(client, name),
            )

    def read(self, name: str, size: int) -> Iterator[bytes]:
        """Yield the bytes of the object, which must be `size`, in chunks of about READ_BYTES.

        A missing object raises StorageUnavailable too: it was acknowledged, so the bucket is the
        wrong one, or not whole. What the reader does between chunks is part of the time.
        """
        deadline = self._deadline()
        with self._counted("get"):
            client = self._process_client()
            result = deadline.call(lambda: obstore.get(client, name))
            stream = iter(result.stream(READ_BYTES))
            received = 0
            while chunk := deadline.call(lambda: next(stream, b"")):
                received += len(chunk)
                if received > size:
                    break
                yield chunk
            if received != size:
                raise ObjectStoreError(f"it answered {received} bytes of {size}")

    def read_beginning(self, name: str, size: int) -> bytes:
        """Return the first `size` bytes; the object must have as many."""
        if size == 0:
            return b""
        with self._counted("get"):
            client = self._process_client()
            content = self._deadline().call(
                lambda: bytes(obstore.get_range(client, name, start=0, end=size))
            )
            if len(content) != size:
                raise ObjectStoreError(f"it answered {len(content)} bytes of {size}")
        return content

    def remove(self, names: Iterable[str]) -> None:
        """Delete objects; one that is not there is as good as deleted."""
        remaining = iter(names)
        while some := list(islice(remaining, _REMOVED_AT_ONCE)):
            with self._counted("delete"):
                self._remove(some)

    def stored(self) -> Iterator[Sequence[StoredObject]]:
        """Yield all objects whose names `names` may have made, some at a time."""
        client = self._process_client()
        stream = obstore.list(client, self._prefix or None, chunk_size=LIST_LENGTH)
        while listed := self._next(stream):
            yield [
                StoredObject(each["path"], each["size"], each["last_modified"])
                for each in listed
                if self.names.is_own(each["path"])
            ]

    def check(self) -> None:
        """Raise StorageUnavailable unless an object could be written a few seconds ago."""
        self._probe.check()

    def now(self) -> datetime:
        """Return the time by the store's clock, to the second."""
        deadline = self._deadline()
        self._write_probe(deadline)
        with self._counted("check"):
            client = self._process_client()
            return deadline.call(lambda: obstore.head(client, self.names.probe))["last_modified"]

    def _remove(self, names: Sequence[str]) -> None:
        deadline, client = self._deadline(), self._process_client()
        try:
            deadline.call(lambda: obstore.delete(client, names))
        except FileNotFoundError:
            # Most stores don't mind a missing object. Others do, and the rest is still there.
            for name in names:
                deadline.call(partial(_delete, client, name))

    def _next(self, stream: "ListStream[Sequence[ObjectMeta]]") -> "Sequence[ObjectMeta]":
        with self._counted("list"):
            return self._deadline().call(lambda: next(stream, ()))

    def _write_probe(self, deadline: Deadline) -> None:
        with self._counted("check"):
            client = self._process_client()
            deadline.call(lambda: obstore.put(client, self.names.probe, b"", use_multipart=False))

    def _deadline(self) -> Deadline:
        return Deadline(self._timeout)

    def _process_client(self) -> S3Store:
        made = self._client
        if made is None or made[0] != os.getpid():
            made = self._client = (os.getpid(), new_client(self._settings, self._timeout))
        return made[1]

    @contextmanager
    def _counted(self, operation: ObjectOperation) -> Iterator[None]:
        reason = None
        try:
            yield
        except FAILURES as error:
            reason = reason_of(error)
        except StorageUnavailable:
            self._count(operation, succeeded=False)
            raise
        self._count(operation, succeeded=reason is None)
        if reason is not None:
            # Not within `except`: the library's error, with all that it has, would be its context.
            cause = ObjectStoreError(f"The object store failed at {operation}: {reason}")
            raise StorageUnavailable from cause

    def _count(self, operation: ObjectOperation, *, succeeded: bool) -> None:
        if self._recorder:
            self._recorder.object_store_operation(operation, succeeded=succeeded)


def _delete(client: S3Store, name: str) -> None:
    try:
        obstore.delete(client, name)
    except FileNotFoundError as error:
        if not is_missing(error):
            raise
