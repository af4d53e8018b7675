"""The file of ended sessions; what else they have in common is in tests/contract."""

import stat
from pathlib import Path

import pytest

from app.errors import StorageUnavailable
from app.state.ended_sessions import MOST_KEPT, EndedSessionsFile, ended_sessions_file

NOW = 1_000.0
LATER = 2_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ended_sessions_file(tmp_path)


def test_sessions_that_have_expired_leave_the_file(path: Path) -> None:
    """With the next end, so that it doesn't grow."""
    ended = EndedSessionsFile(path)
    ended.end("a", LATER, NOW)
    ended.end("b", LATER + 10, LATER)
    assert '"a"' not in path.read_text()


def test_the_file_has_a_bound(path: Path) -> None:
    """Beyond it those go that expire first."""
    ended = EndedSessionsFile(path)
    path.write_text(str({f"s{n}": LATER + n for n in range(MOST_KEPT)}).replace("'", '"'))
    ended.end("last", LATER + MOST_KEPT, NOW)
    assert "s0" not in ended
    assert "s1" in ended
    assert "last" in ended


def test_only_the_owner_can_read_the_file(path: Path) -> None:
    """As all files of the data directory."""
    EndedSessionsFile(path).end("a", LATER, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"a":"x"}', b"null", b"\0", b"\x80"])
def test_a_damaged_file_keeps_nobody_out(path: Path, text: bytes) -> None:
    """Its ends are lost, and the next one is kept again."""
    path.write_bytes(text)
    ended = EndedSessionsFile(path)
    assert "a" not in ended
    ended.end("a", LATER, NOW)
    assert "a" in ended


def test_what_cannot_be_stored_is_said(tmp_path: Path) -> None:
    """A logout that wouldn't last is not confirmed."""
    ended = EndedSessionsFile(ended_sessions_file(tmp_path / "nowhere"))
    assert "a" not in ended
    with pytest.raises(StorageUnavailable):
        ended.end("a", LATER, NOW)


def test_what_cannot_be_read_opens_nothing(path: Path) -> None:
    """An error, rather than a session that may have ended."""
    path.mkdir()
    with pytest.raises(StorageUnavailable):
        assert "a" in EndedSessionsFile(path)
