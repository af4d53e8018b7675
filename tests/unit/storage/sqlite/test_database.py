from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, event, inspect, text
from sqlalchemy.exc import OperationalError

from app.storage.sqlite.database import KEPT_CONNECTIONS, connect, create_database, migrate
from app.storage.sqlite.tables import metadata


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    create_database(tmp_path / "gomail.db")
    engine = connect(tmp_path / "gomail.db")
    migrate(engine)
    yield engine
    engine.dispose()


def described(engine: Engine) -> dict[str, object]:
    """What compare_metadata passes over on SQLite: types, indexes on expressions, the DDL."""
    with engine.connect() as connection:
        statements = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index')")
        ).all()
    return {
        name: sorted(parts_of(sql or ""))
        for name, sql in statements
        if name != "alembic_version" and not name.startswith("sqlite_autoindex_alembic")
    }


def parts_of(statement: str) -> list[str]:
    """A column that was added later stands behind the constraints; the order means nothing."""
    parts = statement.replace("(", ",").replace(")", ",").split(",")
    return [" ".join(part.split()) for part in parts if part.strip()]


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
def test_the_migrations_make_the_tables(engine: Engine) -> None:
    """A migrated database differs in nothing from app.storage.sqlite.tables."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_the_same_statements(engine: Engine, tmp_path: Path) -> None:
    """Indexes, constraints and WITHOUT ROWID are those that the tables would be made with."""
    create_database(tmp_path / "direct.db")
    direct = connect(tmp_path / "direct.db")
    metadata.create_all(direct)
    assert described(engine) == described(direct)
    assert len(described(engine)) >= 9
    direct.dispose()


def test_connecting_makes_no_database(tmp_path: Path) -> None:
    """One that isn't there would be empty, and for everybody to read."""
    engine = connect(tmp_path / "none.db")
    with pytest.raises(OperationalError):
        engine.connect()
    assert list(tmp_path.iterdir()) == []


def test_a_path_may_have_any_characters(tmp_path: Path) -> None:
    """None of them is part of the address by which SQLite finds the file."""
    path = tmp_path / "a?b=c&d%20e#f g.db"
    create_database(path)
    engine = connect(path)
    migrate(engine)
    engine.dispose()
    assert path.stat().st_size > 0
    assert {each.name for each in tmp_path.iterdir()} == {path.name}


def test_migrating_twice_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    """Every start migrates: a database up to date stays as it is."""
    before = described(engine)
    migrate(engine)
    assert described(engine) == before
    assert set(inspect(engine).get_table_names()) == {"alembic_version", *metadata.tables}


def test_commits_leave_no_damage_and_no_remains(engine: Engine) -> None:
    """Each connection writes ahead, so a power cut takes the last commits whole; it wipes rows."""
    with engine.connect() as one, engine.connect() as two:
        for connection in (one, two):
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 1  # NORMAL
            assert connection.execute(text("PRAGMA secure_delete")).scalar() == 1


def test_the_database_is_for_the_owner_alone(engine: Engine, tmp_path: Path) -> None:
    """The file is made 0600, whatever SQLite's default is."""
    assert (tmp_path / "gomail.db").stat().st_mode & 0o777 == 0o600


def test_connections_are_kept(engine: Engine) -> None:
    """As many as are in use at once: opening one costs an fsync."""
    opened: list[object] = []
    event.listen(engine, "connect", lambda *given: opened.append(given))
    for _ in range(3):
        with ExitStack() as held:
            for _ in range(KEPT_CONNECTIONS):
                held.enter_context(engine.connect())
    assert len(opened) <= KEPT_CONNECTIONS
