"""How long `messages list` and `messages show` take.

`make bench-reading` has the seconds: less than half a second on a machine with nothing else to do.
On a busy one they are compared with what the same machine needs to start Python with the libraries.
"""

import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage

import pytest
from support.server import NewServer, Server

pytestmark = pytest.mark.alone
LIBRARIES = "import flask.cli, jsonschema, sqlalchemy"
MOST_OF_THEIRS = 1.5
ATTEMPTS = 5
MESSAGES = 200
RAW = b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: Hi\r\n\r\nNumber %d\r\n"


@pytest.fixture
def filled(new_server: NewServer) -> tuple[Server, str]:
    """Return a running server with messages, and the id of the last one."""
    server = new_server().start()
    for number in range(MESSAGES):
        message_id = server.deliver(RAW % number).json()["message_id"]
    return server, message_id


@pytest.mark.parametrize("arguments", [["list"], ["show", "ID"]])
def test_a_look_up_takes_little_more_than_the_import_of_its_libraries(
    filled: tuple[Server, str], arguments: list[str]
) -> None:
    """Processor time, including the start of Python; the fastest of a few runs counts."""
    server, message_id = filled
    seconds, theirs = [], []
    for _ in range(ATTEMPTS):
        begun = children_seconds()
        subprocess.run([sys.executable, "-c", LIBRARIES], env=server.environment, check=True)
        theirs.append(children_seconds() - begun)
        begun = children_seconds()
        done = server.gomail("messages", *(message_id if a == "ID" else a for a in arguments))
        seconds.append(children_seconds() - begun)
        assert done.returncode == 0, done.stderr
        assert message_id.encode() in done.stdout
    assert min(seconds) < MOST_OF_THEIRS * min(theirs), (seconds, theirs)


def children_seconds() -> float:
    """Return the processor time of all programs started here that have ended."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
