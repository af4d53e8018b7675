"""The programs in docs/recipes.md work exactly as printed."""

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.server import CHECKOUT, NewServer, Server, wait_for

PAGE = (CHECKOUT / "docs" / "recipes.md").read_text(encoding="utf-8")
RAW = b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: Welcome\r\n\r\nYour code is %d\r\n"


def recipe(heading: str, language: str) -> str:
    """Return the block of code under `heading`."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    [block] = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(block)


@pytest.fixture
def server(new_server: NewServer) -> Server:
    """Return a running server."""
    return new_server().start()


def run(server: Server, tmp_path: Path, program: str) -> "subprocess.Popen[str]":
    environment = server.environment | {
        "GOMAIL_URL": server.url,
        "GOMAIL_API_TOKEN": server.api_token,
    }
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
    )


def deliver(server: Server, number: int, recipient: str = "bob@example.com") -> str:
    answer = server.deliver(RAW % number, X_Original_Recipient=recipient)
    return str(answer.json()["message_id"])


def newest_cursor(server: Server) -> str:
    """Return the cursor of the newest message."""
    [newest] = json.loads(server.gomail("messages", "list", "--json", "--limit", 1).stdout)
    return str(newest["cursor"])


def wait_until_saved(file: Path, cursor: str) -> None:
    """Wait until the program has saved `cursor`."""
    wait_for(lambda: file.exists() and file.read_text() == cursor)


def test_a_program_gets_each_message_as_it_arrives(server: Server, tmp_path: Path) -> None:
    """Messages from before its start, while it waits and while it is stopped: once, in order."""
    handle = "def handle(message): print(message['id'], flush=True)\n"
    reading = recipe("Process each message as it arrives", "python")
    assert sum(map(bool, reading.splitlines())) == 20
    program = handle + reading
    ids = [deliver(server, number) for number in range(3)]
    seen: list[str] = []
    for _ in range(2):
        reader = run(server, tmp_path, program)
        try:
            ids.append(deliver(server, len(ids)))
            assert reader.stdout is not None
            while len(seen) < len(ids):
                seen.append(reader.stdout.readline().strip())
            wait_until_saved(tmp_path / "cursor", newest_cursor(server))
        finally:
            reader.kill()
            reader.communicate()
        ids.append(deliver(server, len(ids)))
        assert seen == ids[:-1]


def test_a_test_suite_gets_the_message_to_its_address(server: Server, tmp_path: Path) -> None:
    """As soon as it has arrived; a message to another address is ignored."""
    program = recipe("Wait for a message in a test suite", "python")
    program += (
        "\ndef sign_up(address): print(address, flush=True)\n"
        "test_signing_up_sends_a_code()\nprint('passed')\n"
    )
    suite = run(server, tmp_path, program)
    assert suite.stdout is not None
    address = suite.stdout.readline().strip()
    deliver(server, 1, "somebody-else@example.com")
    assert suite.poll() is None
    timer = threading.Timer(30, suite.kill)
    timer.start()
    deliver(server, 2, address)
    assert suite.communicate()[0] == "passed\n"
    timer.cancel()
    assert suite.returncode == 0


def test_a_nightly_export_is_complete_and_repeatable(server: Server, tmp_path: Path) -> None:
    """The printed crontab line works twice, with another directory and configuration."""
    *_, command = recipe("Export files every night", "cron").partition("  gomail  ")
    ids = [deliver(server, number) for number in range(2)]
    arguments = command.split()
    assert arguments[:2] == ["flask", "gomail"]
    changed = {"/srv/mail": str(tmp_path / "out"), "/etc/gomail/gomail.yaml": "/dev/null"}
    arguments = [changed.get(each, each) for each in arguments[2:]]
    for _ in range(2):
        done = server.gomail(*arguments)
        assert done.returncode == 0, done.stderr
        exported = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert exported.keys() == {f"{each}.eml" for each in ids}
