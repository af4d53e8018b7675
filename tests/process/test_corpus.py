import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from support.corpus import read_corpus
from support.server import Answer, Server

from app.storage.sqlite.store import SQLiteStore

NO_SENDER = "Neither the envelope nor From has a sender."
NO_RECIPIENT = "Neither the envelope nor To has a recipient."
NO_MESSAGE = "This is not a message: it doesn't begin with a header field."
EMPTY = "The message is empty."

# Each with 422 message_rejected. The mbox files hold several messages, mostly without addresses.
REFUSED_WITHOUT_ENVELOPE = {
    "README.md": NO_MESSAGE,
    "haraka/test__mail_specimen__base64-root-part.txt": NO_SENDER,
    "haraka/test__mail_specimen__varied-fold-lengths-preserve-data.txt": NO_SENDER,
    "imaptest/src__tests__broken__search-intdate.mbox": NO_SENDER,
    "imaptest/src__tests__default.mbox": NO_RECIPIENT,
    "imaptest/src__tests__esearch.mbox": NO_RECIPIENT,
    "imaptest/src__tests__fetch-binary-mime-base64.mbox": NO_RECIPIENT,
    "imaptest/src__tests__fetch-binary-mime-qp.mbox": NO_RECIPIENT,
    "imaptest/src__tests__fetch-binary-mime.mbox": NO_RECIPIENT,
    "imaptest/src__tests__fetch-body-message-rfc822-mime.mbox": NO_RECIPIENT,
    "imaptest/src__tests__fetch-body-message-rfc822-x2.mbox": NO_RECIPIENT,
    "imaptest/src__tests__fetch-body-message-rfc822.mbox": NO_RECIPIENT,
    "imaptest/src__tests__fetch-body-mime.mbox": NO_RECIPIENT,
    "imaptest/src__tests__fetch-body.mbox": NO_RECIPIENT,
    "imaptest/src__tests__fetch-bodystructure.mbox": NO_RECIPIENT,
    "imaptest/src__tests__nil.mbox": NO_SENDER,
    "imaptest/src__tests__search-body.mbox": NO_SENDER,
    "imaptest/src__tests__search-date.mbox": NO_SENDER,
    "imaptest/src__tests__search-header.mbox": NO_SENDER,
    "imaptest/src__tests__search-partial.mbox": NO_MESSAGE,
    "imaptest/src__tests__search-size.mbox": NO_SENDER,
    "imaptest/src__tests__select.mbox": NO_SENDER,
    "imaptest/src__tests__sort-arrival.mbox": NO_MESSAGE,
    "imaptest/src__tests__sort-date.mbox": NO_SENDER,
    "imaptest/src__tests__sort-display-from.mbox": NO_RECIPIENT,
    "imaptest/src__tests__sort-display-to.mbox": NO_SENDER,
    "imaptest/src__tests__sort-partial.mbox": NO_MESSAGE,
    "imaptest/src__tests__sort-size.mbox": NO_SENDER,
    "imaptest/src__tests__sort-subject.mbox": NO_SENDER,
    "imaptest/src__tests__thread-orderedsubject.mbox": NO_SENDER,
    "imaptest/src__tests__thread-orderedsubject2.mbox": NO_SENDER,
    "imaptest/src__tests__thread.mbox": NO_SENDER,
    "imaptest/src__tests__thread2.mbox": NO_SENDER,
    "imaptest/src__tests__thread3.mbox": NO_SENDER,
    "imaptest/src__tests__thread4.mbox": NO_SENDER,
    "imaptest/src__tests__thread5.mbox": NO_SENDER,
    "imaptest/src__tests__thread6.mbox": NO_SENDER,
    "imaptest/src__tests__thread7.mbox": NO_SENDER,
    "imaptest/src__tests__thread8.mbox": NO_SENDER,
    "imaptest/src__tests__urlauth-binary.mbox": NO_RECIPIENT,
    "mikel-mail/spec__fixtures__emails__error_emails__bad_encoded_subject.eml": NO_SENDER,
    "mikel-mail/spec__fixtures__emails__error_emails__empty_group_lists.eml": NO_RECIPIENT,
    "mikel-mail/spec__fixtures__emails__error_emails__missing_body.eml": NO_RECIPIENT,
    "mikel-mail/spec__fixtures__emails__mime_emails__raw_email11.eml": NO_RECIPIENT,
    "mikel-mail/spec__fixtures__emails__plain_emails__mix_caps_content_type.eml": NO_SENDER,
    "mikel-mail/spec__fixtures__emails__plain_emails__raw_email_incorrect_header.eml": NO_SENDER,
    "mikel-mail/spec__fixtures__emails__plain_emails__raw_email_multiple_from.eml": NO_SENDER,
    "mikel-mail/spec__fixtures__emails__rfc2822__example13.eml": NO_RECIPIENT,
    "mikel-mail/spec__fixtures__emails__sample_output_multipart": EMPTY,
    "nodemailer/test__fixtures__base64encodedroot.eml": NO_RECIPIENT,
    "nodemailer/test__fixtures__mixed.eml": NO_SENDER,
    "nodemailer/test__fixtures__nested.eml": NO_RECIPIENT,
}
REFUSED_WITH_ENVELOPE = {
    name: reason
    for name, reason in REFUSED_WITHOUT_ENVELOPE.items()
    if reason in {NO_MESSAGE, EMPTY}
}
ENVELOPE = {
    "X_Original_Sender": "envelope-sender@example.org",
    "X_Original_Recipient": "envelope-recipient@example.com",
}


@pytest.fixture(scope="module")
def corpus() -> dict[str, bytes]:
    """Return the bytes of each file of the corpus by its name."""
    return read_corpus()


@pytest.fixture
def store(shared_server: Server) -> Iterator[SQLiteStore]:
    """Return the store that the server has written."""
    with closing(SQLiteStore(shared_server.data_dir)) as opened:
        yield opened


def deliver_raw(server: Server, raw: bytes, **headers: str) -> Answer:
    """Post the bytes as they are."""
    return server.deliver(raw, **headers)


def deliver_json(server: Server, raw: bytes, **headers: str) -> Answer:
    """Post the bytes as JSON in Base64."""
    document = json.dumps({"raw_base64": base64.b64encode(raw).decode()})
    return server.deliver(document, "application/json", **headers)


@pytest.mark.promise("stored bytes equal received bytes")
@pytest.mark.parametrize("deliver", [deliver_raw, deliver_json])
@pytest.mark.parametrize("envelope", [{}, ENVELOPE], ids=["without envelope", "with envelope"])
def test_real_mail_is_stored_byte_for_byte(
    corpus: dict[str, bytes],
    shared_server: Server,
    store: SQLiteStore,
    deliver: Callable[..., Answer],
    envelope: dict[str, str],
) -> None:
    """Every file is answered 200 and its bytes are stored, or it is in the table of refusals."""
    refused = {}
    for name, raw in corpus.items():
        if deliver is deliver_json and not raw:
            refused[name] = EMPTY  # it can't be said: an empty raw message counts as absent
            continue
        key = f"{deliver.__name__} {len(envelope)} {name}"  # the same file comes several times
        answer = deliver(shared_server, raw, Idempotency_Key=key, **envelope)
        if answer.status == 200:
            assert store.read(answer.json()["message_id"]) == raw, name
            assert answer.json()["duplicate"] is False, name
        else:
            assert (answer.status, answer.json()["code"]) == (422, "message_rejected"), name
            refused[name] = answer.json()["detail"]
    assert refused == (REFUSED_WITH_ENVELOPE if envelope else REFUSED_WITHOUT_ENVELOPE)


def test_the_envelope_outranks_the_headers_of_real_mail(
    corpus: dict[str, bytes], shared_server: Server, store: SQLiteStore
) -> None:
    """Whatever From and To say, the row has what the relay said."""
    name, raw = max(corpus.items(), key=lambda item: len(item[1]))
    answer = deliver_raw(shared_server, raw, Idempotency_Key="largest", **ENVELOPE)
    stored = store.get(answer.json()["message_id"]).envelope
    assert list(ENVELOPE.values()) == [stored.sender, stored.recipient], name
