"""Sessions of the inbox page that were ended by a logout, kept until they would have expired."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from app.errors import StorageUnavailable
from app.state.small_files import locked_directory, write_whole

MOST_KEPT = 10_000
"""Beyond it, those that expire first are forgotten."""


def ended_sessions_file(data_dir: Path) -> Path:
    """Return the path of the file."""
    return data_dir / "ended-sessions.json"


class EndedSessions(Protocol):
    """The ids of ended sessions, which all processes share; safe for threads."""

    def end(self, session_id: str, expires: int, now: float) -> None:
        """End a session; durable. Both times are in seconds since the epoch.

        Raises StorageUnavailable.
        """
        ...

    def __contains__(self, session_id: str) -> bool:
        """Return whether a session was ended, by any process; raises StorageUnavailable."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


class EndedSessionsFile:
    """The ids of ended sessions, in a file that the processes of one host share."""

    def __init__(self, path: Path) -> None:
        """The file may be absent; its directory may be, too, until the first `end`."""
        self._path = path
        self._lock = threading.Lock()
        self._version: tuple[int, ...] | None = None
        self._known: Mapping[str, int] = {}

    def end(self, session_id: str, expires: int, now: float) -> None:
        """See EndedSessions.end."""
        try:
            with locked_directory(self._path.parent):
                kept = {each: at for each, at in self._read().items() if at > now}
                latest = sorted((kept | {session_id: expires}).items(), key=lambda item: item[1])
                write_whole(self._path, json.dumps(dict(latest[-MOST_KEPT:])))
        except OSError as error:
            raise StorageUnavailable("The end of the session can't be stored.") from error

    def __contains__(self, session_id: str) -> bool:
        """See EndedSessions.__contains__."""
        try:
            version = _version_of(self._path)
            with self._lock:
                if version != self._version:
                    self._known, self._version = self._read(), version
                return session_id in self._known
        except OSError as error:
            raise StorageUnavailable("The ended sessions can't be read.") from error

    def close(self) -> None:
        """See EndedSessions.close: there is nothing to release."""

    def _read(self) -> Mapping[str, int]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            return {str(each): int(at) for each, at in json.loads(content).items()}
        except (ValueError, TypeError, AttributeError):  # damaged, so their ends are lost
            return {}


def _version_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes whenever the file is replaced; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
