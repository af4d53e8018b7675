import json

import pytest
from support.processor_time import processor_seconds

from app.errors import BadRequest
from app.intake.bounds import MAX_CHARACTERS, check_bounds
from app.intake.envelope import PartialEnvelope
from app.intake.json_mail import decode_json_mail
from app.storage.message import SMTPClient

CONNECTION = {"client_address", "client_hostname", "client_helo"}


def with_text(field: str, text: str) -> PartialEnvelope:
    if field in CONNECTION:
        return PartialEnvelope(
            connection=SMTPClient(**{field.replace("client_helo", "helo"): text})
        )
    return PartialEnvelope(
        sender=text if field == "sender" else None,
        recipient=text if field == "recipient" else None,
        mail_from=text if field == "mail_from" else None,
        queue_id=text if field == "queue_id" else None,
    )


@pytest.mark.parametrize(("field", "limit"), MAX_CHARACTERS.items())
def test_each_text_has_a_bound(field: str, limit: int) -> None:
    """At the bound it passes; one character more is refused, and the field named."""
    check_bounds(with_text(field, "x" * limit))
    with pytest.raises(BadRequest) as caught:
        check_bounds(with_text(field, "x" * (limit + 1)))
    assert [fault.field for fault in caught.value.faults] == [field]


@pytest.mark.parametrize("unit", ["a@b.c, ", "(", "<", '"', "a", "ü@", ","])
@pytest.mark.parametrize("size", [133_000, 1_000_000])
def test_a_huge_sender_takes_no_time(unit: str, size: int) -> None:
    """However long it is, and whatever it is made of, it is known to be too long at once."""
    data = json.dumps({"sender": (unit * size)[:size], "to": "b@example.com"}).encode()

    def refuse() -> None:
        with pytest.raises(BadRequest):
            check_bounds(decode_json_mail(data).envelope)

    assert processor_seconds(refuse, 0.2) < 0.2
