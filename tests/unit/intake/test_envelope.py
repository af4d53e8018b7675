from typing import Any

import pytest

from app.errors import BadRequest, FieldFault, MessageRejected
from app.intake.envelope import PartialEnvelope, complete, merge
from app.intake.headers import Head
from app.storage.message import Envelope, SMTPClient

ANN, BOB = "ann@example.com", "bob@example.com"
HEAD = Head(from_field="from@example.com", to_field="to@example.com")
EMPTY_HEAD = Head()


def test_headers_and_body_complete_each_other() -> None:
    """Each part comes from where it is given."""
    headers = PartialEnvelope(
        sender=ANN,
        connection=SMTPClient("192.0.2.1", None, "helo"),
        mail_from="mail-from",
        queue_id="queue-id",
    )
    body = PartialEnvelope(recipient=BOB, connection=SMTPClient(None, "host", "helo"))

    assert merge(headers, body) == PartialEnvelope(
        ANN, BOB, SMTPClient("192.0.2.1", "host", "helo"), "mail-from", "queue-id"
    )


def test_a_null_sender_in_the_headers_is_not_absent() -> None:
    """An empty sender given by the headers isn't replaced by the body's None."""
    assert merge(PartialEnvelope(sender=""), PartialEnvelope()).sender == ""


def test_the_same_address_twice_is_no_contradiction() -> None:
    """Headers and body may say the same, with brackets or without."""
    for same in (ANN, f"<{ANN}>"):
        assert merge(PartialEnvelope(sender=ANN), PartialEnvelope(sender=same)).sender == ANN


def test_two_clients_are_a_contradiction() -> None:
    """The connection's parts are compared as well."""
    headers = PartialEnvelope(connection=SMTPClient("192.0.2.1"))
    body = PartialEnvelope(connection=SMTPClient("192.0.2.2"))
    with pytest.raises(BadRequest, match="X-Original-Client-Address"):
        merge(headers, body)


@pytest.mark.parametrize("field", ["sender", "recipient"])
def test_a_contradiction_is_named(field: str) -> None:
    """Headers and body that differ are refused, with the name of the field."""
    ann: dict[str, Any] = {field: ANN}
    bob: dict[str, Any] = {field: BOB}
    with pytest.raises(BadRequest) as caught:
        merge(PartialEnvelope(**ann), PartialEnvelope(**bob))
    name = f"X-Original-{field.capitalize()}"
    assert caught.value.faults == (FieldFault(field, f"Differs from {name}."),)
    assert name in str(caught.value)


@pytest.mark.parametrize("sender", ["", " ", "<>", " <> "])
def test_an_empty_sender_is_the_null_sender(sender: str) -> None:
    """A bounce's sender stays empty, whatever From says."""
    assert complete(PartialEnvelope(sender=sender), HEAD).sender == ""


def test_the_envelope_prevails_over_the_head() -> None:
    """What the relay gave is kept, bare and whole, and From and To don't matter."""
    given = PartialEnvelope(f"'{ANN}'", f"<{BOB}>", SMTPClient("192.0.2.1"), "<x@y>", "A1")
    assert complete(given, HEAD) == Envelope(ANN, BOB, SMTPClient("192.0.2.1"), "<x@y>", "A1")


def test_the_head_fills_what_is_absent() -> None:
    """Without an envelope the message's From and To count."""
    assert complete(PartialEnvelope(), HEAD) == Envelope("from@example.com", "to@example.com")


def test_the_word_of_pipe_is_the_null_sender(caplog: pytest.LogCaptureFixture) -> None:
    """Postfix without null_sender= writes MAILER-DAEMON: taken, and the log says what to set."""
    assert complete(PartialEnvelope(sender="MAILER-DAEMON"), HEAD).sender == ""
    assert "null_sender=" in caplog.text
    assert complete(PartialEnvelope(sender="mailer-daemon@example.com"), HEAD).sender


@pytest.mark.parametrize(("mail_from", "sender"), [(ANN, ANN), ("<>", "")])
def test_mail_from_stands_in_for_the_sender(mail_from: str, sender: str) -> None:
    """MAIL FROM is the sender when there is no other, before From is asked."""
    assert complete(PartialEnvelope(mail_from=mail_from), HEAD).sender == sender


@pytest.mark.parametrize(
    "given",
    [
        PartialEnvelope(sender=f"{ANN}, {BOB}"),
        PartialEnvelope(sender="nobody"),
        PartialEnvelope(sender=f"Ann <{ANN}>"),
        PartialEnvelope(recipient=f"team:{ANN}"),
        PartialEnvelope(recipient="a,b@example.net"),
        PartialEnvelope(recipient="a;b@example.net"),
        PartialEnvelope(recipient="x)b@example.net"),
        PartialEnvelope(recipient="donald@example,com"),
        PartialEnvelope(recipient=f"{ANN} (Ann)"),
        PartialEnvelope(recipient=f"{ANN}, {BOB}"),
        PartialEnvelope(recipient=""),
        PartialEnvelope(recipient="<>"),
        PartialEnvelope(recipient="../../etc/passwd"),
    ],
)
def test_anything_but_one_address_is_refused(given: PartialEnvelope) -> None:
    """A given address that is none, or several, is refused even where the head has a good one."""
    with pytest.raises(MessageRejected, match="must be one address"):
        complete(given, HEAD)


@pytest.mark.parametrize(
    ("given", "missing"),
    [(PartialEnvelope(recipient=BOB), "sender"), (PartialEnvelope(sender=ANN), "recipient")],
)
def test_a_missing_address_is_refused(given: PartialEnvelope, missing: str) -> None:
    """Neither the envelope nor the head: the error says which of the two is missing."""
    with pytest.raises(MessageRejected, match=rf"has a {missing}\."):
        complete(given, EMPTY_HEAD)
