"""Configurations with endpoints, and what is said about them."""

import json
from collections.abc import Mapping
from pathlib import Path

from app.settings import Endpoint, inspect, load

NOTHING = Path("/dev/null")
URL = "https://app.example.com/hooks/mail"
URL_LIMITS = "(allowed: http:// or https://, a host, and optionally a port, a path and a query)"
SECRET_LIMITS = "(allowed: whsec_ followed by 24 to 64 bytes in base64)"
SUPPORT = {"name": "support", "url": URL}


def configured(tmp_path: Path, **settings: object) -> Path:
    """Return a file with `settings`."""
    path = tmp_path / "gomail.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    path.chmod(0o600)
    return path


def endpoints(tmp_path: Path, *given: Mapping[str, object]) -> tuple[Endpoint, ...]:
    """Return the endpoints that a file with `given` makes."""
    return load(environ={}, config=configured(tmp_path, endpoints=given)).deliveries.endpoints


def faults(tmp_path: Path, *given: object, **others: object) -> list[str]:
    """Return the lines of the errors of a file with the endpoints `given`."""
    config = configured(tmp_path, endpoints=given, **others)
    return [str(fault) for fault in inspect(None, {}, config).errors]


def warning_lines(tmp_path: Path, **settings: object) -> list[str]:
    """Return the lines of the warnings of a file with `settings`, which is valid."""
    inspection = inspect(None, {}, configured(tmp_path, **settings))
    assert inspection.errors == ()
    return [str(fault) for fault in inspection.warnings]
