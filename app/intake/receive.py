"""The path of an incoming message: read, decode, check, store.

HTTP comes before it (app.web.inbound), durable storage after it (app.storage).
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import Enum
from itertools import chain
from typing import NamedTuple

from app.byte_budget import ByteBudget
from app.errors import MessageTooLarge
from app.intake.bounds import check_bounds
from app.intake.envelope import complete, with_originals_of
from app.intake.headers import parse_head
from app.intake.partial_message import PartialMessage
from app.intake.policy import check_policy
from app.intake.read import CHUNK_BYTES, Stream, read_chunks
from app.intake.submission import Composed, from_json, refuse_joined_lines
from app.intake.turns import Turns
from app.mime.head import BOM
from app.settings.model import Mail
from app.storage.body import Body
from app.storage.ids import new_message_id
from app.storage.interface import MessageStore
from app.storage.message import Envelope, Message, Receipt

JSON_OVERHEAD_BYTES = 64 * 1024
JSON_AT_ONCE_BYTES = 64 * 1024 * 1024
"""Per worker. A body of 24 MiB with an emoji in it takes 210 MB while it is decoded."""


class BodyKind(Enum):
    """What the client says it is sending; UNDECLARED is JSON if it begins with a brace."""

    RAW = "raw"
    JSON = "json"
    UNDECLARED = "undeclared"


class Upload(NamedTuple):
    """One request, reduced to what receiving a message needs.

    `content_length` is in bytes, None for a chunked body. `partial` is what the request's head says
    about the message, and learns the rest. `is_late` returns whether the server has stopped reading
    because the client's time is up.
    """

    stream: Stream
    content_length: int | None
    kind: BodyKind
    partial: PartialMessage
    idempotency_key: str | None = None
    is_late: Callable[[], bool] = lambda: False


class Received(NamedTuple):
    """The result of an upload; `processing_seconds` counts from its last byte.

    `is_unrouted` is true if endpoints are configured and the message matches none of them.
    """

    receipt: Receipt
    envelope: Envelope
    size: int
    processing_seconds: float
    is_unrouted: bool = False


class Receiver:
    """Receives uploads; every message that it returns a receipt for is durable in `store`."""

    def __init__(
        self,
        store: MessageStore,
        settings: Mail,
        clock: Callable[[], datetime],
        at_once: int,
        endpoints_for: Callable[[str], tuple[str, ...]] | None = None,
    ) -> None:
        """`clock` returns the current time as an aware datetime.

        At most `at_once` messages are checked at the same time; any number may be arriving, or
        waiting for the disk. `endpoints_for` returns the names of a recipient's endpoints; it is
        None if no endpoint is configured.
        """
        self._store = store
        self._settings = settings
        self._clock = clock
        self._endpoints_for = endpoints_for
        self._json_budget = ByteBudget(JSON_AT_ONCE_BYTES)
        self._turns = Turns(at_once)

    def receive(self, upload: Upload) -> Received:
        """Receive one message; raises an error of app.errors, and then nothing was stored."""
        with self._store.new_body() as body:
            is_json = self._read(upload, body)
            upload.partial.size = body.size
            arrived_at = time.perf_counter()
            if not is_json:
                return self._take(upload, body, None, arrived_at)
            with self._store.new_body() as decoded:
                composed = self._decode(upload, body, decoded)
                return self._take(upload, decoded, composed, arrived_at)

    def _take(
        self, upload: Upload, body: Body, composed: Composed | None, arrived_at: float
    ) -> Received:
        """Check and store the raw message in `body`."""
        with self._turns:
            message = self._check(upload, body, composed)
        size = body.size
        receipt = self._store.add(message, body)
        seconds = time.perf_counter() - arrived_at
        is_unrouted = self._endpoints_for is not None and not message.endpoints
        return Received(receipt, message.envelope, size, seconds, is_unrouted)

    def _read(self, upload: Upload, body: Body) -> bool:
        """Read a raw message, or JSON, into `body`; return whether it is JSON."""
        limit = self._settings.max_message_size
        # Base64 turns three bytes into four.
        largest = limit if upload.kind is BodyKind.RAW else limit * 4 // 3 + JSON_OVERHEAD_BYTES
        chunks = read_chunks(upload.stream, upload.content_length, largest, upload.is_late)
        first = _beginning(chunks) if upload.kind is BodyKind.UNDECLARED else next(chunks, b"")
        if _is_json(upload.kind, first):
            for chunk in chain([first], chunks):
                body.write(chunk)
            return True
        if upload.content_length is not None and upload.content_length > limit:
            raise MessageTooLarge(limit)
        self._fill(body, chain([first], chunks))
        if upload.kind is BodyKind.UNDECLARED:
            refuse_joined_lines(body.head)
        return False

    def _decode(self, upload: Upload, json: Body, body: Body) -> Composed | None:
        """Turn `json` into a raw message in `body`; return what identifies it."""
        # While it waits for its turn, a large body is on disk: so memory is bounded, whatever
        # clients send at the same time.
        with self._json_budget.taken(json.size), self._turns:
            hostname, now = self._settings.hostname, self._clock()
            raw, composed = from_json(json.content(), upload.partial, hostname, now)
            json.discard()
            self._fill(body, [raw])
        return composed

    def _fill(self, body: Body, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            body.write(chunk)
            if body.size > self._settings.max_message_size:
                raise MessageTooLarge(self._settings.max_message_size)

    def _check(self, upload: Upload, body: Body, composed: Composed | None) -> Message:
        settings, partial = self._settings, upload.partial
        head = partial.head = parse_head(body.head, is_whole=len(body.head) == body.size)
        queue_id = partial.envelope.queue_id  # not the message's own: it may say what it likes
        if composed is None:
            partial.envelope = with_originals_of(head, partial.envelope)
            check_bounds(partial.envelope)
            envelope, content = complete(partial.envelope, head), body.sha256()
        else:
            envelope, content = composed.envelope, composed.digest
        check_policy(envelope, settings.blocked_domains, settings.allowed_recipient_domains)
        key = _idempotency_key(upload.idempotency_key, queue_id, envelope, content)
        received_at = self._clock()
        message_id, subject = new_message_id(received_at), head.subject
        endpoints = self._endpoints_for(envelope.recipient) if self._endpoints_for else ()
        return Message(message_id, received_at, envelope, subject, key, endpoints)


def _beginning(chunks: Iterator[bytes]) -> bytes:
    """Return what has arrived once it tells JSON from a raw message, or is too much to wait on."""
    arrived = b""
    for chunk in chunks:
        arrived += chunk
        is_undecided = BOM.startswith(arrived) or not arrived.removeprefix(BOM).strip()
        if not is_undecided or len(arrived) > CHUNK_BYTES:
            break
    return arrived


def _is_json(kind: BodyKind, first: bytes) -> bool:
    if kind is BodyKind.UNDECLARED:
        return first.removeprefix(BOM).lstrip().startswith(b"{")
    return kind is BodyKind.JSON


def _idempotency_key(
    client_key: str | None, queue_id: str | None, envelope: Envelope, content: bytes
) -> str:
    """Return the key that two arrivals of the same message for the same recipient share."""
    if client_key is not None:
        parts = ["idempotency-key", client_key, envelope.recipient]
    elif queue_id is not None:
        parts = ["queue-id", queue_id, envelope.recipient]
    else:
        parts = ["content", envelope.sender, envelope.recipient, content.hex()]
    # None of them can contain NUL, so different parts never produce the same text.
    # What a client's key has besides UTF-8 comes as surrogates.
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
