"""A real Postfix hands its mail to a real GoMail, with the lines that GoMail prints for it."""

import hashlib
import random
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from support.front import HANG, HTML, INTERNAL_ERROR, WRONG_SUCCESS, Front
from support.postfix_server import SENDER, Outcome, PostfixServer
from support.server import NewServer, Server, wait_for
from support.small_disk import full

from app.storage.interface import Query
from app.storage.message import StoredMessage
from app.storage.sqlite.store import SQLiteStore

MESSAGES = 500
SMTP_CLIENTS = 8
LARGE_BYTES = 20 * 1024 * 1024
SEED = 6
FEW = 4
MESSAGES_A_KILL = 20
KILLS = 3
PATIENCE = 3
RECIPIENTS = (
    "plain@app.test",
    "first.last@app.test",
    '"quoted local part"@app.test',
    '"../../etc/passwd"@app.test',
    '".starts.and..ends."@app.test',
    "-dash@app.test",
    "--help@app.test",
    "dash-at-the-end-@app.test",
    "plus+tag=x@app.test",
    "o'brien@app.test",
    "percent%s@app.test",
    '"at@inside"@app.test',
    '"back\\\\slash"@app.test',
    "$HOME@app.test",
    "`id`@app.test",
)

# Keeps what Postfix has piped, under a name made of queue id and recipient.
KEEPER = """\
#!/bin/sh
name=$(printf '%s %s' "$5" "$4" | sha256sum | cut -c1-64)
cat >"{kept}/$name" && exec "{relay}" "$@" <"{kept}/$name"
"""


@dataclass(frozen=True)
class Way:
    """The way of a message, and what had happened on it when the test began."""

    server: Server
    front: Front
    postfix: PostfixServer
    earlier_outcomes: int = 0
    earlier_ids: frozenset[str] = frozenset()

    def begin(self) -> Self:
        """Return the same way for a new test."""
        ids = frozenset(message.message_id for message, _ in self.stored())
        return replace(self, earlier_outcomes=len(self.postfix.outcomes()), earlier_ids=ids)

    def outcomes(self) -> list[Outcome]:
        """Return the attempts to deliver since the test began."""
        return self.postfix.outcomes()[self.earlier_outcomes :]

    def has_outcomes(self, count: int) -> bool:
        """Tell whether there were so many."""
        return len(self.outcomes()) >= count

    def statuses(self) -> set[str]:
        """Return what became of them."""
        return {outcome.status for outcome in self.outcomes()}

    def stored(self) -> list[tuple[StoredMessage, bytes]]:
        """Return the messages stored since the test began, each with its bytes."""
        with closing(SQLiteStore(self.server.data_dir)) as store:
            return [
                (message, store.read(message.message_id))
                for message in store.search(Query())
                if message.message_id not in self.earlier_ids
            ]

    def assert_stored_once(self, deliveries: int) -> None:
        """Check that so many deliveries are stored, and none of them twice."""
        envelopes = [message.envelope for message, _ in self.stored()]
        assert len({(each.queue_id, each.recipient) for each in envelopes}) == deliveries
        assert len(envelopes) == deliveries

    def assert_delivered_after_outage(self, count: int = FEW) -> None:
        """Check that nothing has bounced, and that all is stored once when the queue is flushed."""
        assert self.statuses() == {"deferred"}
        self.postfix.deliver_all()
        assert self.statuses() == {"deferred", "sent"}
        self.assert_stored_once(2 * count)


@contextmanager
def way_through(server: Server) -> Iterator[Way]:
    """Yield the way through a Postfix whose script has little patience to a running `server`."""
    with Front(server.port) as front, PostfixServer(server, front.url) as postfix:
        script = postfix.relay.read_text()
        assert "total_seconds=90" in script
        postfix.relay.write_text(script.replace("total_seconds=90", f"total_seconds={PATIENCE}"))
        yield Way(server, front, postfix)


@pytest.fixture(scope="module")
def shared_way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    settings = {"allowed_recipient_domains": "app.test", "blocked_domains": "blocked.test"}
    server = Server(tmp_path_factory.mktemp("server"), **settings)
    with server, way_through(server.start()) as way:
        # More than GoMail takes, so that it has something to refuse.
        way.postfix.set_option("virtual_mailbox_domains", "app.test, elsewhere.test")
        way.postfix.set_option("message_size_limit", 100_000_000)
        yield way


@pytest.fixture
def way(shared_way: Way) -> Iterator[Way]:
    """Return the way that the tests of this module share; nothing is on it."""
    yield shared_way.begin()
    shared_way.front.answer = None
    shared_way.postfix.deliver_all()


@pytest.fixture
def kept(way: Way) -> Iterator[Path]:
    """Return where the messages are kept as Postfix has piped them."""
    kept = way.postfix.home / "kept"
    kept.mkdir()
    kept.chmod(0o777)
    script = way.postfix.relay.read_text()
    relay = way.postfix.relay.rename(way.postfix.home / "the-relay-itself")
    way.postfix.relay.write_text(KEEPER.format(kept=kept, relay=relay))
    way.postfix.relay.chmod(0o755)
    yield kept
    way.postfix.relay.write_text(script)


def make_message(number: int, chooser: random.Random) -> bytes:
    """Return a message unlike any other: short or long, with 8-bit bytes, with NUL."""
    size = LARGE_BYTES if number == 0 else chooser.choice([0, 40, 4_000, 60_000])
    odd = chooser.choice([b"plain", b"8-bit \xe4\xf6\xfc \xff", b"NUL \x00 inside", b"\n\n\n"])
    filling = b"".join(b"line %07d\r\n" % line for line in range(size // 14))
    return b"Subject: number %d\r\n\r\n%s\r\n%s" % (number, odd, filling)


def send(postfix: PostfixServer, number: int) -> int:
    """Send one message and return how many recipients it has."""
    chooser = random.Random(SEED + number)
    recipients = chooser.sample(RECIPIENTS, chooser.choice([1, 1, 1, 2, 4]))
    sender = chooser.choice([SENDER, ""])
    postfix.send(make_message(number, chooser), recipients, sender)
    return len(recipients)


def send_some(postfix: PostfixServer, count: int = FEW) -> None:
    """Send `count` small messages with two recipients each."""
    for number in range(count):
        raw = b"Subject: number %d\r\n\r\n8-bit \xe4\r\n" % number
        postfix.send(raw, ["a@app.test", "b@app.test"])


@pytest.mark.promise("each recipient gets a copy, once and byte for byte")
def test_each_recipient_gets_its_copy_once_and_byte_for_byte(way: Way, kept: Path) -> None:
    """500 messages of every odd kind: each (queue id, recipient) is stored once, as piped."""
    with ThreadPoolExecutor(SMTP_CLIENTS) as pool:
        deliveries = sum(pool.map(lambda number: send(way.postfix, number), range(MESSAGES)))
    way.postfix.deliver_all()  # three seconds were too short for some of the large ones

    way.assert_stored_once(deliveries)
    envelopes = [message.envelope for message, _ in way.stored()]
    assert {each.recipient for each in envelopes} == set(RECIPIENTS)
    assert {each.sender for each in envelopes} == {SENDER, ""}
    for message, raw in way.stored():
        key = f"{message.envelope.queue_id} {message.envelope.recipient}"
        assert raw == (kept / hashlib.sha256(key.encode()).hexdigest()).read_bytes()
    assert way.statuses() <= {"sent", "deferred"}


def test_a_canary_goes_the_whole_way_and_leaves_nothing(way: Way) -> None:
    """`gomail check --smtp` ends with 0 and the store is as empty as before."""
    checked = way.server.gomail("check", "--smtp", f"127.0.0.1:{way.postfix.port}")
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count(b"ok: ") == 2
    assert way.stored() == []


def test_a_canary_says_that_the_mail_waits_in_the_queue(way: Way) -> None:
    """When Postfix takes it and GoMail never sees it, `gomail check` ends with 2 and says so."""
    way.front.answer = INTERNAL_ERROR
    smtp = f"127.0.0.1:{way.postfix.port}"
    checked = way.server.gomail("check", "--smtp", smtp, "--timeout", 1)
    assert checked.returncode == 2
    assert b"postqueue" in checked.stdout


@pytest.mark.promise("Postfix loses and bounces nothing by accident")
def test_a_stopped_gomail_bounces_nothing(way: Way) -> None:
    """Mail waits while nobody listens, and arrives afterwards."""
    way.server.stop()
    send_some(way.postfix)
    way.postfix.wait_until_deferred(FEW)
    way.server.start()
    way.assert_delivered_after_outage()


@pytest.mark.promise("Postfix loses and bounces nothing by accident")
@pytest.mark.parametrize(
    "answer", [INTERNAL_ERROR, HTML, WRONG_SUCCESS, HANG], ids=["500", "html", "wifi", "hang"]
)
def test_what_comes_between_bounces_nothing(way: Way, answer: bytes) -> None:
    """A proxy's own pages and a connection that hangs are outages."""
    way.front.answer = answer
    send_some(way.postfix)
    way.postfix.wait_until_deferred(FEW)
    way.front.answer = None
    way.assert_delivered_after_outage()


@pytest.mark.promise("Postfix loses and bounces nothing by accident")
def test_a_wrong_token_bounces_nothing(way: Way) -> None:
    """401 waits for an operator, who has days."""
    way.postfix.set_token("not-the-token-of-this-server")
    send_some(way.postfix)
    way.postfix.wait_until_deferred(FEW)
    assert {outcome.code for outcome in way.outcomes()} == {"4.7.8"}
    way.postfix.set_token(way.server.token)
    way.assert_delivered_after_outage()


@pytest.mark.promise("Postfix loses and bounces nothing by accident")
def test_an_unreadable_token_file_bounces_nothing(way: Way) -> None:
    """The script runs as a user without privileges, who can't read root's files."""
    shutil.chown(way.postfix.token_file, "root")
    send_some(way.postfix)
    way.postfix.wait_until_deferred(FEW)
    way.postfix.set_token(way.server.token)
    way.assert_delivered_after_outage()


@pytest.mark.promise("Postfix loses and bounces nothing by accident")
def test_a_gomail_killed_in_mid_request_bounces_nothing(way: Way) -> None:
    """kill -9 while messages are on their way: each arrives, and none twice."""
    for _ in range(KILLS):
        seen = len(way.outcomes())
        with ThreadPoolExecutor(SMTP_CLIENTS) as pool:
            for _ in range(MESSAGES_A_KILL):
                pool.submit(send_some, way.postfix, 1)
            wait_for(partial(way.has_outcomes, seen + 3), 60)
            way.server.kill()
        way.server.start()
    way.postfix.deliver_all()
    assert way.statuses() == {"deferred", "sent"}
    way.assert_stored_once(2 * KILLS * MESSAGES_A_KILL)


@pytest.mark.promise("Postfix loses and bounces nothing by accident")
def test_full_disks_and_rate_limits_bounce_nothing(new_server: NewServer, small_disk: Path) -> None:
    """503 while nothing can be written and 429 beyond the burst both defer."""
    settings = {"rate_limit_per_minute": 600, "rate_limit_burst": 2, "primary_domain": "app.test"}
    server = new_server(data_dir=small_disk / "data", **settings).start()
    with way_through(server) as way:
        with full(small_disk):
            send_some(way.postfix)
            way.postfix.wait_until_deferred(FEW)
        assert {outcome.code for outcome in way.outcomes()} == {"4.3.2", "4.7.28"}
        assert way.statuses() == {"deferred"}
        way.postfix.deliver_all()
        assert way.statuses() == {"deferred", "sent"}
        way.assert_stored_once(2 * FEW)


@pytest.mark.promise("a refusal of GoMail bounces with its reason")
@pytest.mark.parametrize(
    ("recipient", "sender", "size", "code"),
    [
        ("a@elsewhere.test", SENDER, 10, "5.1.1"),
        ("a@app.test", "spam@blocked.test", 10, "5.7.1"),
        ("a@app.test", SENDER, 30_000_000, "5.3.4"),
    ],
)
def test_a_refusal_bounces_with_its_reason(
    way: Way, recipient: str, sender: str, size: int, code: str
) -> None:
    """What GoMail refuses for good goes back at once, with the enhanced status that fits."""
    raw = b"Subject: no\r\n\r\n" + b"eighteen bytes....\r\n" * (size // 20)
    way.postfix.send(raw, [recipient], sender)
    way.postfix.wait_until_empty()
    [outcome] = way.outcomes()
    assert (outcome.code, outcome.status) == (code, "bounced")
    told = re.search(r": (.+) \(request ([0-9a-f]{32})\)", outcome.text)
    assert told is not None, outcome.text
    [line] = [line for line in way.server.log() if line["request_id"] == told[2]]
    assert (told[1].endswith(line["detail"]), line["recipient"]) == (True, recipient)
    assert way.stored() == []
