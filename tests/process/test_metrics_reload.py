import http.client
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from support.configured import Configured, settings_writer
from support.linux_process import children
from support.server import NewServer, Server, wait_for
from support.tokens import TOKEN
from support.upload import MESSAGE


@pytest.fixture
def configured(new_server: NewServer, tmp_path: Path) -> Configured:
    """Return a running server, and a function that reloads it with other settings."""
    file = tmp_path / "gomail.yaml"

    write = settings_writer(file, TOKEN)

    def reload(**settings: object) -> None:
        write(**settings)
        os.kill(server.pid, signal.SIGHUP)

    write()
    # What is in the environment would outrank the file.
    server = new_server(config=file, bearer_token=TOKEN).start()
    return server, reload


def limit(server: Server) -> float | None:
    """Return config_limit of max_message_size; None while nothing answers to the end."""
    try:
        return server.scrape(seconds=2).value("config_limit", name="max_message_size")
    except (OSError, http.client.HTTPException):  # a reload may end the process in mid-answer
        return None


def is_open(server: Server) -> bool:
    """Tell whether something listens on the metrics port."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", server.metrics_port)) == 0


def stored(server: Server) -> float:
    """Return how many messages the metrics port tells of."""
    return server.scrape().value("emails_processed_total", status="success")


def test_a_new_limit_is_told(configured: Configured) -> None:
    """After SIGHUP config_limit has what is in force, and what was counted stays."""
    server, reload = configured
    assert server.deliver(MESSAGE).status == 200
    reload(max_message_size=123_456)
    wait_for(lambda: limit(server) == 123_456)
    assert server.deliver(MESSAGE + b"2").status == 200
    assert stored(server) == 2


def test_a_refused_configuration_changes_nothing(configured: Configured) -> None:
    """The process of the port goes on with the settings that stay in force."""
    server, reload = configured
    before = limit(server), server.metrics_pid()
    reload(max_message_size="large")
    wait_for(lambda: [line for line in server.log() if line["level"] == "ERROR"])
    assert (limit(server), server.metrics_pid()) == before


def test_metrics_are_switched_off_and_on(configured: Configured) -> None:
    """SIGHUP closes the port and ends its process, and opens it again for all that come."""
    server, reload = configured
    assert is_open(server)
    reload(metrics_enabled=False)
    wait_for(lambda: not is_open(server))
    wait_for(lambda: len(children(server.pid)) == 3)
    assert server.deliver(MESSAGE).status == 200
    assert not is_open(server)

    old = set(server.worker_pids())
    reload(metrics_enabled=True)
    wait_for(lambda: is_open(server))
    wait_for(lambda: old.isdisjoint(server.worker_pids()))
    before = stored(server)
    assert server.deliver(MESSAGE + b"2").status == 200
    assert stored(server) == before + 1


def test_metrics_begin_with_a_reload(new_server: NewServer, tmp_path: Path) -> None:
    """A server that was started without metrics has them after SIGHUP."""
    file = tmp_path / "later.yaml"
    file.write_text("metrics_enabled: false\n", encoding="utf-8")
    server = new_server(config=file).start()
    assert not is_open(server)
    file.write_text("metrics_enabled: true\n", encoding="utf-8")
    old = set(server.worker_pids())
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: is_open(server))
    wait_for(lambda: old.isdisjoint(server.worker_pids()))
    assert server.deliver(MESSAGE).status == 200
    assert stored(server) == 1


def test_many_reloads_leave_one_process(configured: Configured) -> None:
    """After ten SIGHUPs in a row there are two workers and one process of the port."""
    server, reload = configured
    for number in range(10):
        reload(max_message_size=100_000 + number)
        time.sleep(0.1)
    wait_for(lambda: limit(server) == 100_009, 20)
    wait_for(lambda: len(children(server.pid)) == 4, 20)
    assert server.metrics_pid() in children(server.pid)
