"""The file descriptors of a process: how many it may have, and how many of them are for clients."""

import resource
from pathlib import Path

MOST_DESCRIPTORS = 8192
MOST_CONNECTIONS = 4096
RESERVED_FOR_STORE = 64
LEAST_CONNECTIONS = 16


def raise_limit() -> None:
    """Raise the soft limit of this process and its children as far as it is useful and allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def uploads_at_once(threads: int) -> int:
    """Return how many of `threads` may receive messages: each may have a file open."""
    return max(1, min(threads, _limit() // 8))


def room_for_connections(uploads: int) -> int:
    """Return how many connections leave enough descriptors for the store and for `uploads`."""
    in_use = sum(1 for _ in Path("/proc/self/fd").iterdir())
    room = _limit() - in_use - RESERVED_FOR_STORE - uploads
    return max(LEAST_CONNECTIONS, min(room, MOST_CONNECTIONS))


def _limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
