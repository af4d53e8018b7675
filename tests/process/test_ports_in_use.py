import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server import FLASK_SERVER, GUNICORN, Command, NewServer, Server, wait_for
from support.upload import MESSAGE


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def refusal(server: Server, command: Command = GUNICORN) -> str:
    """Start the server and return what it says on its error output when it gives up at once."""
    server.launch(command)
    assert server.wait(20) == 1
    # Gunicorn alone tries for five seconds, with lines of its own.
    assert not [line for line in server.output() if "in use" in line or "Retrying" in line]
    assert not server.data_dir.exists()
    return server.errors()


@pytest.mark.parametrize("command", [GUNICORN, FLASK_SERVER], ids=["gunicorn", "flask"])
@pytest.mark.parametrize("key", ["port", "metrics_port"])
def test_a_port_in_use_is_one_line_that_names_the_setting(
    new_server: NewServer, taken: int, key: str, command: Command
) -> None:
    """It ends at once with 1, and leaves the data directory alone."""
    server = new_server(**{key: taken})
    line = f"{key}: {taken} is in use on 127.0.0.1 (allowed: a free port)\n"
    assert refusal(server, command) == line


def test_both_ports_are_named_when_both_are_in_use(new_server: NewServer, taken: int) -> None:
    """As with every other fault, the first isn't the only one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = new_server(port=other.getsockname()[1], metrics_port=taken)
        lines = refusal(server).splitlines()
    assert [line.split(":")[0] for line in lines] == ["port", "metrics_port"]


def test_an_address_of_another_machine_is_one_line(new_server: NewServer) -> None:
    """MAIL_HOST means the mail server of another program, in the environments of many."""
    [line] = refusal(new_server(host="192.0.2.1")).splitlines()
    assert line.startswith("host: 192.0.2.1 can't be listened on: ")
    assert line.endswith("(allowed: an address of this machine)")


def test_a_metrics_port_that_is_off_may_be_in_use(new_server: NewServer, taken: int) -> None:
    """Nobody opens it."""
    server = new_server(metrics_port=taken, metrics_enabled="false").start()
    assert server.deliver(MESSAGE).status == 200


def test_a_server_that_takes_over_from_another_does_not_mind_its_ports(
    new_server: NewServer, tmp_path: Path
) -> None:
    """SIGUSR2 starts a second master with the socket of the first, which goes on until it ends."""
    # The script: with `-m gunicorn` its own modules would hide those of Python the second time.
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    server = new_server().start((gunicorn, "--pid", str(tmp_path / "pid"), "wsgi:app"))
    os.kill(server.pid, signal.SIGUSR2)
    file = tmp_path / "pid.2"
    wait_for(lambda: file.exists() and file.read_text(encoding="ascii").strip(), 20)
    second = int(file.read_text(encoding="ascii"))
    try:
        wait_for(lambda: sum("listens on" in line for line in server.output()) == 2, 20)
        assert server.errors() == ""
        assert server.deliver(MESSAGE).status == 200
    finally:
        os.kill(second, signal.SIGTERM)
