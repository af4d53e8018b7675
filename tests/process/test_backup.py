"""The commands of docs/storage.md, as they stand there, and what they bring back."""

import os
import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from support.numbered_mail import Senders, message
from support.plain_mail import plain_mail
from support.requirement import require_program
from support.server import CHECKOUT, FLASK, NewServer, Server, wait_for

from app.storage.sqlite.store import SQLiteStore

PAGE = CHECKOUT / "docs" / "storage.md"


def commands(section: str) -> list[str]:
    """Return the blocks of shell commands in `section` of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2]
    return re.findall(r"```sh\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)


def run(script: str, server: Server, backup: Path) -> str:
    """Run commands of the page on this server's directory; return what they print."""
    here = script.replace("/var/lib/gomail", str(server.data_dir))
    here = here.replace("/var/backups/gomail", str(backup))
    environment = server.environment | {"PATH": f"{FLASK.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-euc", here], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.promise("a backup has what was acknowledged before it began")
def test_a_backup_under_load_brings_back_all_that_was_acknowledged(
    new_server: NewServer, tmp_path: Path
) -> None:
    """Taken while clients deliver, put back, verified; the senders' token is still valid."""
    require_program("sqlite3")
    server, backup = new_server().start(), tmp_path / "backup"
    token, senders = server.token, Senders(server)
    with senders:
        wait_for(lambda: senders.statuses[200] >= 50, 60)
        before = {number: list(receipts) for number, receipts in senders.receipts.items()}
        for script in commands("Backup"):
            run(script, server, backup)
        answered = senders.statuses[200]
        wait_for(lambda: senders.statuses[200] >= answered + 20, 60)
    server.stop()

    put_back, verify = commands("Restore")
    run(put_back, server, backup)
    server.start()
    assert "messages are as they were received" in run(verify, server, backup)
    assert server.token == token
    assert server.deliver(plain_mail("after", b"x")).status == 200
    with closing(SQLiteStore(server.data_dir)) as store:
        for number, receipts in before.items():
            assert store.read(receipts[0].message_id) == message(number)
    assert any("segments/leftovers" in line["message"] for line in server.log())


def database(server: Server) -> dict[str, bytes]:
    """Return the files of the database of a server that is stopped."""
    return {path.name: path.read_bytes() for path in server.data_dir.glob("gomail.db*")}


def put(files: dict[str, bytes], server: Server) -> None:
    """Replace the files of the database."""
    for path in server.data_dir.glob("gomail.db*"):
        path.unlink()
    for name, content in files.items():
        (server.data_dir / name).write_bytes(content)


def test_an_older_database_is_refused_in_one_line(new_server: NewServer, tmp_path: Path) -> None:
    """Nothing is cut off; with the newer one put back, all mail is there."""
    server = new_server().start()
    server.deliver(plain_mail("in the backup", b"x"))
    server.stop()
    older = database(server)
    server.start()
    for number in range(30):
        assert server.deliver(plain_mail(number, b"y" * 10_000)).status == 200
    server.stop()
    newer = database(server)
    put(older, server)
    server.launch()
    assert server.wait() == 1
    [line] = server.errors().splitlines()
    assert "gomail.db is older than segments/" in line
    assert "put back the newer gomail.db" in line

    put(newer, server)
    server.start()
    verified = server.gomail("messages", "verify")
    assert (verified.returncode, verified.stdout) == (
        0,
        b"All 31 messages are as they were received\n",
    )


def test_verify_names_what_is_damaged_and_what_is_missing(new_server: NewServer) -> None:
    """A line for each, on standard output, and 1; the start warns of the missing segment."""
    server = new_server(workers=1).start()
    damaged = server.deliver(plain_mail("damaged", b"x")).json()["message_id"]
    server.stop()
    [first] = (server.data_dir / "segments").iterdir()
    server.start()
    missing = server.deliver(plain_mail("missing", b"y")).json()["message_id"]
    large = server.deliver(plain_mail("whole", b"z" * 2_000_000)).json()["message_id"]
    server.stop()
    first.write_bytes(first.read_bytes().replace(b"damaged", b"DAMAGED"))
    others = set((server.data_dir / "segments").iterdir()) - {first}
    second = min(others, key=lambda path: path.stat().st_size)
    second.unlink()

    verified = server.gomail("messages", "verify")
    assert verified.returncode == 1
    lines = verified.stdout.decode().splitlines()
    assert lines == [
        f"{damaged}: damaged: the bytes don't match their checksum",
        f"{missing}: missing: segments/{second.name} isn't there",
    ]
    assert large not in verified.stdout.decode()
    assert b"2 of 3 messages" in verified.stderr
    server.start()
    assert any(second.name in line["message"] for line in server.log())
