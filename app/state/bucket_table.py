"""Memory for the token buckets of all clients, shared by the workers of one host.

The table is bounded: 16,384 sets of four entries, 1 MiB.
"""

import mmap
import os
import secrets
import struct

SETS = 16_384
WAYS = 4

ENTRY = struct.Struct("=QQ")  # fingerprint of the client, theoretical arrival time
SET = struct.Struct("=" + "QQ" * WAYS)


class BucketTable:
    """Created before the fork; a worker that is killed leaves it usable.

    `descriptor` is for record locks (fcntl): byte N locks set N. `secret` keys the fingerprints,
    so that nobody can choose addresses that push another client's entry out of its set.
    """

    def __init__(self, sets: int = SETS) -> None:
        self.sets = sets
        self.descriptor = os.memfd_create("gomail-rate-limit")
        os.ftruncate(self.descriptor, sets * SET.size)
        self.memory = mmap.mmap(self.descriptor, sets * SET.size)
        self.secret = secrets.token_bytes(32)
