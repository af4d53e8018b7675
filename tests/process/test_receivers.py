"""The receivers of docs/deliveries.md, as they are printed there, get real deliveries."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_connection

import pytest
from support.deliveries import add_for, claim
from support.endpoints import SECRET, endpoint, secret_of
from support.requirement import require_program
from support.server import CHECKOUT, clean_environment, free_port, wait_for

from app.deliveries.courier import Courier
from app.deliveries.outcome import Outcome
from app.settings import Endpoint
from app.storage.memory import MemoryStore

PAGE = (CHECKOUT / "docs" / "deliveries.md").read_text(encoding="utf-8")

Bodies = Callable[[], dict[str, bytes]]
Running = tuple[Endpoint, Bodies]


def program(heading: str, language: str) -> str:
    """Return the block of code under `heading`."""
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    [block] = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(block)


@contextmanager
def running(command: list[str], directory: Path, port: int, **variables: str) -> Iterator[None]:
    """Run a receiver while it lasts, once it listens."""
    output = directory / "output"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            command,
            cwd=directory,
            env=clean_environment() | {"GOMAIL_SECRET": SECRET} | variables,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        ) as process,
    ):
        try:
            wait_for(lambda: listens(port) or process.poll() is not None, 30)
            yield
        finally:
            process.kill()
            print(output.read_text())


def listens(port: int) -> bool:
    with suppress(OSError), create_connection(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def in_python(directory: Path) -> Iterator[Running]:
    """Run the receiver in Flask."""
    (directory / "receiver.py").write_text(program("Python (Flask)", "python"))
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", "receiver", "run", "--port", str(port)]
    path = os.pathsep.join(sys.path)
    with running(command, directory, port, PYTHONPATH=path):
        yield endpoint(url=f"http://127.0.0.1:{port}/hooks/mail"), lambda: in_table(directory)


def in_table(directory: Path) -> dict[str, bytes]:
    with closing(sqlite3.connect(directory / "inbox.db")) as database:
        found = database.execute("SELECT name FROM sqlite_master WHERE name = 'inbox'").fetchall()
        return dict(database.execute("SELECT id, body FROM inbox")) if found else {}


@contextmanager
def in_node(directory: Path) -> Iterator[Running]:
    """Run the receiver in Node."""
    require_program("node")
    (directory / "receiver.js").write_text(program("Node", "js"))
    port = free_port()
    with running(["node", "receiver.js"], directory, port, PORT=str(port)):
        yield endpoint(url=f"http://127.0.0.1:{port}/"), lambda: in_files(directory / "inbox")


@contextmanager
def in_shell(directory: Path) -> Iterator[Running]:
    """Run the receiver in a shell, behind the HTTP server of busybox."""
    for name in ("busybox", "openssl"):
        require_program(name)
    script, inbox, port = directory / "cgi-bin" / "mail", directory / "inbox", free_port()
    script.parent.mkdir()
    inbox.mkdir()
    script.write_text(program("Shell", "sh"))
    script.chmod(0o755)
    command = ["busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", str(directory)]
    with running(command, directory, port, GOMAIL_INBOX=str(inbox)):
        yield (
            endpoint(url=f"http://127.0.0.1:{port}/cgi-bin/mail"),
            lambda: in_files(inbox),
        )


def in_files(directory: Path) -> dict[str, bytes]:
    return {path.name.removesuffix(".json"): path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(params=[in_python, in_node, in_shell])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """Return where each receiver in turn is, and what returns the bodies that it has, by id."""
    with request.param(tmp_path) as started:
        yield started


def deliver(
    to: Endpoint, secret: str = SECRET, at_time: datetime | None = None, times: int = 1
) -> tuple[str, list[Outcome]]:
    """Deliver a message to an endpoint; return its webhook-id and the outcomes."""
    store = MemoryStore()
    receipt = add_for(store, to.name, recipient="bücher@example.com")
    [claimed] = claim(store.deliveries)
    now = at_time or datetime.now(UTC)
    with closing(Courier(store, lambda _: [secret], lambda: now)) as courier:
        outcomes = [courier.send(to, claimed) for _ in range(times)]
    return f"msg_{receipt.message_id}", outcomes


def test_a_receiver_keeps_what_is_signed(receiver: Running) -> None:
    """It answers at once, has the exact body, and a repeat changes nothing."""
    to, bodies = receiver
    identity, outcomes = deliver(to, times=2)
    assert [each.reason for each in outcomes] == [None, None], outcomes
    assert [each.attempt.status for each in outcomes] == [204, 204]
    assert list(bodies()) == [identity]
    payload = json.loads(bodies()[identity])
    assert payload["data"]["envelope"]["recipient"] == "bücher@example.com"


def test_a_receiver_refuses_what_is_not_signed(receiver: Running) -> None:
    """By another secret, or a quarter of an hour ago: 401, and it keeps nothing."""
    to, bodies = receiver
    minutes = timedelta(minutes=15)
    for _, outcomes in (
        deliver(to, secret_of(32)),
        deliver(to, at_time=datetime.now(UTC) - minutes),
        deliver(to, at_time=datetime.now(UTC) + minutes),
    ):
        assert [each.attempt.status for each in outcomes] == [401], outcomes
    assert bodies() == {}


def test_one_of_two_secrets_is_enough(receiver: Running) -> None:
    """While a secret is replaced, each request has two signatures."""
    to, bodies = receiver
    store = MemoryStore()
    add_for(store, to.name)
    [claimed] = claim(store.deliveries)
    secrets = [secret_of(32), SECRET]
    with closing(Courier(store, lambda _: secrets, lambda: datetime.now(UTC))) as courier:
        assert courier.send(replace(to, secrets=()), claimed).reason is None
    assert len(bodies()) == 1


def test_the_script_is_sound(tmp_path: Path) -> None:
    """shellcheck finds nothing in it."""
    script = tmp_path / "mail"
    script.write_text(program("Shell", "sh"))
    done = subprocess.run(
        [require_program("shellcheck"), script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
