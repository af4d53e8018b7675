from contextlib import ExitStack

import pytest
from server import Server


@pytest.fixture
def new_server(tmp_path):
    """Return a function that makes a Server in tmp_path; all are ended with the test."""
    made = []
    with ExitStack() as stack:

        def make(**settings):
            directory = tmp_path / f"server{len(made)}"
            directory.mkdir()
            made.append(stack.enter_context(Server(directory, **settings)))
            return made[-1]

        yield make


@pytest.fixture
def server(new_server):
    """Return a running Server with default settings."""
    return new_server().start()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    """Return a running Server for those tests of a module that don't mind each other."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server.start()
