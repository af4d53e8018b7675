"""Real messages are parsed to values that an independent parser or a person has determined.

real_messages.json has the expected values. Those "by" fast-mail-parser are from that package
(0.10.0, in Rust, with no code in common with GoMail's parser), its line ends changed to LF and its
text parts joined. Those by "hand" were read in the file by a person, where the package is wrong.
Texts are stored as their length and SHA-256, since the corpus must not be copied.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.corpus import read_corpus

from app.mime.message import parse

RIGHT: Mapping[str, Mapping[str, object]] = json.loads(
    Path(__file__).with_name("real_messages.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", RIGHT)
def test_a_real_message_is_read_correctly(name: str) -> None:
    """Subject, mailboxes, date, text, HTML and attachments are as expected."""
    parsed = parse(read_corpus()[name])
    ours = {
        "subject": parsed.subject,
        "from": [list(each) for each in parsed.from_],
        "to": [list(each) for each in parsed.to],
        "cc": [list(each) for each in parsed.cc],
        "date": parsed.date.isoformat() if parsed.date else None,
        "text": summary(parsed.text),
        "html": summary(parsed.html),
        "attachments": [[a.content_type, a.filename, a.size] for a in parsed.attachments],
    }
    right = {key: value for key, value in RIGHT[name].items() if key != "by"}
    # The package doesn't convert HTML to text, which test_html_text.py tests.
    assert {key: ours[key] for key in right} == right


def test_there_are_enough_of_them() -> None:
    """At least sixty messages, most of them judged by the independent parser."""
    assert len(RIGHT) >= 60
    assert sum(right["by"] == "fast-mail-parser" for right in RIGHT.values()) >= 45


def summary(text: str | None) -> dict[str, object] | None:
    """Return the length of a text, and its SHA-256."""
    if text is None:
        return None
    return {"characters": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
