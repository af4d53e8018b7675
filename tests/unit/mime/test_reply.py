"""A reply is separated from the message that it quotes."""

import pytest

from app.mime.reply import read_reply

ENGLISH = "On Thu, 26 Nov 2026 at 10:00, Ann <ann@example.com> wrote:\n> Hello\n> Bob\n"
OUTLOOK = (
    "From: Ann\nSent: Thursday, 26 November 2026 10:00\nTo: Bob\nSubject: Hello\n\nHello Bob\n"
)
GERMAN = "Am 26.11.2026 um 10:00 schrieb Ann:\n> Hallo\n"
FRENCH = "Le 26 nov. 2026 à 10:00, Ann <ann@example.com> a écrit :\n> Bonjour\n"


@pytest.mark.parametrize("quoted", [ENGLISH, OUTLOOK, GERMAN, FRENCH])
def test_a_reply_is_found(quoted: str) -> None:
    """The reply ends at the line that a mail program writes above a quote, in several languages."""
    assert read_reply(f"Yes,\n\nI agree.\n\n{quoted}") == ("Yes,\n\nI agree.", True)


def test_a_reply_is_as_it_was_written() -> None:
    """Indents, runs of blank lines, long lines and the signature are kept."""
    written = "Run this:\n\n\n\n    if a:\n        b()\n" + "long " * 100 + "end\n\n-- \nBob"
    assert read_reply(f"{written}\n\n{ENGLISH}") == (written, True)


@pytest.mark.parametrize(
    "text", ["", "\n", "Hello\n\nBob\n", "> Hello\n", ENGLISH, OUTLOOK, "On Monday I am away.\n"]
)
def test_without_a_quotation_there_is_the_whole_text(text: str) -> None:
    """The same if there is no text above the quote."""
    assert read_reply(text) == (text, False)


def test_a_quotation_far_below_is_not_looked_for() -> None:
    """Only the first 16,384 characters are searched; without a quote there, the text is whole."""
    text = "word " * 4000 + "\n\n" + ENGLISH
    assert read_reply(text) == (text, False)


def test_the_reply_may_be_long_before_the_quotation() -> None:
    """A quote is found within the first 16,384 characters."""
    written = "\n".join(f"Line {number}" for number in range(1000))
    assert read_reply(f"{written}\n\n{ENGLISH}") == (written, True)
