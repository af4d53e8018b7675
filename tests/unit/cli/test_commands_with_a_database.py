"""Commands use the database that database_url names, and name it in their errors."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from support.postgresql_databases import Databases
from support.store import add, stored

from app.settings import Storage
from app.storage.postgresql.store import PostgreSQLStore

Run = Callable[..., Result]


@pytest.fixture
def database_store(
    database_url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PostgreSQLStore]:
    """Return a store in a database that the commands are configured for."""
    monkeypatch.setenv("MAIL_DATABASE_URL", database_url)
    monkeypatch.setenv("MAIL_BEARER_TOKEN", "3b1f7c0d9a5e4e62")
    monkeypatch.setenv("MAIL_API_TOKEN", "9e07d1c45ab84f36")
    with closing(PostgreSQLStore(Storage(data_dir, database_url))) as store:
        yield store


def test_messages_are_listed_shown_and_verified(
    database_store: PostgreSQLStore, gomail_command: Run, data_dir: Path
) -> None:
    """And no data directory is made for that."""
    message_id = add(database_store, b"Subject: x\r\n\r\nHello\r\n", subject="x")
    assert message_id in gomail_command("messages", "list").stdout
    assert gomail_command("messages", "show", message_id, "--raw").stdout_bytes.endswith(
        b"Hello\r\n"
    )
    verified = gomail_command("messages", "verify")
    assert (verified.exit_code, verified.stdout) == (
        0,
        "All 1 messages are as they were received\n",
    )
    assert not data_dir.exists()


def test_messages_are_deleted(
    database_store: PostgreSQLStore, gomail_command: Run, data_dir: Path
) -> None:
    """By their ids, without anything to complete or to erase in files."""
    gone, kept = add(database_store, b"1", "1"), add(database_store, b"2", "2")
    done = gomail_command("messages", "delete", gone)
    assert (done.exit_code, stored(database_store)) == (0, {kept: b"2"})
    assert not data_dir.exists()


def test_a_damaged_message_is_named(
    database_store: PostgreSQLStore, database_url: str, databases: Databases, gomail_command: Run
) -> None:
    """By its id; the exit code is 1."""
    message_id = add(database_store, b"Subject: x\r\n\r\n")
    name = database_url.rpartition("/")[2]
    databases.server.execute("UPDATE message_part SET content = 'y'", name)
    verified = gomail_command("messages", "verify")
    assert verified.exit_code == 1
    assert verified.stdout.startswith(f"{message_id}: damaged")


def test_there_is_nothing_to_reindex(
    database_store: PostgreSQLStore, database_url: str, gomail_command: Run
) -> None:
    """The command says so, and names the database."""
    name = database_url.rpartition("/")[2]
    done = gomail_command("store", "reindex")
    assert done.exit_code == 1
    assert f"nothing to reindex: the messages are in the PostgreSQL database {name} on 127" in (
        done.output
    )


def test_an_empty_database_is_named(
    databases: Databases, gomail_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was ever stored there, and the password isn't shown."""
    url = databases.server.new_database().replace("gomail@", "gomail:secret@")
    monkeypatch.setenv("MAIL_DATABASE_URL", url)
    monkeypatch.setenv("MAIL_BEARER_TOKEN", "3b1f7c0d9a5e4e62")
    monkeypatch.setenv("MAIL_API_TOKEN", "9e07d1c45ab84f36")
    done = gomail_command("messages", "list")
    assert done.exit_code == 1
    name = url.rpartition("/")[2]
    assert done.output == (
        f"Nothing is stored in the PostgreSQL database {name} on 127.0.0.1 yet.\n"
    )


def test_a_server_that_is_down_is_named(
    gomail_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason, in a second, and without the password."""
    url = "postgresql://gomail:secret@127.0.0.1:9/gomail"
    monkeypatch.setenv("MAIL_DATABASE_URL", url)
    monkeypatch.setenv("MAIL_BEARER_TOKEN", "3b1f7c0d9a5e4e62")
    monkeypatch.setenv("MAIL_API_TOKEN", "9e07d1c45ab84f36")
    done = gomail_command("messages", "list")
    assert done.exit_code == 1
    assert done.output.startswith(
        "The store in the PostgreSQL database gomail on 127.0.0.1 can't be used: "
    )
    assert "Connection refused" in done.output
    assert "secret" not in done.output
