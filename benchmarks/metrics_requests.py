"""What counting adds to the application, without a server around it; part of bench_metrics.py.

Two applications that differ in nothing but the recorder take messages in turn, so that whatever
slows the machine down meets both. The median difference of a block of neighbours is one result,
and the median of many is what counting costs. Wall time wouldn't do: one sync takes a thousand
times as long as what is to be measured.

The store in memory shows the difference best, but doesn't count commits. The real one does,
and its noise has to be borne.
"""

import gc
import statistics
import tempfile
import time
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path

from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app import create_app
from app.auth.tokens import TokenKind, make_token
from app.intake.receive import Receiver
from app.metrics.recorder import Recorder
from app.metrics.slot_values import keep_in_slot
from app.ratelimit.limit import Limit
from app.ratelimit.shared_memory import SharedLimiter
from app.ratelimit.token_bucket import token_bucket
from app.services import Services, now
from app.settings import Mail
from app.state.bucket_table import BucketTable
from app.storage.interface import MessageStore
from app.storage.memory import MemoryStore
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

ROUNDS = 60
ROUNDS_ON_DISK = 20
BLOCK = 50
MESSAGE_BYTES = 4096
SHARED_MEMORY = "/dev/shm"
TOKEN = "the-token-of-this-benchmark"
_NUMBERS = count()
_PER_MINUTE = 1_000_000


@dataclass(frozen=True)
class Pair:
    """CPU microseconds of a request without a recorder, and what one adds."""

    bare: float
    added: float


def in_memory() -> list[Pair]:
    """Return what was measured with a store that has no disk."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as slots:
        recorder = new_recorder(slots)
        return pairs(application(MemoryStore(), recorder), application(MemoryStore(), None), ROUNDS)


def on_disk() -> list[Pair]:
    """Return what was measured with the real store in a temporary directory."""
    with (
        tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as slots,
        tempfile.TemporaryDirectory() as directory,
    ):
        recorder = new_recorder(slots)
        counted, bare = Path(directory, "counted"), Path(directory, "bare")
        stores = [sql_store(counted, recorder), sql_store(bare, None)]
        try:
            counted_app, bare_app = application(stores[0], recorder), application(stores[1], None)
            return pairs(counted_app, bare_app, ROUNDS_ON_DISK)
        finally:
            for store in stores:
                store.close()


def new_recorder(directory: str) -> Recorder:
    """Return one with the files of a slot, as a worker has it."""
    keep_in_slot(Path(directory), 0)
    return Recorder()


def sql_store(directory: Path, recorder: Recorder | None) -> MessageStore:
    """Return a new store that counts with `recorder`."""
    create_store(directory).close()
    return SQLiteStore(directory, recorder)


def application(store: MessageStore, recorder: Recorder | None) -> Flask:
    """Return the real application, which refuses none of the messages here."""
    mail = Mail(
        hostname=None,
        primary_domain=None,
        max_message_size=MESSAGE_BYTES,
        blocked_domains=frozenset(),
        allowed_recipient_domains=frozenset(),
    )
    limiter = SharedLimiter(BucketTable(), token_bucket(_PER_MINUTE, _PER_MINUTE))
    return create_app(
        Services(
            store=store,
            receiver=Receiver(store, mail, now, 8),
            tokens=(make_token(TokenKind.BEARER, TOKEN),),
            trusted_proxies=(),
            limit=Limit(limiter, _PER_MINUTE, _PER_MINUTE),
            recorder=recorder,
        )
    )


def pairs(counted: Flask, bare: Flask, rounds: int) -> list[Pair]:
    """Return one pair a round; the first round, which fills caches, is left out."""
    measured = []
    for _ in range(rounds + 1):
        gc.collect()
        gc.disable()  # a collection would hit one of the two, and outweigh the difference
        measured.append(block(counted, bare))
        gc.enable()
    return measured[1:]


def block(counted: Flask, bare: Flask) -> Pair:
    """Return what a request costs both, from a block of neighbours that trade places each time."""
    uploads = [(upload(), upload()) for _ in range(BLOCK)]
    neighbours = []
    for number, (first, second) in enumerate(uploads):
        if number % 2:
            neighbours.append((cost(counted, first), cost(bare, second)))
        else:
            neighbours.append((cost(bare, first), cost(counted, second))[::-1])
    without = statistics.median(cost_bare for _, cost_bare in neighbours)
    return Pair(without, statistics.median(one - other for one, other in neighbours))


def cost(app: Flask, environ: dict[str, object]) -> float:
    """Return the CPU microseconds of one request."""
    started_at = time.process_time()
    _, status, _ = run_wsgi_app(app, environ, buffered=True)
    seconds = time.process_time() - started_at
    if status != "200 OK":
        raise SystemExit(f"A message was answered {status}: the figures are worthless.")
    return seconds * 1_000_000


def upload() -> dict[str, object]:
    """Return a request that delivers a message that nobody has sent before."""
    head = f"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: {next(_NUMBERS)}\r\n\r\n"
    raw = head.encode().ljust(MESSAGE_BYTES, b"x")
    builder = EnvironBuilder(
        "/mail/inbound",
        method="POST",
        headers=[("Authorization", f"Bearer {TOKEN}"), ("Content-Type", "message/rfc822")],
        environ_base={"REMOTE_ADDR": "192.0.2.1"},
        input_stream=BytesIO(raw),
        content_length=len(raw),
    )
    return dict(builder.get_environ())
