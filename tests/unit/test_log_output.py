"""Log lines while whoever reads them is slow, has stopped, or is gone."""

import fcntl
import logging
import os
import socket
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support.linux_process import in_child

from app.log_output import NeverWaiting, writer

PIPE_BYTES = 4096  # the smallest that Linux gives
Ends = tuple[int, int]


def pipe() -> Ends:
    """Return the ends of a small pipe, of which the one to write to would wait."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return read_end, write_end


def stream() -> Ends:
    """Return two ends of a socket, as systemd's journal gives one."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIPE_BYTES)
    return ours.detach(), theirs.detach()


def terminal() -> Ends:
    """Return a terminal that is read, and the end that a program writes to."""
    read_end, write_end = os.openpty()
    tty.setraw(write_end)
    return read_end, write_end


@pytest.fixture(params=[pipe, stream, terminal])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """Return the ends of each kind of output that may have to wait for its reader."""
    make: Callable[[], Ends] = request.param
    both = make()
    yield both
    for end in both:
        with suppress(OSError):
            os.close(end)


@pytest.fixture
def handler_of() -> Iterator[Callable[[int], NeverWaiting]]:
    """Return a function that makes a handler for a descriptor."""
    with ExitStack() as stack:

        def make(descriptor: int) -> NeverWaiting:
            write = writer(descriptor)
            for cell in write.__closure__ or ():
                held = cell.cell_contents
                if isinstance(held, socket.socket):
                    stack.callback(held.close)
                elif held != descriptor:
                    stack.callback(os.close, held)
            return NeverWaiting(write)

        yield make


HandlerOf = Callable[[int], NeverWaiting]


def log(handler: logging.Handler, text: str) -> None:
    handler.handle(logging.LogRecord("test", logging.INFO, __file__, 0, text, None, None))


def read_all(descriptor: int) -> str:
    """Return what can be read without waiting."""
    os.set_blocking(descriptor, False)
    pieces = []
    with suppress(BlockingIOError):
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
    return b"".join(pieces).decode()


def test_a_reader_that_stalls_costs_lines_and_no_time(ends: Ends, handler_of: HandlerOf) -> None:
    """10,000 lines, of which nobody reads one: no write waits. Then the lost ones are told.

    What was written is whole lines in their order.
    """
    read_end, write_end = ends
    handler = handler_of(write_end)
    for number in range(10_000):
        log(handler, f"line {number} {'x' * 100}")
    text = read_all(read_end)
    log(handler, "works again")
    text += read_all(read_end)
    lines = text.splitlines()
    about = [
        line for line in lines if line.endswith(" dropped: the reader of the log was too slow")
    ]
    kept = [line for line in lines[:-1] if line not in about]
    assert lines[-1] == "works again"
    assert kept == sorted(kept, key=lambda line: int(line.split()[1]))
    assert {line.partition(" x")[2] for line in kept} == {"x" * 99}
    assert 0 < len(kept) < 9_990
    assert len(kept) + sum(int(line.split()[0]) for line in about) == 10_000


def test_others_who_write_there_wait_as_before(ends: Ends, handler_of: HandlerOf) -> None:
    """The shell that has the same pipe or terminal must not fail with EAGAIN."""
    handler_of(ends[1])
    assert os.get_blocking(ends[1])


def test_a_reader_that_is_gone_ends_nothing(handler_of: HandlerOf) -> None:
    """Its lines are dropped, whether it went before the start or after."""
    for is_gone_before in (False, True):
        read_end, write_end = pipe()
        if is_gone_before:
            os.close(read_end)
        handler = handler_of(write_end)
        if not is_gone_before:
            os.close(read_end)
        for _ in range(10):
            log(handler, "nobody reads this")
        assert handler._dropped == 10
        os.close(write_end)


def test_a_pipe_that_cannot_be_opened_again_does_not_wait_either(
    handler_of: HandlerOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that belongs to another user: it is set not to wait, for all who have it."""

    def refuse(*_: object) -> int:
        raise PermissionError

    read_end, write_end = pipe()
    with monkeypatch.context() as context:
        context.setattr(os, "open", refuse)
        handler = handler_of(write_end)
    for _ in range(1000):
        log(handler, "a line")
    assert read_all(read_end).count("a line\n") == PIPE_BYTES // len("a line\n")
    os.close(read_end)
    os.close(write_end)


def test_a_file_gets_every_line_where_the_last_one_ended(
    tmp_path: Path, handler_of: HandlerOf
) -> None:
    """It isn't opened again: that would begin at its first byte, and overwrite what is there."""
    descriptor = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, b"written by another program\n")
    handler = handler_of(descriptor)
    for _ in range(3):
        log(handler, "a line")
    os.close(descriptor)
    assert (tmp_path / "log").read_text() == "written by another program\n" + "a line\n" * 3


def test_a_line_cut_by_a_full_disk_is_completed() -> None:
    """What was only begun is written first when there is room, so no two lines become one."""
    written, room = bytearray(), 10

    def write(data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        taken = min(room, len(data))
        written.extend(data[:taken])
        room -= taken
        return taken

    handler = NeverWaiting(write)
    for text in ("first", "second", "third"):
        log(handler, text)
    room = 1000
    log(handler, "fourth")
    first, second, about, fourth = written.decode().splitlines()
    assert (first, second, fourth) == ("first", "second", "fourth")
    assert about.startswith("1 log line was dropped")


@pytest.fixture
def after_a_stall(handler_of: HandlerOf) -> Iterator[tuple[NeverWaiting, int]]:
    """Return a handler that has dropped lines, and the read end of its pipe, empty again."""
    read_end, write_end = pipe()
    handler = handler_of(write_end)
    for _ in range(1000):
        log(handler, "a line")
    read_all(read_end)
    yield handler, read_end
    os.close(read_end)
    os.close(write_end)


def test_what_was_dropped_is_told_at_the_end(after_a_stall: tuple[NeverWaiting, int]) -> None:
    """If nothing else is logged before the process ends, the count isn't lost."""
    handler, read_end = after_a_stall
    handler.close()
    assert "log lines were dropped" in read_all(read_end)


def test_a_worker_does_not_tell_what_its_master_dropped(
    after_a_stall: tuple[NeverWaiting, int],
) -> None:
    """Each process tells its own count, so the sum is right."""
    handler, read_end = after_a_stall
    in_child(lambda: log(handler, "from the worker"))
    assert read_all(read_end) == "from the worker\n"
