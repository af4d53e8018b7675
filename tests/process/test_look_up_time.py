"""How long `messages list` and `messages show` take."""

import time

import pytest
from support.server import NewServer, Server

pytestmark = pytest.mark.alone
MOST_SECONDS = 0.5
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
def test_a_look_up_takes_less_than_half_a_second(
    filled: tuple[Server, str], arguments: list[str]
) -> None:
    """Including the start of Python, while a server runs; the fastest of a few runs counts."""
    server, message_id = filled
    seconds = []
    for _ in range(ATTEMPTS):
        begun = time.perf_counter()
        done = server.gomail("messages", *(message_id if a == "ID" else a for a in arguments))
        seconds.append(time.perf_counter() - begun)
        assert done.returncode == 0, done.stderr
        assert message_id.encode() in done.stdout
    assert min(seconds) < MOST_SECONDS, seconds
