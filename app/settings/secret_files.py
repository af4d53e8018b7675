"""Reads the secrets of endpoints from the files that secret_file names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.settings.endpoints import Secrets, endpoints_in
from app.settings.fault import Fault
from app.settings.files import UnreadableFile, absolute_path, read_text
from app.settings.webhook_secret import (
    MOST_SECRETS,
    check_webhook_secret,
    is_secret,
    split_secrets,
)


@dataclass(frozen=True)
class SecretFiles:
    """The secrets that were read, and the faults."""

    secrets: Secrets = field(repr=False)
    faults: tuple[Fault, ...]


class _UnusableFile(Exception):
    """Raised if a file holds no usable secrets."""


def read_secret_files(values: Mapping[str, Any]) -> SecretFiles:
    """Read the files of all endpoints, whose members may be invalid."""
    secrets: dict[str, list[str]] = {}
    faults: list[Fault] = []
    for place, given in endpoints_in(values):
        files, key = _files(given.get("secret_file")), f"{place}.secret_file"
        for file in files:
            try:
                secrets[file] = _read(file)
            except _UnusableFile as error:
                faults.append(Fault(key, str(error)))
        count = sum(len(secrets.get(file, ())) for file in files)
        if count > MOST_SECRETS:
            faults.append(Fault(key, f"names {count} secrets (allowed: up to {MOST_SECRETS})"))
    return SecretFiles(secrets, tuple(faults))


def _files(given: object) -> list[str]:
    files = given if isinstance(given, list) else [given]
    return [file for file in files if isinstance(file, str) and file]


def _read(file: str) -> list[str]:
    if is_secret(file):
        raise _UnusableFile("is a secret (allowed: the path of a file that contains it)")
    path = absolute_path(file)
    try:
        secrets = split_secrets(read_text(path))
    except UnreadableFile as error:
        raise _UnusableFile(f"{path} {error}") from error
    if not secrets:
        raise _UnusableFile(f"{path} is empty")
    for secret in secrets:
        try:
            check_webhook_secret(secret)
        except ValueError as error:
            limits = "allowed: whsec_ followed by 24 to 64 bytes in base64"
            raise _UnusableFile(f"{path} holds a secret that {error} ({limits})") from error
    return secrets
