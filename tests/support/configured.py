"""A server with a configuration file that a test rewrites."""

from collections.abc import Callable
from pathlib import Path

import yaml
from support.server import Server

Write = Callable[..., None]
Configured = tuple[Server, Write]


def settings_writer(file: Path, token: str) -> Write:
    """Return a function that writes `file` with settings: the token unless they have another."""

    def write(**settings: object) -> None:
        file.write_text(yaml.safe_dump({"bearer_token": [token]} | settings), encoding="utf-8")

    return write
