"""GET /health and /ready."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.storage.interface import MessageStore
from app.storage.sqlite.store import SQLiteStore
from app.version import __version__


def test_a_healthy_server_says_so(client: FlaskClient) -> None:
    """200 without a token, with version and uptime."""
    answer = client.get("/health")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    document = answer.get_json()
    assert document.keys() == {"status", "version", "uptime"}
    assert (document["status"], document["version"]) == ("healthy", __version__)
    assert 0 <= document["uptime"] <= client.get("/health").get_json()["uptime"]


def test_a_healthy_server_is_ready(client: FlaskClient) -> None:
    """200 without a token."""
    answer = client.get("/ready")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ready"})


@pytest.mark.parametrize("store", [SQLiteStore], indirect=True)
def test_storage_that_cannot_be_written_is_unhealthy(
    client: FlaskClient, store: MessageStore, data_dir: Path
) -> None:
    """503 from both, with the reason and without the path."""
    (data_dir / "segments").rmdir()
    health, ready = client.get("/health"), client.get("/ready")

    assert (health.status_code, health.content_type) == (503, "application/json")
    assert health.get_json()["status"] == "unhealthy"
    assert health.get_json()["reasons"] == [
        "The store can't be written to: No such file or directory"
    ]
    assert health.get_json()["version"] == __version__

    assert (ready.status_code, ready.content_type) == (503, "application/problem+json")
    assert ready.get_json()["code"] == "storage_unavailable"
    assert int(ready.headers["Retry-After"]) > 0
    for answer in (health, ready):
        assert str(data_dir) not in answer.get_data(as_text=True)


@pytest.mark.parametrize("store", [SQLiteStore], indirect=True)
def test_a_database_that_fails_is_unhealthy(client: FlaskClient, data_dir: Path) -> None:
    """A database that can't be read counts as well."""
    for path in data_dir.glob("gomail.db*"):
        path.write_bytes(b"garbage" * 1000)
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.get_json()["reasons"] == [
        "The store can't be written to: the database: file is not a database"
    ]
