"""A reply is separated from the message that it quotes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailparser_reply import EmailReplyParser
from mailparser_reply.constants import MAIL_LANGUAGES
from support.processor_time import processor_seconds

from app.mime.reply import Reply, read_reply

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


HEADERS = [
    *("On Monday, Ann wrote:", "On Monday,\nAnn <a@b.example>\nwrote:", "on 1.1. x wrote:"),
    *("Dne 1.1.2026 Ann napsal(a):", "Den 1. jan. 2026 skrev Ann:", "1 jan 2026 skrev Ann:"),
    *("Am 1.1.2026 schrieb Ann:", "Am 1.1.2026 um 10:00 schrieb\nAnn:", "Le 1 janvier a écrit :"),
    *("Il 1 gen 2026 Ann ha scritto:", "Op 1 jan. Ann schreef:", "Tor 1 jan skrev Ann:"),
    *("2026年1月1日(木) 10:00 Ann <a@b.example>:", "Dnia 1 stycznia Ann napisał(a):"),
    *("From: Ann\nSent: now", "Od: Ann\nKomu: Bob", "Fra: Ann\nTil: Bob", "Von: A\nAn: B"),
    *("De: Ann\nPara: Bob", "De : Ann\nObjet : x", "Da: Ann\nA: Bob", "Van: A\nAan: B"),
    *("보낸 사람: A\n받는 사람: B", "Temat: x", "Från: A\nTill: B", "发件人: A\n收件人: B"),
    *("-----Original Message-----", "-----Original Message-----\nFrom: A\nTo: B"),
    "[Original Message processed by david]\nVon A\nAn B\nCc C",
]
# Those of Spanish, Korean and Chinese, which the package's expressions exclude themselves.
NEVER_FOUND = [
    *("El 1 ene 2026,  escribió:", "2026년 1월 1일 Ann님이 작성하였습니다:"),
    "2026年1月1日 Ann 写道\N{FULLWIDTH COLON}",
]
OTHERS = ["", "", "Hello Bob", "Note: x", "https://a.example:80/", "On", ":", "- a", "_" * 40]
LINES = st.tuples(
    st.sampled_from(["", "> ", "* ", ">> "]), st.sampled_from([*HEADERS, *NEVER_FOUND, *OTHERS])
).map("".join)
TEXTS = st.lists(LINES, max_size=10).map("\n".join)
PACKAGE = EmailReplyParser(languages=sorted(MAIL_LANGUAGES))


@given(TEXTS)
def test_what_is_found_is_what_the_package_finds(text: str) -> None:
    """It looks everywhere in the text, which takes ten times as long."""
    fragments = PACKAGE.read(text).replies
    newest = fragments[0]
    is_found = bool(len(fragments) > 1 and not newest.headers and newest.content)
    reply = read_reply(text)
    assert reply.found is is_found
    if is_found:  # the package takes the first place that has the words of the header
        assert reply.text.split()[: len(newest.content.split())] == newest.content.split()
    else:
        assert reply == Reply(text, found=False)


@pytest.mark.parametrize("header", HEADERS)
def test_each_header_is_found_below_an_answer(header: str) -> None:
    """And below it is what was quoted."""
    assert read_reply(f"Yes.\n\n{header}\nquoted") == ("Yes.", True)


def test_a_text_costs_less_than_what_else_is_done_with_a_message() -> None:
    """4 KiB of lines, as most mail has them."""
    text = "Hello there, this is a line of text.\nSee https://a.example/x and note: this.\n" * 50
    read_reply(text)
    assert processor_seconds(lambda: read_reply(text), 0.003) < 0.003
