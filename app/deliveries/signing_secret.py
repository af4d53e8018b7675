"""The secrets that sign requests to an endpoint: configured, or generated once and kept."""

import base64
import secrets
from collections.abc import Iterable
from pathlib import Path

from app.errors import StorageUnavailable
from app.settings import Endpoint
from app.settings.webhook_secret import PREFIX, check_webhook_secret
from app.state.small_files import (
    locked_directory,
    sweep_unfinished,
    sync_directory,
    write_whole,
)

GENERATED_BYTES = 32


def secret_file(data_dir: Path, name: str) -> Path:
    """Return the path of the generated secret of the endpoint `name`."""
    return data_dir / "endpoints" / f"{name}.secret"


def signing_secrets(endpoint: Endpoint, data_dir: Path) -> tuple[str, ...]:
    """Return the secrets of `endpoint`, each of which signs: the configured or the generated ones.

    A secret is generated (0600) on the first call, and kept when the endpoint is removed from the
    configuration. Processes that call this at the same moment all get the same one. Raises
    StorageUnavailable.
    """
    return endpoint.secrets or (_kept_secret(secret_file(data_dir, endpoint.name), endpoint.name),)


def prepare_secrets(endpoints: Iterable[Endpoint], data_dir: Path) -> None:
    """Create missing secrets, and remove unfinished files of killed processes.

    Raises StorageUnavailable.
    """
    for endpoint in endpoints:
        if endpoint.secrets:
            continue
        signing_secrets(endpoint, data_dir)
        try:
            sweep_unfinished(secret_file(data_dir, endpoint.name))
        except OSError as error:
            raise StorageUnavailable from error


def _kept_secret(path: Path, name: str) -> str:
    try:
        if not path.exists():
            _create(path)
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise StorageUnavailable(
            f"The generated secret of the endpoint {name} can't be read or written."
        ) from error
    try:
        check_webhook_secret(secret)
    except ValueError as error:
        raise StorageUnavailable(
            f"The file of the generated secret of the endpoint {name} is damaged: restore it from a"
            " backup, or remove it to get a new secret."
        ) from error
    return secret


def _create(path: Path) -> None:
    data_dir = path.parent.parent
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    sync_directory(data_dir)
    with locked_directory(path.parent):
        if not path.exists() and not path.is_symlink():  # another process may have been faster
            key = base64.b64encode(secrets.token_bytes(GENERATED_BYTES)).decode("ascii")
            write_whole(path, f"{PREFIX}{key}\n")
