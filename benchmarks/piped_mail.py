"""One run of a benchmark: mail goes through a new Postfix to one of those that can take it."""

import os
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from subject import THREADS, TICKS, TOKEN, WORKERS, Subject, subjects
from support.postfix_server import SENDER, PostfixServer

MESSAGES, WARM_UP = 1000, 200
SESSIONS = 16
BYTES = 4096
DOMAIN = "app.test"
POLL_SECONDS = 0.01
# Some of Postfix's processes end after their hundredth mail: then they have been waited for.
SETTLE_SECONDS = 0.3
QUEUE_SECONDS = 300

# They get gomail-relay's arguments, of which $5 is the queue id. With 75 Postfix tries again.
STARTS_ONLY = """\
#!/bin/sh
curl --disable --silent --upload-file - file:///dev/null || exit 75
"""
STORES = """\
#!/bin/sh
file={directory}/$5
cat >"$file.tmp" && mv "$file.tmp" "$file" || exit 75
"""
STORES_DURABLY = """\
#!/bin/sh
file={directory}/$5
dd of="$file.tmp" conv=fsync status=none && mv "$file.tmp" "$file" && sync {directory} || exit 75
"""


@dataclass(frozen=True)
class Peer:
    """What gets the mail; a `script` is run in the place of gomail-relay."""

    name: str
    script: str = ""
    keeps_files: bool = False


ALONE = Peer("Postfix alone, discards")
STARTING = Peer("sh and curl, drop the mail", STARTS_ONLY)
GOMAIL = Peer("GoMail: gomail-relay, all on")
PEERS = (
    ALONE,
    STARTING,
    Peer("script: cat, mv", STORES, keeps_files=True),
    Peer("script: dd with fsync, mv, sync", STORES_DURABLY, keeps_files=True),
    GOMAIL,
)


@dataclass(frozen=True)
class Receiver:
    """The server that the lines of main.cf and master.cf are made for."""

    url: str
    environment: Mapping[str, str]
    token: str = TOKEN


@dataclass(frozen=True)
class Figures:
    """What one run has shown, or of several the median of each: mails a second, ms of CPU a mail.

    `server_ms` is the part of `cpu_ms` that GoMail's own processes took.
    """

    rate: float
    cpu_ms: float
    server_ms: float


def run(peer: Peer, kept: Path) -> Figures:
    """Send the mails through a new Postfix to `peer`; files end up in the directory `kept`."""
    with ExitStack() as stack:
        gomail = stack.enter_context(subjects()[2]) if peer is GOMAIL else None
        postfix = stack.enter_context(PostfixServer(receiver(gomail), quiet=True))
        if peer is ALONE:
            postfix.set_option("virtual_transport", "discard:")
        elif peer.script:
            postfix.relay.write_text(peer.script.format(directory=kept))
        send(postfix, WARM_UP)
        before, server_before = cpu_seconds(postfix, gomail)
        started_at = time.monotonic()
        send(postfix, MESSAGES)
        seconds = time.monotonic() - started_at
        after, server_after = cpu_seconds(postfix, gomail)
        check(peer, postfix, gomail, kept)
    return Figures(
        rate=MESSAGES / seconds,
        cpu_ms=(after - before) * 1000 / MESSAGES,
        server_ms=(server_after - server_before) * 1000 / MESSAGES,
    )


def receiver(gomail: Subject | None) -> Receiver:
    """Return what Postfix's lines are made for; without GoMail, a port that nothing uses."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAIL_")}
    settings = {"WORKERS": WORKERS, "THREADS": THREADS, "PRIMARY_DOMAIN": DOMAIN}
    environment = clean | {f"MAIL_{name}": str(value) for name, value in settings.items()}
    return Receiver(f"http://127.0.0.1:{gomail.port if gomail else 1}", environment)


def send(postfix: PostfixServer, messages: int) -> None:
    """Send so many mails, and return when Postfix has handed over all of them."""
    subprocess.run(
        [
            *("smtp-source", "-4", "-N", "-s", str(SESSIONS), "-m", str(messages)),
            *("-l", str(BYTES), "-f", SENDER, "-t", f"user@{DOMAIN}", f"127.0.0.1:{postfix.port}"),
        ],
        check=True,
    )
    deadline = time.monotonic() + QUEUE_SECONDS
    # In this order, which is a mail's: it is never missed on its way from one to the other.
    queues = [postfix.home / "spool" / name for name in ("incoming", "active")]
    while any(any(queue.iterdir()) for queue in queues):
        if time.monotonic() > deadline:
            raise SystemExit("Postfix's queue doesn't get empty")
        time.sleep(POLL_SECONDS)


def check(peer: Peer, postfix: PostfixServer, gomail: Subject | None, kept: Path) -> None:
    """End the program unless each mail has come to its end once."""
    numbers = {"sent": postfix.log().count(" status=sent ")}
    if peer.keeps_files:
        numbers["files"] = sum(not file.suffix for file in kept.iterdir())
    if gomail:
        with closing(sqlite3.connect(gomail.directory / "data" / "gomail.db")) as database:
            [(numbers["stored"],)] = database.execute("SELECT count(*) FROM message")
    if set(numbers.values()) != {WARM_UP + MESSAGES}:
        raise SystemExit(f"{peer.name}: {numbers} of {WARM_UP + MESSAGES}")


def cpu_seconds(postfix: PostfixServer, gomail: Subject | None) -> tuple[float, float]:
    """Return what Postfix and its scripts have used together with GoMail, and GoMail alone."""
    time.sleep(SETTLE_SECONDS)
    master = int((postfix.home / "spool" / "pid" / "master.pid").read_text())
    server = gomail.cpu_seconds() if gomail else 0.0
    return tree_cpu_seconds(master) + server, server


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, of its descendants, and of all they have waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(map(int, fields[11:15])) / TICKS + sum(map(tree_cpu_seconds, map(int, children)))
