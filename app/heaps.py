"""Limits the heaps of the C library in a process with many threads."""

import ctypes
from contextlib import suppress

HEAPS = 2
_M_ARENA_MAX = -8  # malloc.h


def share_heaps() -> None:
    """Make all threads of this process share HEAPS heaps."""
    # By default glibc keeps a heap for almost every thread, and memory freed in one isn't reused in
    # another: with a hundred threads receiving messages, memory would grow for hours.
    with suppress(AttributeError):  # another libc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, HEAPS)
