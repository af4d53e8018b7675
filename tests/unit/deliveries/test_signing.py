"""Signatures are those of Standard Webhooks, of any bytes."""

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError
from support.sending import SECRET

from app.deliveries.signing import signed, webhook_id

ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = datetime.fromtimestamp(1614265330, tz=UTC)
BODY = b'{"test": 2432232314}'
KEYS = st.binary(min_size=24, max_size=64).map(lambda key: "whsec_" + b64encode(key).decode())


def test_the_vector_of_the_specification() -> None:
    """Its secret, id, time and body give its signature."""
    assert signed(ID, AT, BODY, [SECRET]) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(KEYS, st.text(), st.floats(1, 4e9).map(lambda at: datetime.fromtimestamp(at, UTC)))
def test_the_library_signs_the_same(secret: str, text: str, at: datetime) -> None:
    """Whatever the secret, the text and the time, of which it counts whole seconds."""
    text = text.encode("utf-8", "replace").decode()
    headers = signed(ID, at, text.encode(), [secret])
    assert headers["webhook-signature"] == Webhook(secret).sign(ID, at, text)


def test_each_secret_is_enough_to_verify() -> None:
    """The official library accepts the request with either, and with no other."""
    old, new, other = ("whsec_" + b64encode(bytes([n]) * 24).decode() for n in range(3))
    headers = dict(signed(ID, datetime.now(UTC), BODY, [old, new]))
    for secret in (old, new):
        assert Webhook(secret).verify(BODY, headers) == {"test": 2432232314}
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(BODY + b" ", headers)


def test_a_secret_without_its_padding_is_the_same() -> None:
    """As with the library."""
    padded = "whsec_" + b64encode(b"k" * 25).decode()
    assert padded.endswith("=")
    assert signed(ID, AT, BODY, [padded]) == signed(ID, AT, BODY, [padded.rstrip("=")])


def test_bytes_that_are_no_text_are_signed() -> None:
    """Raw mail has them; two messages that differ in one have different signatures."""
    one, other = (signed(ID, AT, raw, [SECRET]) for raw in (b"\xff\x00", b"\xfe\x00"))
    assert one != other


def test_the_id_is_that_of_the_message() -> None:
    """It has no dot, which ends it in what is signed."""
    assert webhook_id("019ca945-0a01-7b76-84b5-b2a9a8215155") == (
        "msg_019ca945-0a01-7b76-84b5-b2a9a8215155"
    )
