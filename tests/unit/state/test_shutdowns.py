import os
from pathlib import Path
from typing import NoReturn

import pytest

from app.state.shutdowns import BUCKET_SECONDS, read_shutdowns, record_shutdown

NONE = {"count": 0, "seconds": 0.0, "buckets": [0] * len(BUCKET_SECONDS)}


def test_without_a_record_there_was_no_shutdown(tmp_path: Path) -> None:
    """A new data directory has zeros of both kinds."""
    assert read_shutdowns(tmp_path) == {"graceful": NONE, "forced": NONE}


def test_shutdowns_add_up(tmp_path: Path) -> None:
    """Each is counted under its kind, with its duration, in every bucket that can hold it."""
    record_shutdown(tmp_path, "graceful", 0.5)
    record_shutdown(tmp_path, "graceful", 3.0)
    record_shutdown(tmp_path, "forced", 61.0)
    shutdowns = read_shutdowns(tmp_path)
    assert shutdowns["graceful"] == {"count": 2, "seconds": 3.5, "buckets": [1, 1, 1, 2, 2, 2, 2]}
    assert shutdowns["forced"] == {"count": 1, "seconds": 61.0, "buckets": [0] * 7}
    assert [file.name for file in tmp_path.iterdir()] == ["shutdowns.json"]


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b'{"graceful": {"cou',
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"graceful": 1}',
        b'{"graceful": {"buckets": [1]}}',
        b'{"graceful": {"count": "many"}}',
    ],
)
def test_a_damaged_record_is_passed_over(tmp_path: Path, damaged: bytes) -> None:
    """It counts as nothing; the next shutdown makes it whole."""
    (tmp_path / "shutdowns.json").write_bytes(damaged)
    assert read_shutdowns(tmp_path)["graceful"] == NONE
    record_shutdown(tmp_path, "graceful", 1.0)
    assert read_shutdowns(tmp_path)["graceful"]["count"] == 1


def test_a_record_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file takes the old one's place only when it is whole."""
    record_shutdown(tmp_path, "forced", 1.0)

    def fail(*_: object) -> NoReturn:
        raise OSError

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):  # noqa: PT011 -- there is nothing to match
        record_shutdown(tmp_path, "forced", 1.0)
    assert read_shutdowns(tmp_path)["forced"]["count"] == 1
