"""The way of a message: read, parse, decide, store.

HTTP lies behind it (app.web.inbound), durability before it (app.storage).
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import chain
from queue import SimpleQueue

from app.compose import DEFAULT_HOSTNAME, compose, content_digest
from app.decide import decide
from app.envelope import complete, merge
from app.errors import MessageTooLarge
from app.json_mail import JSONMail, decode_json_mail
from app.message_id import new_message_id
from app.model import Envelope, Message, PartialEnvelope, Receipt
from app.parse import Head, parse_head
from app.read import Stream, read_chunks
from app.settings.model import Mail
from app.storage.base import MessageStore
from app.storage.body import Body

JSON_OVERHEAD_BYTES = 64 * 1024


class BodyKind(Enum):
    """What the client says it sends; UNDECLARED is JSON if it begins with a brace."""

    RAW = "raw"
    JSON = "json"
    UNDECLARED = "undeclared"


@dataclass(frozen=True)
class Upload:
    """One request, as far as the way of a message is concerned.

    `content_length` is in bytes, None for a chunked body. `is_late` tells whether the server
    has ended the reading because the client's time is up.
    """

    stream: Stream
    content_length: int | None
    kind: BodyKind
    envelope: PartialEnvelope
    idempotency_key: str | None = None
    is_late: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Received:
    """What became of an upload; `processing_seconds` are those since its last byte."""

    receipt: Receipt
    envelope: Envelope
    size: int
    processing_seconds: float


class Receiver:
    """Takes uploads in; every message it answers for is durable in `store`."""

    def __init__(
        self, store: MessageStore, settings: Mail, clock: Callable[[], datetime], at_once: int
    ) -> None:
        """`clock` returns the time of day as an aware datetime.

        `at_once` messages are checked at the same time; any number may be on their way in, or wait
        for the disk.
        """
        self._store = store
        self._settings = settings
        self._clock = clock
        self._free_turns: SimpleQueue[None] = SimpleQueue()  # threading.Semaphore is slow
        for _ in range(at_once):
            self._free_turns.put(None)

    def receive(self, upload: Upload) -> Received:
        """Take one message in; raises an error of app.errors, and then nothing was stored."""
        limit = self._settings.max_message_size
        # Base64 makes four bytes of three.
        largest = limit if upload.kind is BodyKind.RAW else limit * 4 // 3 + JSON_OVERHEAD_BYTES
        chunks = read_chunks(upload.stream, upload.content_length, largest, upload.is_late)
        first = _beginning(chunks) if upload.kind is BodyKind.UNDECLARED else next(chunks, b"")
        body = self._store.new_body()
        try:
            if _is_json(upload.kind, first):
                data = b"".join(chain([first], chunks))
                body.arrived_at = time.perf_counter()
                message = self._in_turn(lambda: self._check_json(upload, data, body))
            else:
                _refuse_announced(upload, limit)
                self._fill(body, chain([first], chunks))
                body.arrived_at = time.perf_counter()
                message = self._in_turn(
                    lambda: self._check_raw(upload.envelope, upload.idempotency_key, body)
                )
            return self._store_message(message, body)
        finally:
            body.discard()

    def _in_turn(self, check: Callable[[], Message]) -> Message:
        self._free_turns.get()
        try:
            return check()
        finally:
            self._free_turns.put(None)

    def _check_json(self, upload: Upload, data: bytes, body: Body) -> Message:
        mail = decode_json_mail(data)
        given = merge(upload.envelope, mail.envelope)
        if mail.raw is not None:
            self._fill(body, [mail.raw])
            return self._check_raw(given, upload.idempotency_key, body)
        return self._check_parts(given, mail, upload.idempotency_key, body)

    def _check_raw(self, given: PartialEnvelope, client_key: str | None, body: Body) -> Message:
        head = parse_head(body.head, is_whole=len(body.head) == body.size)
        envelope = complete(given, head)
        key = _idempotency_key(client_key, envelope, body.sha256())
        return self._decide(envelope, head.subject, key)

    def _check_parts(
        self, given: PartialEnvelope, mail: JSONMail, client_key: str | None, body: Body
    ) -> Message:
        envelope = complete(given, Head(subject=mail.subject))
        hostname = self._settings.hostname or DEFAULT_HOSTNAME
        raw = compose(envelope, mail.subject, mail.text, self._clock(), hostname)
        self._fill(body, [raw])
        # The Date of a composed message differs each time, so its bytes can't tell a repeat.
        digest = content_digest(envelope, mail.subject, mail.text)
        key = _idempotency_key(client_key, envelope, digest)
        return self._decide(envelope, mail.subject, key)

    def _fill(self, body: Body, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            body.write(chunk)
            if body.size > self._settings.max_message_size:
                raise MessageTooLarge(self._settings.max_message_size)

    def _decide(self, envelope: Envelope, subject: str, key: str) -> Message:
        decide(envelope, self._settings.blocked_domains, self._settings.allowed_recipient_domains)
        received_at = self._clock()
        return Message(new_message_id(received_at), received_at, envelope, subject, key)

    def _store_message(self, message: Message, body: Body) -> Received:
        size, arrived_at = body.size, body.arrived_at
        receipt = self._store.add(message, body)
        return Received(receipt, message.envelope, size, time.perf_counter() - arrived_at)


def _beginning(chunks: Iterator[bytes]) -> bytes:
    """Return what has arrived once there is more than white space, or no more to come."""
    arrived: list[bytes] = []
    for chunk in chunks:
        arrived.append(chunk)
        if not chunk.isspace():
            break
    return b"".join(arrived)


def _is_json(kind: BodyKind, first: bytes) -> bool:
    if kind is BodyKind.UNDECLARED:
        return first.lstrip().startswith(b"{")
    return kind is BodyKind.JSON


def _refuse_announced(upload: Upload, limit: int) -> None:
    if upload.content_length is not None and upload.content_length > limit:
        raise MessageTooLarge(limit)


def _idempotency_key(client_key: str | None, envelope: Envelope, content: bytes) -> str:
    """Return what two arrivals of the same message for the same recipient have in common."""
    if client_key is not None:
        parts = ["idempotency-key", client_key, envelope.recipient]
    elif envelope.queue_id is not None:
        parts = ["queue-id", envelope.queue_id, envelope.recipient]
    else:
        parts = ["content", envelope.sender, envelope.recipient, content.hex()]
    # NUL can't be part of any of them, so different parts never make the same text.
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
