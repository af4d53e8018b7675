from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import gomail
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

Run = Callable[..., Result]


@pytest.fixture
def gomail_command(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `flask gomail …` for the store in `data_dir`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAIL_DATA_DIR", str(data_dir))
    return lambda *arguments: CliRunner().invoke(gomail, list(map(str, arguments)))


@pytest.fixture
def server_store(data_dir: Path) -> Iterator[SQLiteStore]:
    """Return a store that is open while commands run, as that of a server is."""
    with closing(create_store(data_dir)) as store:
        yield store
