"""A data directory as version 0.1 has left it: rows in gomail.db, bytes without records."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import alembic.command
from alembic.config import Config
from sqlalchemy import Engine, text
from support.store import AT

from app.domains import comparable_address
from app.storage.ids import milliseconds_since_epoch, new_message_id
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite import database
from app.storage.sqlite.database import connect, create_database

_COLUMNS = (
    "id, received_at_ms, idempotency_key, sender, recipient, subject, size, sha256, segment,"
    " segment_offset, recipient_key"
)


def make_version_0_1(data_dir: Path, raws: Mapping[str, bytes]) -> dict[str, str]:
    """Store `raws`, whose keys are idempotency keys, in order; return the ids by key.

    Small ones share one segment. The sender of a message is its key at `sender`.
    """
    segments = data_dir / "segments"
    segments.mkdir(mode=0o700, parents=True)
    create_database(data_dir / "gomail.db")
    engine = connect(data_dir / "gomail.db")
    _migrate_to_0002(engine)
    shared, ids = f"{uuid4().hex}.segment", {}
    with engine.begin() as connection:
        for number, (key, raw) in enumerate(raws.items()):
            at = AT + timedelta(seconds=number)
            ids[key] = new_message_id(at)
            name = shared if len(raw) <= LARGE_MESSAGE_BYTES else f"{uuid4().hex}.segment"
            with (segments / name).open("ab") as file:
                offset = file.tell()
                file.write(raw)
            row = {
                "id": ids[key],
                "received_at_ms": milliseconds_since_epoch(at),
                "idempotency_key": key,
                "sender": f"{key}@sender",
                "recipient": "c@d",
                "subject": f"about {key}",
                "size": len(raw),
                "sha256": hashlib.sha256(raw).digest(),
                "segment": name,
                "segment_offset": offset,
                "recipient_key": comparable_address("c@d"),
            }
            marks = ", ".join(f":{column.strip()}" for column in _COLUMNS.split(","))
            connection.execute(
                text(f"INSERT INTO message ({_COLUMNS}) VALUES ({marks})"),
                row,
            )
    engine.dispose()
    (data_dir / "commit.lock").write_bytes(list(ids.values())[-1].encode().ljust(36))
    assert UUID(list(ids.values())[-1])
    return ids


def _migrate_to_0002(engine: Engine) -> None:
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("path_separator", "os")
        migrations = Path(str(database.__file__)).with_name("migrations")
        config.set_main_option("script_location", str(migrations).replace("%", "%%"))
        alembic.command.upgrade(config, "0002")
