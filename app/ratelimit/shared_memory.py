"""Token buckets in memory that the workers of one host share.

A client belongs to one set of the table. When a set is full, the entry whose bucket is closest to
being full is replaced: it holds the least information.

Two locks are needed. A record lock (fcntl) keeps processes apart, and the kernel releases it
whenever its owner dies; but it doesn't keep the threads of one process apart, so a thread lock
comes before it. There is one thread lock for all sets, so that a process that waits for a record
lock never holds another one: otherwise the kernel might report a deadlock where there is none
(EDEADLK in fcntl(2)).
"""

import fcntl
import hashlib
import struct
import threading
import time
from collections.abc import Callable
from functools import lru_cache

from app.ratelimit.token_bucket import Decision, TokenBucket
from app.state.bucket_table import ENTRY, SET, BucketTable
from app.state.packed import write_packed


class SharedLimiter:
    """Token buckets in a BucketTable; each process has one such object for a table."""

    def __init__(
        self,
        table: BucketTable,
        bucket: TokenBucket,
        clock_ns: Callable[[], int] = time.monotonic_ns,  # the wall clock can be set back
    ) -> None:
        """`clock_ns` is the same clock in all processes that share the table."""
        self._table = table
        self._bucket = bucket
        self._clock_ns = clock_ns
        self._thread_lock = threading.Lock()
        self._locate = lru_cache(maxsize=4096)(self._find_place)

    def take(self, client: str) -> Decision:
        """See Limiter.take."""
        fingerprint, number = self._locate(client)
        with self._thread_lock:
            fcntl.lockf(self._table.descriptor, fcntl.LOCK_EX, 1, number)
            try:
                return self._take(number * SET.size, fingerprint)
            finally:
                fcntl.lockf(self._table.descriptor, fcntl.LOCK_UN, 1, number)

    def give_back(self, client: str) -> None:
        """See Limiter.give_back."""
        fingerprint, number = self._locate(client)
        with self._thread_lock:
            fcntl.lockf(self._table.descriptor, fcntl.LOCK_EX, 1, number)
            try:
                self._give_back(number * SET.size, fingerprint)
            finally:
                fcntl.lockf(self._table.descriptor, fcntl.LOCK_UN, 1, number)

    def _find_place(self, client: str) -> tuple[int, int]:
        digest = hashlib.blake2b(client.encode(), key=self._table.secret, digest_size=12).digest()
        fingerprint, number = struct.unpack("=QI", digest)
        return fingerprint, number % self._table.sets

    def _take(self, offset: int, fingerprint: int) -> Decision:
        entries = SET.unpack_from(self._table.memory, offset)
        fingerprints, arrivals = entries[::2], entries[1::2]
        if fingerprint in fingerprints:
            way = fingerprints.index(fingerprint)
            arrival = arrivals[way]
        else:
            way = arrivals.index(min(arrivals))
            arrival = 0
        state, decision = self._bucket.take(arrival, self._clock_ns() // 1000)
        write_packed(self._table.memory, offset + way * ENTRY.size, ENTRY, fingerprint, state)
        return decision

    def _give_back(self, offset: int, fingerprint: int) -> None:
        entries = SET.unpack_from(self._table.memory, offset)
        fingerprints, arrivals = entries[::2], entries[1::2]
        if fingerprint not in fingerprints:  # another client has its place: this bucket is full
            return
        way = fingerprints.index(fingerprint)
        state = self._bucket.give_back(arrivals[way])
        write_packed(self._table.memory, offset + way * ENTRY.size, ENTRY, fingerprint, state)
