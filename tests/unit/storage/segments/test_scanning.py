import os
import random
from pathlib import Path

import pytest
from support.rounds import rounds

from app.storage.segments.scanning import first_other_than_zero, occurrences

MARKER = b"\1marker of sixte"
PIECE = 1024 * 1024


def first(path: Path, start: int, end: int) -> int:
    """Search for what isn't zero."""
    with path.open("rb") as file:
        return first_other_than_zero(file.fileno(), start, end)


def found(path: Path, start: int, end: int) -> list[int]:
    """Search for MARKER."""
    with path.open("rb") as file:
        return list(occurrences(file.fileno(), MARKER, start, end))


@pytest.mark.parametrize("at", [0, 1, 4095, 4096, 4097, 3 * PIECE - 1, 3 * PIECE, 5 * PIECE - 1])
@pytest.mark.parametrize("zeros", ["a hole", "written"])
def test_zeros_are_passed(tmp_path: Path, at: int, zeros: str) -> None:
    """Written ones and holes, up to the very first byte that isn't one."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        if zeros == "written":
            file.write(bytes(5 * PIECE))
        file.truncate(5 * PIECE)
        file.seek(at)
        file.write(b"\1")
    assert first(path, 0, 5 * PIECE) == at
    assert first(path, at, 5 * PIECE) == at
    assert first(path, at + 1, 5 * PIECE) == 5 * PIECE
    assert first(path, 0, at) == at


def test_where_the_file_is_shorter_nothing_follows(tmp_path: Path) -> None:
    """A file that was cut meanwhile doesn't keep the search from ending."""
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    assert first(path, 0, 10_000) == 10_000
    assert found(path, 0, 10_000) == []
    assert found(path, 500, 10_000) == []


@pytest.mark.parametrize("seed", range(rounds(100, 15)))
def test_every_occurrence_is_found(tmp_path: Path, seed: int) -> None:
    """Wherever they lie, over the borders of pieces too, and no other place."""
    chance = random.Random(seed)
    size = chance.choice([10, 5000, 70_000, 3 * PIECE])
    data = bytearray(chance.choice([bytes(size), MARKER[:15] * (size // 15 + 1)]))
    borders = [4096, 4096 + 8192, PIECE, 2 * PIECE]
    for _ in range(chance.randrange(10)):
        at = chance.choice(borders) - chance.randrange(20)
        if chance.random() < 0.5:
            at = chance.randrange(len(data))
        if at + len(MARKER) <= len(data):
            data[at : at + len(MARKER)] = MARKER
    path = tmp_path / "file"
    path.write_bytes(data)
    start = chance.randrange(len(data))
    end = chance.randrange(start, len(data) + 1)
    expected, at = [], data.find(MARKER, start)
    while 0 <= at < end:
        expected.append(at)
        at = data.find(MARKER, at + 1)
    assert found(path, start, end) == expected


def test_a_hole_takes_no_time(tmp_path: Path) -> None:
    """Erased space isn't read: a terabyte of it is passed at once."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 2**40)
        file.seek(2**40)
        file.write(b"\1")
    assert first(path, 0, 2**40 + 1) == 2**40
