"""Stops accepting connections without resetting any.

Closing a listening socket resets the connections in its queue. So new connections are kept out
first, by a filter that drops their SYN: the client's kernel tries again a second later and is then
refused, or reaches the next server on that port. Meanwhile the queue is accepted and answered.
"""

import ctypes
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress

_SO_ATTACH_FILTER = 26
_QUEUE_LENGTH_OFFSET = 24  # tcpi_unacked, which counts the accept queue of a listening socket
_INSTRUCTION = struct.Struct("=HBBI")
_DROP_SYN = (
    _INSTRUCTION.pack(0x30, 0, 0, 13)  # load the byte with the TCP flags
    + _INSTRUCTION.pack(0x45, 0, 1, 0x02)  # SYN?
    + _INSTRUCTION.pack(0x06, 0, 0, 0)  # drop
    + _INSTRUCTION.pack(0x06, 0, 0, 0xFFFFFFFF)  # pass
)
_SETTLE_SECONDS = 0.1  # enough for handshakes in progress on a local network


def turn_away(listeners: Sequence[socket.socket], seconds: float) -> None:
    """Keep new connections out; return when the queued ones are accepted, or after `seconds`.

    Works on TCP sockets under Linux, and leaves others alone.
    """
    tcp = [each for each in listeners if each.family in {socket.AF_INET, socket.AF_INET6}]
    for listener in tcp:
        _drop_new_connections(listener)
    deadline = time.monotonic() + seconds
    time.sleep(_SETTLE_SECONDS)
    while any(map(_queue_length, tcp)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _drop_new_connections(listener: socket.socket) -> None:
    program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    length = len(_DROP_SYN) // _INSTRUCTION.size
    described = struct.pack("HP", length, ctypes.addressof(program))
    with suppress(OSError):  # a sandbox may forbid this; then the last connections are reset
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


def _queue_length(listener: socket.socket) -> int:
    information = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", information, _QUEUE_LENGTH_OFFSET)[0])
