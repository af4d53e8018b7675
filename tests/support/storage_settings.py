"""Settings of a database and of an object store, and what is said about them."""

import json
from pathlib import Path

from app.settings import inspect

DATABASE = "postgresql://gomail:Pl4nted@db1,db2/gomail?target_session_attrs=read-write"
LIMITER = "redis://cache/0"
SHARED = {
    "database_url": DATABASE,
    "bearer_token": "k7" * 16,
    "api_token": "a7" * 16,
    "rate_limit_url": LIMITER,
}
"""What several hosts need: no fault, and no warning."""
BUCKET = {
    "object_store_url": "s3://gomail/mail",
    "object_store_endpoint": "http://store:8333",
    "object_store_access_key_id": "gomail",
    "object_store_secret_access_key": "Pl4nted",
}


def written(tmp_path: Path, **settings: object) -> Path:
    """Return a file with `settings`."""
    path = tmp_path / "gomail.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    path.chmod(0o600)
    return path


def faults(tmp_path: Path, **settings: object) -> list[str]:
    """Return the lines of the errors of a file with `settings`."""
    return [str(each) for each in inspect(None, {}, written(tmp_path, **settings)).errors]


def warning_lines(tmp_path: Path, **settings: object) -> list[str]:
    """Return the lines of the warnings of a file with `settings`, which is valid."""
    inspection = inspect(None, {}, written(tmp_path, **settings))
    assert inspection.errors == ()
    return [str(each) for each in inspection.warnings]
