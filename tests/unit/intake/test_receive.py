from datetime import UTC, datetime
from io import BytesIO

import pytest

from app.errors import BadRequest, MessageRejected, MessageTooLarge, PolicyReject
from app.intake.envelope import PartialEnvelope
from app.intake.partial_message import PartialMessage
from app.intake.read import CHUNK_BYTES
from app.intake.receive import JSON_OVERHEAD_BYTES, BodyKind, Receiver, Upload
from app.settings import Mail
from app.storage.body import Body
from app.storage.interface import Query
from app.storage.memory import MemoryStore
from app.storage.message import Message, Receipt

LIMIT = 10 * CHUNK_BYTES
AT = datetime(2026, 3, 1, tzinfo=UTC)
RAW = b"From: ann@example.com\nTo: bob@example.com\nSubject: Hi\n\n"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def receiver(store: MemoryStore) -> Receiver:
    return Receiver(store, Mail(None, None, LIMIT, frozenset(), frozenset()), lambda: AT, at_once=1)


def upload(stream: BytesIO, length: int | None, kind: BodyKind = BodyKind.RAW) -> Upload:
    return Upload(stream, length, kind, PartialMessage(PartialEnvelope()))


@pytest.mark.parametrize(
    ("kind", "announced", "read"),
    [
        (BodyKind.RAW, LIMIT + 1, 0),
        (BodyKind.UNDECLARED, LIMIT + 1, CHUNK_BYTES),
        (BodyKind.UNDECLARED, LIMIT * 2, 0),
        (BodyKind.JSON, LIMIT * 4 // 3 + JSON_OVERHEAD_BYTES + 1, 0),
    ],
)
def test_what_is_announced_too_large_is_not_read(
    receiver: Receiver, store: MemoryStore, kind: BodyKind, announced: int, read: int
) -> None:
    """Content-Length decides; only to tell raw from JSON is a first piece looked at."""
    stream = BytesIO(RAW.ljust(announced, b"x"))
    with pytest.raises(MessageTooLarge):
        receiver.receive(upload(stream, announced, kind))
    assert stream.tell() == read
    assert store.count(Query()) == 0


class Pieces:
    """A stream of which each read returns one piece."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)

    def read(self, _size: int, /) -> bytes:
        """Return the next one."""
        return next(self._pieces, b"")


@pytest.mark.parametrize(
    "pieces",
    [
        (b"\n ", b"%b"),
        (b" ", b"\r\n", b"\t %b"),
        (b" %b",),
        (b"\xef\xbb\xbf", b"%b"),
        (b"\xef\xbb\xbf\n", b" %b"),
        (b"\xef", b"\xbb", b"\xbf ", b"%b"),
    ],
)
def test_json_is_known_by_its_first_byte_that_is_not_white_space(
    receiver: Receiver, store: MemoryStore, pieces: tuple[bytes, ...]
) -> None:
    """However the white space before it arrives, or a byte order mark."""
    parts = b'{"sender":"ann@example.com","to":"bob@example.com","subject":"Hi","body":""}'
    stream = Pieces(*(piece.replace(b"%b", parts) for piece in pieces))
    receiver.receive(Upload(stream, None, BodyKind.UNDECLARED, PartialMessage(PartialEnvelope())))
    assert [stored.subject for stored in store.search(Query())] == ["Hi"]


@pytest.mark.parametrize("pieces", [(), (b" ",), (b"\n", b"\n")])
def test_white_space_alone_is_no_message(receiver: Receiver, pieces: tuple[bytes, ...]) -> None:
    """There is nothing to wait for behind it."""
    partial = PartialMessage(PartialEnvelope())
    with pytest.raises(MessageRejected):
        receiver.receive(Upload(Pieces(*pieces), None, BodyKind.UNDECLARED, partial))


def test_white_space_is_not_collected_without_end(receiver: Receiver) -> None:
    """What begins with more of it than a piece is no JSON; the rest isn't held in memory."""
    stream = BytesIO(b" " * (LIMIT + JSON_OVERHEAD_BYTES))
    partial = PartialMessage(PartialEnvelope())
    with pytest.raises(MessageTooLarge):
        receiver.receive(Upload(stream, LIMIT + 1, BodyKind.UNDECLARED, partial))
    assert stream.tell() <= 2 * CHUNK_BYTES


@pytest.mark.parametrize(
    ("name", "text"), [("Queue-Id", "x" * 256), ("Helo", "x" * 1025), ("Mail-From", "x" * 1001)]
)
def test_an_envelope_in_the_message_has_the_same_bounds(
    receiver: Receiver, store: MemoryStore, name: str, text: str
) -> None:
    """Its texts are kept in the row as well."""
    fields = f"X-Original-Recipient: bob@example.com\nX-Original-{name}: {text}\n".encode()
    with pytest.raises(BadRequest):
        receiver.receive(upload(BytesIO(fields + RAW), None))
    assert store.count(Query()) == 0


def test_a_refusal_names_whom_the_envelope_in_the_message_names() -> None:
    """Not From and To, which say something else."""
    blocked = Mail(None, None, LIMIT, frozenset({"spam.example"}), frozenset())
    fields = b"X-Original-Sender: x@spam.example\nX-Original-Recipient: carl@example.com\n"
    refused = upload(BytesIO(fields + RAW), None)
    with pytest.raises(PolicyReject):
        Receiver(MemoryStore(), blocked, lambda: AT, at_once=1).receive(refused)
    assert (refused.partial.sender, refused.partial.recipient) == (
        "x@spam.example",
        "carl@example.com",
    )


def test_what_was_received_is_told(receiver: Receiver, store: MemoryStore) -> None:
    """Receipt, envelope and size are those of the stored message, at the time of the clock."""
    received = receiver.receive(upload(BytesIO(RAW), len(RAW)))
    (stored,) = store.search(Query())
    assert received.receipt.message_id == stored.message_id
    assert received.receipt.stored_at == stored.received_at == AT
    assert (received.envelope, received.size) == (stored.envelope, len(RAW))
    assert store.read(stored.message_id) == RAW


def test_a_head_without_an_end_is_refused(receiver: Receiver, store: MemoryStore) -> None:
    """When more than the head's bound came and no empty line, this is no message."""
    raw = b"From: ann@example.com\nTo: bob@example.com\nX: ".ljust(LIMIT, b"x")
    with pytest.raises(MessageRejected, match="doesn't end"):
        receiver.receive(upload(BytesIO(raw), None))
    assert store.count(Query()) == 0


class Added(MemoryStore):
    """A store that remembers which messages it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def add(self, message: Message, body: Body) -> Receipt:
        """Store it like any other."""
        self.messages.append(message)
        return super().add(message, body)


@pytest.mark.parametrize(
    ("recipient", "endpoints", "is_unrouted"),
    [("bob@example.com", ("all", "bob"), False), ("carl@example.com", (), True)],
)
def test_a_message_is_stored_with_its_endpoints(
    recipient: str, endpoints: tuple[str, ...], is_unrouted: bool
) -> None:
    """Those of its envelope's recipient, whatever To says; one without any is told as such."""
    store, mail = Added(), Mail(None, None, LIMIT, frozenset(), frozenset())
    known = {"bob@example.com": ("all", "bob")}
    receiver = Receiver(store, mail, lambda: AT, 1, lambda address: known.get(address, ()))
    given = PartialEnvelope(sender="ann@example.com", recipient=recipient)
    received = receiver.receive(Upload(BytesIO(RAW), None, BodyKind.RAW, PartialMessage(given)))
    assert [message.endpoints for message in store.messages] == [endpoints]
    assert received.is_unrouted is is_unrouted


def test_without_endpoints_no_message_is_unrouted() -> None:
    """Who reads by the API misses nothing."""
    store, mail = Added(), Mail(None, None, LIMIT, frozenset(), frozenset())
    received = Receiver(store, mail, lambda: AT, 1).receive(upload(BytesIO(RAW), None))
    assert [message.endpoints for message in store.messages] == [()]
    assert not received.is_unrouted
