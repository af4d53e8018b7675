import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadRequest
from app.intake.compose import Attachment
from app.intake.envelope import PartialEnvelope
from app.intake.json_mail import JSONMail, decode_json_mail
from app.intake.json_schemas import JSONMailSchema
from app.storage.message import SMTPClient

NAMES = {field.data_key or name for name, field in JSONMailSchema().fields.items()}


def decoded(**members: object) -> JSONMail:
    return decode_json_mail(json.dumps(members).encode())


def refused(data: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode_json_mail(data)
    return caught.value


def faulty_fields(**members: object) -> list[str]:
    return sorted(fault.field for fault in refused(json.dumps(members).encode()).faults)


def test_every_field_arrives() -> None:
    """Envelope, connection and parts are taken from where the contract has them."""
    connection = {"client_address": "192.0.2.1", "client_hostname": "h", "client_helo": "helo"}
    mail = decoded(sender="a@b", recipient="c@d", subject="s", body="b\n", connection=connection)
    assert mail == JSONMail(
        PartialEnvelope("a@b", "c@d", SMTPClient("192.0.2.1", "h", "helo")), None, "s", "b\n"
    )


def test_from_and_to_are_synonyms() -> None:
    """`from` and `to` stand for sender and recipient, also beside them when they agree."""
    envelope = PartialEnvelope("a@b", "c@d")
    assert decoded(**{"from": "a@b"}, to="c@d").envelope == envelope
    both = {"from": "a@b", "to": "c@d", "sender": "a@b", "recipient": "c@d"}
    assert decoded(**both).envelope == envelope


def test_an_empty_sender_is_kept() -> None:
    """A null sender isn't the same as none."""
    assert decoded(sender="").envelope.sender == ""
    assert decoded(**{"from": ""}).envelope.sender == ""


def test_null_means_absent() -> None:
    """A field that is null says nothing and contradicts nothing."""
    names = [*NAMES - {"raw"}]
    mail = decoded(**dict.fromkeys(names), raw="A: b\n\n")
    assert mail == JSONMail(PartialEnvelope(), b"A: b\n\n")


def test_an_empty_text_means_absent() -> None:
    """But for the sender, "" says nothing and contradicts nothing."""
    names = ["recipient", "to", "raw_base64", "subject", "text", "body", "html"]
    mail = decoded(**dict.fromkeys(names, ""), attachments=[], raw="A: b\n\n", connection={})
    assert mail == JSONMail(PartialEnvelope(), b"A: b\n\n")


@pytest.mark.parametrize(
    ("members", "field", "nearest"),
    [
        ({"rawBase64": "QQ=="}, "rawBase64", "raw_base64"),
        ({"bdoy": "text"}, "bdoy", "body"),
        ({"HTML": "<p>"}, "HTML", "html"),
        ({"attachment": []}, "attachment", "attachments"),
        ({"connection": {"helo": "h"}}, "connection.helo", "client_helo"),
        ({"connection": {"port": 25}}, "connection.port", "client_"),
        (
            {"attachments": [{"content_base64": "QQ=="}, {"content_base64": "", "name": "a"}]},
            "attachments.1.name",
            "filename",
        ),
    ],
)
def test_an_unknown_member_is_named(members: dict[str, object], field: str, nearest: str) -> None:
    """Whatever isn't kept is refused, with the nearest name that is known."""
    [fault] = refused(json.dumps(members).encode()).faults
    assert fault.field == field
    assert nearest in fault.message


def test_every_part_of_a_message_arrives() -> None:
    """Text, HTML and attachments; `body` is the older name of text."""
    given = {"content_base64": "AP8=", "filename": "ü.pdf", "content_type": "application/pdf"}
    mail = decoded(text="t", html="<p>", attachments=[given, {"content_base64": ""}])
    assert (mail.text, mail.html) == ("t", "<p>")
    assert mail.attachments == (Attachment(b"\0\xff", "ü.pdf", "application/pdf"), Attachment(b""))
    assert decoded(body="t").text == decoded(body="t", text="t").text == "t"
    assert faulty_fields(body="t", text="u") == ["body", "text"]


@pytest.mark.parametrize(
    ("attachment", "field"),
    [
        ({"content_base64": "A"}, "attachments.0.content_base64"),
        ({}, "attachments.0.content_base64"),
        ({"content_base64": "", "filename": "a\nb"}, "attachments.0.filename"),
        ({"content_base64": "", "filename": "a" * 256}, "attachments.0.filename"),
        ({"content_base64": "", "content_type": "pdf"}, "attachments.0.content_type"),
        ({"content_base64": "", "content_type": "multipart/mixed"}, "attachments.0.content_type"),
        ({"content_base64": "", "content_type": "a/b\r\nX: y"}, "attachments.0.content_type"),
        ({"content_base64": "", "content_id": "a b"}, "attachments.0.content_id"),
        ({"content_base64": "", "content_id": "a>b"}, "attachments.0.content_id"),
    ],
)
def test_a_wrong_attachment_is_named(attachment: dict[str, object], field: str) -> None:
    """By its place in the list, from 0 on, and its member."""
    assert faulty_fields(attachments=[attachment]) == [field]


@pytest.mark.parametrize("field", ["sender", "from", "recipient", "to"])
def test_an_address_may_have_a_display_name(field: str) -> None:
    """The address is taken without it."""
    envelope = decoded(**{field: '"Doe, Ann" <ann@example.org>'}).envelope
    assert "ann@example.org" in {envelope.sender, envelope.recipient}


@pytest.mark.parametrize("field", ["recipient", "to"])
@pytest.mark.parametrize("value", [["a@b.c"], ["a@b.c", "d@e.f"], "a@b.c, d@e.f", "a@b.c;d@e.f"])
def test_a_list_of_recipients_is_refused(field: str, value: object) -> None:
    """It says what to do: one recipient per request."""
    error = refused(json.dumps({field: value}).encode())
    said = f"{error} {[fault.message for fault in error.faults]}"
    assert "one recipient per request" in said


@pytest.mark.parametrize("raw", [b"A: b\r\n\r\n\x00\xff\xfe body", bytes(range(256)) * 40])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.encodebytes])
def test_base64_gives_the_same_bytes(raw: bytes, encode: Callable[[bytes], bytes]) -> None:
    """Any bytes come back equal, whether the Base64 has line breaks or not."""
    assert decoded(raw_base64=encode(raw).decode()).raw == raw


def test_raw_text_becomes_utf_8() -> None:
    """Text is sent on in UTF-8 with its line ends untouched."""
    assert decoded(raw="Subject: ü\r\n\n\0").raw == b"Subject: \xc3\xbc\r\n\n\0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}x",
        b"null",
        b'"text"',
        b"[{}]",
        b"5",
        b"{'sender': 'a@b'}",
        b"\xff{}",
        '{"sender": "a@b"}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"sender":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"size": NaN}',
        b'{"size": Infinity}',
        b'{"size": -Infinity}',
        b'{"size": ' + b"9" * 5000 + b"}",
        b'{"sender": "a@b", "sender": "c@d"}',
        b'{"connection": {"client_helo": "a", "client_helo": "b"}}',
        b'{"subject": "\n"}',
    ],
    ids=lambda data: repr(data[:24]),
)
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    """Broken, nested, doubled and numberless JSON is a BadRequest and not a failure."""
    assert "JSON" in str(refused(data))


@pytest.mark.parametrize(
    "field",
    ["sender", "recipient", "from", "to", "raw", "raw_base64", "subject", "text", "body", "html"],
)
@pytest.mark.parametrize("half", ["\\ud800", "x\\udfffx"])
def test_a_lone_surrogate_is_named(field: str, half: str) -> None:
    """Half a character, which no encoding can store, is refused in every text."""
    error = refused(f'{{"{field}": "{half}"}}'.encode())
    assert [fault.field for fault in error.faults] == [field]


def test_a_whole_surrogate_pair_is_a_character() -> None:
    """JSON's way to write characters beyond U+FFFF works."""
    assert decode_json_mail(b'{"body": "\\ud83d\\ude00"}').text == "\U0001f600"


def test_every_wrong_field_is_listed_at_once() -> None:
    """A client sees all faults in one answer, those inside connection by their path."""
    assert faulty_fields(
        sender=1,
        recipient=["a@b"],
        subject={"a": "b"},
        body=True,
        raw=2.5,
        connection={"client_address": 7, "client_helo": "x\ny", "client_hostname": "fine"},
    ) == [
        "body",
        "connection.client_address",
        "connection.client_helo",
        "raw",
        "recipient",
        "sender",
        "subject",
    ]


@pytest.mark.parametrize("field", ["sender", "recipient", "from", "to", "subject"])
@pytest.mark.parametrize("control", ["\r\n", "\0", "\x1b"])
def test_control_characters_are_no_part_of_a_line(field: str, control: str) -> None:
    """Nothing that ends up in a header line may hold a line end or another control."""
    assert faulty_fields(**{field: f"a@b{control}Bcc: c@d"}) == [field]


def test_a_long_subject_is_refused() -> None:
    """998 characters are a subject, 999 aren't."""
    assert decoded(subject="x" * 998).subject == "x" * 998
    assert faulty_fields(subject="x" * 999) == ["subject"]


@pytest.mark.parametrize("text", ["a", "abc", "ab=c", "YW Jj!", "Zm9v-_", "ü", "====", "Zg=a"])
def test_bad_base64_is_refused(text: str) -> None:
    """Wrong length, padding or characters: nothing is guessed."""
    assert faulty_fields(raw_base64=text) == ["raw_base64"]


@pytest.mark.parametrize(
    "members",
    [
        {"raw": "A: b", "raw_base64": "QTogYg=="},
        {"raw": "A: b", "body": "text"},
        {"raw": "A: b", "html": "<p>"},
        {"raw_base64": "QQ==", "text": "t"},
        {"raw_base64": "QTogYg==", "subject": "s", "body": "b"},
        {"sender": "a@b", "from": "c@d"},
        {"sender": "", "from": "c@d"},
        {"recipient": "a@b", "to": "c@d"},
    ],
    ids=" ".join,
)
def test_contradicting_fields_are_named(members: dict[str, object]) -> None:
    """Two fields that can't both hold are refused, with the names of both."""
    assert faulty_fields(**members) == sorted(members)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.binary()
    | st.dictionaries(st.sampled_from(sorted(NAMES)), JSON_VALUES).map(
        lambda document: json.dumps(document).encode()
    )
)
def test_anything_is_decoded_or_refused(data: bytes) -> None:
    """No bytes make it raise anything but BadRequest, and what it returns can be encoded."""
    try:
        mail = decode_json_mail(data)
    except BadRequest:
        return
    assert isinstance(mail, JSONMail)
    assert "".join([mail.subject, mail.text or "", mail.html or ""]).encode() is not None
