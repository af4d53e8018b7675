"""What POST /mail/inbound stores, and what it answers to what it stored."""

import base64
import json
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from support.application import Post
from support.clock import Clock
from support.tokens import TOKEN
from werkzeug.test import TestResponse

from app.storage.interface import MessageStore, Query
from app.storage.message import Envelope, SMTPClient, StoredMessage

RAW = (
    b"From: Ann <ann@example.org>\r\nTo: bob@example.com\r\nSubject: Hi\r\n\r\nB\x00d\xff\n\r.\r\n"
)
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def only(store: MessageStore) -> StoredMessage:
    (stored,) = store.search(Query())
    return stored


def stored_bytes(store: MessageStore) -> bytes:
    return store.read(only(store).message_id)


def as_json(**members: object) -> bytes:
    return json.dumps(members).encode()


def test_the_answer_is_the_receipt(post: Post, store: MessageStore, clock: Clock[datetime]) -> None:
    """200 has exactly the contract's members, and they are those of what was stored."""
    answer = post(RAW)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    document = answer.get_json()
    stored = only(store)
    assert document.keys() == {
        "status",
        "message_id",
        "stored_at",
        "timestamp",
        "request_id",
        "duplicate",
    }
    assert document["status"] == "success"
    assert document["duplicate"] is False
    assert document["message_id"] == stored.message_id
    assert UUID(document["message_id"]).version == 7
    assert datetime.fromisoformat(document["stored_at"]) == stored.received_at
    assert datetime.fromisoformat(document["timestamp"]).utcoffset() == timedelta(0)
    assert document["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("path", ["/mail/inbound", "/email"])
@pytest.mark.parametrize("token", [TOKEN, "old-token"])
def test_both_paths_and_all_tokens_take_mail(
    client: FlaskClient, store: MessageStore, path: str, token: str
) -> None:
    """The older path does the same, and each configured token is as good as another."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"}
    assert client.post(path, data=RAW, headers=headers).status_code == 200
    assert stored_bytes(store) == RAW


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("message/rfc822", RAW),
        ("Message/RFC822; charset=x", RAW),
        ("", RAW),
        (FORM, RAW),
        (JSON, as_json(raw_base64=base64.b64encode(RAW).decode())),
        ("application/json; charset=utf-8", as_json(raw_base64=base64.b64encode(RAW).decode())),
        (FORM, as_json(raw_base64=base64.encodebytes(RAW).decode())),
        ("", b" \r\n\t" + as_json(raw_base64=base64.b64encode(RAW).decode())),
    ],
)
def test_every_kind_of_body_is_stored_byte_for_byte(
    post: Post, store: MessageStore, content_type: str, body: bytes
) -> None:
    """Raw, JSON and undeclared bodies: stored bytes equal the message's, and so is the listing."""
    assert post(body, Content_Type=content_type).status_code == 200
    assert stored_bytes(store) == RAW
    assert only(store).envelope == Envelope("ann@example.org", "bob@example.com")
    assert (only(store).subject, only(store).size) == ("Hi", len(RAW))


def test_raw_text_is_stored_in_utf_8(post: Post, store: MessageStore) -> None:
    """The JSON field `raw` is a whole message as text."""
    raw = "From: a@example.org\nTo: bob@example.com\nSubject: Grüße\n\nB"
    assert post(as_json(raw=raw), Content_Type=JSON).status_code == 200
    assert stored_bytes(store) == raw.encode()


def test_a_declared_raw_message_may_begin_with_a_brace(post: Post) -> None:
    """message/rfc822 is never taken for JSON."""
    answer = post(as_json(sender="a@b.c", recipient="bob@example.com"))
    assert answer.get_json()["code"] == "message_rejected"


def test_a_message_is_composed_of_parts(post: Post, store: MessageStore) -> None:
    """Without a raw message, subject and body make one that says what they said."""
    parts = {"from": "a@example.org", "to": "bob@example.com", "subject": "Hi", "body": "Text"}
    assert post(as_json(**parts), Content_Type=FORM).status_code == 200
    raw = stored_bytes(store)
    assert b"\r\nFrom: a@example.org\r\nTo: bob@example.com\r\nSubject: Hi\r\n" in raw
    assert raw.endswith(b"\r\n\r\nText\r\n")
    assert b"@mx.example.com>\r\n" in raw
    assert (only(store).subject, only(store).size) == ("Hi", len(raw))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (RAW, {"X_Original_Recipient": "'bob@example.com'"}),
        (RAW, {"X_Original_Recipient": "<bob@EXAMPLE.com.>"}),
        (b"\xef\xbb\xbf" + RAW, {}),
        (b"\r\n" + RAW, {}),
        (b"From x@y Mon Mar  2 12:00:00 2026\n" + RAW, {}),
        (RAW, {"Content_Type": "message/global"}),
        (b"From: Ann; Doe <ann@example.org>\nTo: bob@example.com; x@example.com\n\n", {}),
        (b"Subject: From: us To: you", {"X_Original_Recipient": "bob@example.com"}),
    ],
)
def test_what_real_mail_looks_like_is_accepted(
    post: Post, store: MessageStore, body: bytes, headers: dict[str, str]
) -> None:
    """Quotes of Outlook, byte order marks, mbox lines, semicolons: stored as they came."""
    sender = {"X_Original_Sender": "ann@example.org"}
    assert post(body, **sender | headers).status_code == 200
    assert stored_bytes(store) == body


def test_all_that_json_sends_is_in_the_message(post: Post, store: MessageStore) -> None:
    """A 200 means that every member was kept; other HTML is another message."""
    attachment = {"content_base64": "AP8=", "filename": "a.bin", "content_type": "image/x-test"}
    parts = {"from": "Ann <a@example.org>", "to": "bob@example.com", "subject": "Invoice"}
    for number in ("1", "2"):
        body = as_json(**parts, html=f"<p>{number}</p>", attachments=[attachment])
        answer = post(b"\xef\xbb\xbf" + body, Content_Type=JSON)
        assert (answer.status_code, answer.get_json()["duplicate"]) == (200, False)
        raw = store.read(answer.get_json()["message_id"])
        for kept in (f"<p>{number}</p>".encode(), b"AP8=", b"a.bin", b"image/x-test", b"Invoice"):
            assert kept in raw


def test_the_shortest_curl_line_works(post: Post, store: MessageStore) -> None:
    """Sender and recipient alone, with curl's own content type, are a message."""
    body = b'{"from":"test@example.com","to":"dest@example.com"}'
    assert post(body, Content_Type=FORM).status_code == 200
    assert only(store).envelope == Envelope("test@example.com", "dest@example.com")


def test_every_envelope_header_is_kept(post: Post, store: MessageStore) -> None:
    """What the relay says about the message is stored, and goes before the message's own head."""
    answer = post(
        RAW,
        X_Original_Sender="<relay@example.net>",
        X_Original_Recipient="carl@example.com",
        X_Original_Client_Address="192.0.2.1",
        X_Original_Client_Hostname="client.example",
        X_Original_Helo="helo.example",
        X_Original_Mail_From="mail@example.net",
        X_Original_Queue_Id="4TBk1z0qZxz",
    )
    assert answer.status_code == 200
    assert only(store).envelope == Envelope(
        "relay@example.net",
        "carl@example.com",
        SMTPClient("192.0.2.1", "client.example", "helo.example"),
        "mail@example.net",
        "4TBk1z0qZxz",
    )
    assert stored_bytes(store) == RAW


def test_the_connection_may_be_in_the_json(post: Post, store: MessageStore) -> None:
    """A client without headers gives the connection in the body."""
    connection = {"client_address": "2001:db8::1", "client_hostname": "h", "client_helo": "e"}
    body = as_json(sender="a@b.c", recipient="bob@example.com", connection=connection)
    assert post(body, Content_Type=JSON).status_code == 200
    assert only(store).envelope.connection == SMTPClient("2001:db8::1", "h", "e")


@pytest.mark.parametrize("sender", ["", "<>"])
def test_a_bounce_is_taken(post: Post, store: MessageStore, sender: str) -> None:
    """A present but empty sender is the null sender, whatever From says."""
    assert post(RAW, X_Original_Sender=sender).status_code == 200
    assert only(store).envelope.sender == ""


def test_a_bounce_in_json_is_taken(post: Post, store: MessageStore) -> None:
    """An empty sender in the JSON body is the null sender as well."""
    assert post(as_json(sender="", to="bob@example.com"), Content_Type=JSON).status_code == 200
    assert only(store).envelope.sender == ""
    assert b"From: MAILER-DAEMON@mx.example.com\r\n" in stored_bytes(store)


def test_international_addresses_come_in_utf_8(post: Post, store: MessageStore) -> None:
    """A header in UTF-8, as RFC 6531 has it, is the address that was meant."""
    recipient = "jürgen@bücher.example"
    assert post(RAW, X_Original_Recipient=recipient.encode().decode("latin-1")).status_code == 200
    assert only(store).envelope.recipient == recipient


def test_a_message_of_exactly_the_limit_is_stored(post: Post, store: MessageStore) -> None:
    """max_message_size is the largest message that is taken, raw and in JSON."""
    raw = RAW.ljust(2_000_000, b"x")
    assert post(raw).status_code == 200
    assert stored_bytes(store) == raw
    body = as_json(raw_base64=base64.b64encode(raw).decode())
    assert post(body, Content_Type=JSON).get_json()["duplicate"] is True


def test_a_chunked_body_is_stored(client: FlaskClient, store: MessageStore) -> None:
    """Without a Content-Length the body ends where the stream does."""
    answer = client.post(
        "/mail/inbound",
        data=RAW,
        headers={
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "message/rfc822",
            "Transfer-Encoding": "Chunked",
        },
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 200
    assert stored_bytes(store) == RAW


class TestRepeats:
    """Two arrivals of one message for one recipient: stored once, told so the second time."""

    @staticmethod
    def is_duplicate(first: TestResponse, second: TestResponse) -> bool:
        """Tell which of both it was, and check that the answers agree with it."""
        assert (first.status_code, second.status_code) == (200, 200)
        one, two = first.get_json(), second.get_json()
        assert one["duplicate"] is False
        assert (one["message_id"] == two["message_id"]) == two["duplicate"]
        assert not two["duplicate"] or one["stored_at"] == two["stored_at"]
        return bool(two["duplicate"])

    def test_same_bytes_and_envelope(self, post: Post, store: MessageStore) -> None:
        """Sender, recipient and bytes are enough."""
        assert self.is_duplicate(post(RAW), post(RAW))
        assert store.count(Query()) == 1

    def test_a_repeat_keeps_the_first_time(self, post: Post, clock: Clock[datetime]) -> None:
        """`stored_at` is the first arrival's, an hour later too."""
        first = post(RAW)
        clock.now += timedelta(hours=1)
        assert self.is_duplicate(first, post(RAW))

    @pytest.mark.parametrize(
        "headers",
        [
            {"X_Original_Recipient": "carl@example.com"},
            {"X_Original_Sender": "other@example.org"},
            {"X_Original_Sender": ""},
        ],
    )
    def test_another_envelope(
        self, post: Post, store: MessageStore, headers: dict[str, str]
    ) -> None:
        """The same bytes for somebody else, or from somebody else, are another message."""
        assert not self.is_duplicate(post(RAW), post(RAW, **headers))
        assert store.count(Query()) == 2

    def test_other_bytes(self, post: Post, store: MessageStore) -> None:
        """One byte more is another message."""
        assert not self.is_duplicate(post(RAW), post(RAW + b"."))
        assert store.count(Query()) == 2

    def test_the_queue_id_counts_and_not_the_bytes(self, post: Post, store: MessageStore) -> None:
        """A relay that adds a header at its second try sends the same message."""
        assert self.is_duplicate(
            post(RAW, X_Original_Queue_Id="A1"), post(b"X: y\r\n" + RAW, X_Original_Queue_Id="A1")
        )
        assert stored_bytes(store) == RAW

    def test_a_queue_id_has_several_recipients(self, post: Post) -> None:
        """One queue file for two recipients is two messages, and another queue file a third."""
        first = post(RAW, X_Original_Queue_Id="A1")
        other = post(RAW, X_Original_Queue_Id="A1", X_Original_Recipient="carl@example.com")
        assert not self.is_duplicate(first, other)
        assert not self.is_duplicate(first, post(RAW, X_Original_Queue_Id="A2"))

    def test_the_clients_key_prevails(self, post: Post, store: MessageStore) -> None:
        """Idempotency-Key goes before the queue id and the bytes, both ways."""
        first = post(RAW, Idempotency_Key="k1", X_Original_Queue_Id="A1")
        assert self.is_duplicate(first, post(RAW + b".", Idempotency_Key="k1"))
        second = post(RAW, Idempotency_Key="k2", X_Original_Queue_Id="A1")
        assert not self.is_duplicate(first, second)
        assert store.count(Query()) == 2

    def test_a_client_key_is_for_one_recipient(self, post: Post) -> None:
        """The same key for another recipient is another message: none may be lost."""
        first = post(RAW, Idempotency_Key="k")
        other = post(RAW, Idempotency_Key="k", X_Original_Recipient="carl@example.com")
        assert not self.is_duplicate(first, other)

    def test_keys_that_are_not_utf_8_stay_apart(self, post: Post, store: MessageStore) -> None:
        """A byte is not the text that shows it, nor another byte."""
        keys = ["a\xff", "a\\xff", "a\xfe"]  # as WSGI gives bytes
        for key in keys:
            answers = [post(RAW + key.encode("utf-8"), Idempotency_Key=key) for _ in range(2)]
            assert [answer.get_json()["duplicate"] for answer in answers] == [False, True]
        assert store.count(Query()) == len(keys)

    def test_parts_posted_twice(
        self, post: Post, store: MessageStore, clock: Clock[datetime]
    ) -> None:
        """A composed message is the same an hour later, though its Date would differ."""
        body = as_json(sender="a@b.c", to="bob@example.com", subject="Hi", body="Text")
        first = post(body, Content_Type=JSON)
        clock.now += timedelta(hours=1)
        assert self.is_duplicate(first, post(body, Content_Type=JSON))
        assert store.count(Query()) == 1

    def test_other_parts(self, post: Post) -> None:
        """Another text makes another message."""
        parts = {"sender": "a@b.c", "to": "bob@example.com", "subject": "Hi"}
        first = post(as_json(**parts, body="1"), Content_Type=JSON)
        assert not self.is_duplicate(first, post(as_json(**parts, body="2"), Content_Type=JSON))

    def test_kinds_of_body(self, post: Post) -> None:
        """The same message raw, then in JSON, is a repeat."""
        body = as_json(raw_base64=base64.b64encode(RAW).decode())
        assert self.is_duplicate(post(RAW), post(body, Content_Type=JSON))


def test_utf8_in_the_head_is_read(post: Post, store: MessageStore) -> None:
    """Internationalised mail (RFC 6532) keeps its addresses and its subject."""
    raw = "From: j\u00f6rg@example.org\nTo: z\u00f6e@example.com\nSubject: Gr\u00fc\u00dfe\n\nx"
    assert post(raw.encode()).status_code == 200
    stored = only(store)
    assert stored.envelope.sender == "j\u00f6rg@example.org"
    assert stored.envelope.recipient == "z\u00f6e@example.com"
    assert stored.subject == "Gr\u00fc\u00dfe"


@pytest.mark.parametrize("name", ["X_Original_Sender", "X_Original_Recipient"])
def test_an_address_that_is_not_utf8_is_refused(post: Post, name: str) -> None:
    """Nothing that stands for its bytes could be told from an address that has that."""
    answer = post(RAW, **{name: '"\xff"@example.com'})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "message_rejected")
    assert post(RAW, **{name: r'"\xff"@example.com'}).status_code == 200


def test_headers_that_differ_in_8_bit_bytes_differ(post: Post, store: MessageStore) -> None:
    """Two keys that aren't UTF-8 are still two keys: no second message is lost."""
    for number, key in enumerate(("k\xf6", "k\xe4")):
        answer = post(RAW + bytes([number]), Idempotency_Key=key)
        assert answer.get_json()["duplicate"] is False
    assert store.count(Query()) == 2
