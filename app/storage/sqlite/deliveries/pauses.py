"""Records pauses outside the database, so that a rebuilt one keeps them."""

import json
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Engine

from app.state.small_files import locked_directory, write_whole
from app.storage.sqlite.deliveries.decisions import pause


def pauses_file(settlements: Path) -> Path:
    """Return the path of the file, which is in the directory of settlements."""
    return settlements / "pauses.json"


def keep_pauses(settlements: Path, paused: Mapping[str, str]) -> None:
    """Write all pauses, durably; raises OSError."""
    settlements.mkdir(mode=0o700, exist_ok=True)
    with locked_directory(settlements):
        write_whole(pauses_file(settlements), json.dumps(paused) + "\n")


def apply_pauses(engine: Engine, settlements: Path) -> None:
    """Apply the recorded pauses to a rebuilt database; raises OSError, SQLAlchemyError."""
    with engine.begin() as connection:
        for endpoint, reason in _recorded(settlements).items():
            pause(connection, endpoint, reason)


def _recorded(settlements: Path) -> Mapping[str, str]:
    path = pauses_file(settlements)
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # a damaged file mustn't prevent a start
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: reason for name, reason in found.items() if isinstance(reason, str)}
