"""flock(2) that waits for a lock no longer than it is told.

The kernel has no such call, and asking again and again costs: two processes that take turns do a
fifth less. So the waiting is left to the kernel, and a timer of the thread (timer_create(2) with
SIGEV_THREAD_ID) ends it by a signal. Python's own fcntl.flock would go on waiting (PEP 475).
"""

import ctypes
import errno
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_SIGNAL = signal.SIGRTMAX
_AGAIN_NS = 100_000_000  # the first one may come the moment before the waiting begins
_SIGEV_THREAD_ID = 4


class _Event(ctypes.Structure):
    """struct sigevent."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread", ctypes.c_int),
        ("rest", ctypes.c_byte * 44),
    )


class _Times(ctypes.Structure):
    """struct itimerspec."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("first_s", ctypes.c_long),
        ("first_ns", ctypes.c_long),
    )


_libc = ctypes.CDLL(None, use_errno=True)
# What returns at once needn't give up the interpreter's lock, and wait for it afterwards.
_quick = ctypes.PyDLL(None, use_errno=True)


def flock_within(descriptor: int, seconds: float) -> None:
    """Lock the open file alone; raises OSError, with ETIMEDOUT after `seconds`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _wait(descriptor, seconds)


def _wait(descriptor: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    with _interrupted_after(seconds):
        while _libc.flock(descriptor, fcntl.LOCK_EX):
            number = ctypes.get_errno()
            if number != errno.EINTR:
                raise OSError(number, os.strerror(number))
            if time.monotonic() >= deadline:
                raise OSError(errno.ETIMEDOUT, "another process holds a lock and doesn't go on")


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    _let_the_signal_interrupt()
    event = _Event(None, _SIGNAL, _SIGEV_THREAD_ID, threading.get_native_id())
    timer = ctypes.c_void_p()
    _check(_quick.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)))
    try:
        whole = int(seconds)
        times = _Times(0, _AGAIN_NS, whole, max(int((seconds - whole) * 1e9), 1))
        _check(_quick.timer_settime(timer, 0, ctypes.byref(times), None))
        yield
    finally:
        _quick.timer_delete(timer)


@cache
def _let_the_signal_interrupt() -> None:
    # Python's handlers can be set by the main thread only, and run there; this one does nothing.
    _libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    _libc.signal.restype = ctypes.c_void_p
    _libc.signal(_SIGNAL, ctypes.cast(_libc.abs, ctypes.c_void_p))
    signal.siginterrupt(_SIGNAL, True)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
