"""What holds for all tests, and the servers that some of them need."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import settings
from support.rounds import rounds
from support.seaweedfs_server import SeaweedFSServer
from support.server import NewServer, Server
from support.small_disk import mounted_small_disk

from app.storage.interface import MessageStore
from app.storage.memory import MemoryStore
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

pytest_plugins = ("support.promises", "support.postgresql_databases")

# A busy machine isn't a fault; tests that are about time measure it themselves.
settings.register_profile("gomail", deadline=None, max_examples=rounds(100, 30))
settings.load_profile("gomail")

# A shell that isn't interactive starts what it runs in the background, as in `make test &`, with
# the first two ignored, and nohup ignores the third. No program that starts with a signal ignored
# gets it: a shell script could not even trap it. A signal that is caught, though, has its default
# in a program that is started.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)


SERVERS = {"databases", "pgbouncer", "seaweedfs"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a server that a fixture starts."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.server)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return where a data directory may be made."""
    return tmp_path / "data"


@pytest.fixture(params=[MemoryStore, SQLiteStore])
def store(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[MessageStore]:
    """Return each kind of store in turn, with nothing in it."""
    with closing(MemoryStore() if request.param is MemoryStore else create_store(data_dir)) as made:
        yield made


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFSServer]:
    """Return a running object store, one for all tests: each uses a prefix of its own."""
    with SeaweedFSServer() as server:
        yield server


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[NewServer]:
    """Return a function that makes a Server in tmp_path; all are ended with the test."""
    made: list[Server] = []
    with ExitStack() as stack:

        def make(**settings: object) -> Server:
            directory = tmp_path / f"server{len(made)}"
            directory.mkdir()
            made.append(stack.enter_context(Server(directory, **settings)))
            return made[-1]

        yield make


@pytest.fixture
def server(new_server: NewServer) -> Server:
    """Return a running Server with default settings."""
    return new_server().start()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running Server for those tests of a module that don't mind each other."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server.start()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory with a file system of its own that can be filled."""
    with mounted_small_disk(tmp_path / "disk") as directory:
        yield directory
