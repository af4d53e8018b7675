"""`flask gomail objects sweep` needs both stores, and says which it can't use."""

from collections.abc import Callable

import pytest
from click.testing import Result
from sqlalchemy import NullPool, create_engine
from support.object_rows import add_message
from support.seaweedfs_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SeaweedFSServer
from support.server import free_port

from app.storage.objects.store import Objects

Run = Callable[..., Result]
PREFIX = "of/the-command"


@pytest.fixture
def configured(
    monkeypatch: pytest.MonkeyPatch, seaweedfs: SeaweedFSServer, database_url: str
) -> pytest.MonkeyPatch:
    """Set the environment so that commands use both, the database with one message."""
    with create_engine(
        database_url.replace("://", "+psycopg://"), poolclass=NullPool
    ).begin() as connection:
        add_message(connection, None)
    settings = seaweedfs.settings(PREFIX)
    monkeypatch.setenv("MAIL_OBJECT_STORE_URL", settings.url)
    monkeypatch.setenv("MAIL_OBJECT_STORE_ENDPOINT", str(settings.endpoint))
    monkeypatch.setenv("MAIL_OBJECT_STORE_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("MAIL_OBJECT_STORE_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    monkeypatch.setenv("MAIL_DATABASE_URL", database_url)
    monkeypatch.setenv("MAIL_BEARER_TOKEN", "a-token-of-32-characters-or-more")
    monkeypatch.setenv("MAIL_API_TOKEN", "another-token-of-32-characters-x")
    monkeypatch.setenv("MAIL_STORAGE_TIMEOUT", "5")
    return monkeypatch


def test_new_objects_stay(
    configured: pytest.MonkeyPatch, seaweedfs: SeaweedFSServer, gomail_command: Run
) -> None:
    """Their rows may be on the way; the exit code is 0."""
    objects = Objects(seaweedfs.settings(PREFIX), 5)
    objects.put(objects.names.new("0" * 36, objects.now()), [b"mail"])
    result = gomail_command("objects", "sweep", "--delete")
    assert (result.exit_code, result.output) == (
        0,
        "0 of 1 object (0 bytes) without a message, older than 24 hours\nDeleted 0 objects\n",
    )


def test_without_an_object_store(gomail_command: Run) -> None:
    """There is nothing to sweep, and the line says which setting is missing."""
    result = gomail_command("objects", "sweep")
    assert (result.exit_code, result.output) == (
        1,
        "No object store is configured: set object_store_url.\n",
    )


@pytest.mark.parametrize("down", ["MAIL_OBJECT_STORE_ENDPOINT", "MAIL_DATABASE_URL"])
def test_one_of_both_is_down(
    configured: pytest.MonkeyPatch, gomail_command: Run, down: str
) -> None:
    """One line with the reason, without secrets, and exit code 1."""
    scheme = "http" if "ENDPOINT" in down else "postgresql"
    configured.setenv(down, f"{scheme}://127.0.0.1:{free_port()}")
    result = gomail_command("objects", "sweep")
    assert result.exit_code == 1
    assert result.output.startswith("The objects can't be compared with the database: ")
    assert "onnection refused" in result.output
    assert SECRET_ACCESS_KEY not in result.output
