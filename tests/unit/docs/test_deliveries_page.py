"""What docs/deliveries.md says of the schedule and of commands is so."""

import re
import shlex
from itertools import accumulate
from pathlib import Path

import click
import pytest

from app.cli import gomail
from app.deliveries import verdict
from app.deliveries.payload_schemas import PayloadAttachmentSchema, PayloadMessageSchema
from app.deliveries.schedule import DELAYS, MOST_ATTEMPTS
from app.reading.schemas import EnvelopeSchema, MailboxSchema, ReplySchema
from app.storage.delivery import POISON, State

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "deliveries.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ flask (gomail (?:deliveries|endpoints) .*)$", PAGE, re.MULTILINE)
SECONDS = {"s": 1, "min": 60, "h": 3600, "days": 86_400}


def seconds(text: str) -> int:
    """Return how long `1 h 43 min` is."""
    numbers = re.findall(r"(\d+) (s|min|h|days)", text)
    return sum(int(number) * SECONDS[unit] for number, unit in numbers)


def test_the_table_is_the_schedule() -> None:
    """Each attempt after the one before, and about as long after the first."""
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(2, MOST_ATTEMPTS + 1))
    assert [seconds(delay) for _, delay, _ in rows] == list(DELAYS)
    for (_, _, since_first), total in zip(rows, accumulate(DELAYS), strict=True):
        assert seconds(since_first) == pytest.approx(total, rel=0.08)


def test_each_state_and_reason_is_explained() -> None:
    """As the commands print them."""
    reasons = [POISON, verdict.EXHAUSTED, verdict.MESSAGE_CORRUPT, verdict.INTERNAL_ERROR]
    for code in [*State, *reasons]:
        assert f"\n| `{code}` | " in PAGE


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_of_the_page_is_one(line: str) -> None:
    """With its options; no store is needed to see that."""
    group: click.Command = gomail
    context = click.Context(gomail, info_name="flask")
    words = shlex.split(line.partition(" | ")[0])[1:]
    while isinstance(group, click.Group):
        context = click.Context(group, parent=context)
        found = group.get_command(context, words.pop(0))
        assert found is not None
        group = found
    assert group.make_context("command", words, parent=context)


def test_the_page_has_commands() -> None:
    """So that the test above is about something."""
    assert len(COMMANDS) >= 7


def test_what_is_switched_over_to_is_in_the_body() -> None:
    """Each member that the table for Postmark and Mailgun names, beside the API's paths."""
    section = PAGE.partition("| Postmark | Mailgun | in `data` |\n")[2].partition("\n\n")[0]
    cells = [row.strip("|").split("|")[2] for row in section.splitlines()[1:]]
    paths = re.findall(r"`([a-z_]+(?:\[0\])?(?:\.[a-z_]+)*)`", "".join(cells))
    schemas = (PayloadMessageSchema(), PayloadAttachmentSchema(), MailboxSchema())
    known = {field.data_key or name for each in schemas for name, field in each.fields.items()}
    known |= {*EnvelopeSchema().fields, *ReplySchema().fields}
    assert len(paths) > 20
    words = {word for path in paths for word in re.findall(r"[a-z_]+", path)}
    assert words <= known
