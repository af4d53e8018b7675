"""Prepares the database once per start: its tables, and numbers that were never given out."""

import logging
import os
import secrets
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.failures import failures_as_unavailable

SCHEMA = 1
"""The version of the tables that this code was made for.

A newer one is served if its `oldest_compatible` is at most this: so hosts can be replaced one after
another. Whoever changes the tables adds to them first, and takes away a release later.
"""
SECONDS = 300
"""The time limit of a statement: of another host's migration, and of one's own."""
LEAP = 1 << 40
"""More than any numbers of transactions that a restore or a promotion can have lost."""
_LOCK = 0x676F6D61_70726570

_HAS_TABLES = "SELECT to_regclass('store') IS NOT NULL"
_ENCODING = "SELECT current_setting('server_encoding')"
# An expression of SQL for the cluster, the database and the timeline. Whoever wrote on while this
# was restored from a dump had another database; and another timeline, while this server was
# restored to an earlier moment, or was only a standby.
PLACE = """
concat_ws(
    ' ',
    (SELECT system_identifier FROM pg_control_system()),
    (SELECT oid FROM pg_database WHERE datname = current_database()),
    substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
)"""
_ADD_STORE = f"""
INSERT INTO store (identity, oldest_compatible, place, base) VALUES (%b, %b, {PLACE}, 0)
ON CONFLICT DO NOTHING
"""
_HIGHEST = """
greatest((SELECT max(number) FROM message), (SELECT max(number) FROM delivery), base)
"""
_MAY_REPEAT = f"""
SELECT place <> {PLACE}
    OR base + (pg_current_xact_id()::text::bigint << 16) <= {_HIGHEST}
FROM store
"""
_LEAP = f"UPDATE store SET place = {PLACE}, base = {_HIGHEST} + %b RETURNING base"

_log = logging.getLogger("gomail")


def prepare(settings: Storage) -> None:
    """Create tables or bring them up to date; raises StorageUnavailable.

    Any number of hosts may do this at the same moment.
    """
    _make_directory(settings.data_dir)
    with (
        failures_as_unavailable(),
        closing(Connections(settings, SECONDS)) as connections,
        connections.transaction() as connection,
    ):
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%b)", (_LOCK,))
        _check_encoding(connection)
        _migrate(connection)
        _refuse_newer(connection)
        connection.exec_driver_sql(_ADD_STORE, (secrets.token_bytes(8), SCHEMA))
        _leap_if_numbers_may_repeat(connection)


def has_store(settings: Storage) -> bool:
    """Return whether a store was ever prepared in the database; raises StorageUnavailable."""
    with (
        failures_as_unavailable(),
        closing(Connections(settings)) as connections,
        connections.statements() as connection,
    ):
        return bool(connection.exec_driver_sql(_HAS_TABLES).scalar_one())


def _make_directory(data_dir: Path) -> None:
    """Large messages are kept there while they arrive."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailable(f"data_dir ({data_dir}) can't be made") from error
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise StorageUnavailable(f"This user can't write to data_dir ({data_dir})")


def _check_encoding(connection: Connection) -> None:
    encoding = connection.exec_driver_sql(_ENCODING).scalar_one()
    if encoding != "UTF8":
        raise StorageUnavailable(f"The encoding of the database is {encoding}, not UTF8.")


def _migrate(connection: Connection) -> None:
    # Imported here, since it would take a fifth of the start-up time of a command that only reads.
    import alembic.command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("path_separator", "os")
    config.set_main_option(
        "script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%")
    )
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    if set(MigrationContext.configure(connection).get_current_heads()) <= known:
        alembic.command.upgrade(config, "head")


def _refuse_newer(connection: Connection) -> None:
    oldest = connection.exec_driver_sql("SELECT oldest_compatible FROM store").scalar()
    if oldest is not None and oldest > SCHEMA:
        raise StorageUnavailable(
            "The database was prepared by a newer version of GoMail, which this one can't work"
            " beside."
        )


def _leap_if_numbers_may_repeat(connection: Connection) -> None:
    if not connection.exec_driver_sql(_MAY_REPEAT).scalar_one():
        return
    # Nobody may number rows with the old base while readers already use the new one.
    connection.exec_driver_sql("LOCK TABLE message, delivery IN EXCLUSIVE MODE")
    base = connection.exec_driver_sql(_LEAP, (LEAP,)).scalar_one()
    _log.warning(
        "The database was restored, or another server has taken over: numbers go on from %d,"
        " so readers may see some messages again",
        base,
    )
