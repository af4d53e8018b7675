"""The table of errors, and those who keep a list of their own."""

import inspect
import re

import pytest
from support.server import CHECKOUT

from app import errors
from app.errors import ERRORS, ErrorKind, GoMailError

RELAY = (CHECKOUT / "config" / "postfix" / "gomail-relay").read_text(encoding="utf-8")
CLASSES = [
    each
    for each in vars(errors).values()
    if inspect.isclass(each) and issubclass(each, GoMailError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_its_row(kind: type[GoMailError]) -> None:
    """An error whose code isn't in the table could not be answered."""
    assert kind.code in ERRORS


def test_the_relay_bounces_what_the_table_calls_final() -> None:
    """Exactly those codes end with an exit code that Postfix takes for permanent."""
    assert set(re.findall(r"refused_with (\w+) \|\|", RELAY)) == {
        kind.code for kind in ERRORS.values() if kind.is_final
    }


@pytest.mark.parametrize("kind", [kind for kind in ERRORS.values() if kind.is_final])
def test_a_final_error_has_its_status_in_the_relay(kind: ErrorKind) -> None:
    """The relay looks for the code at the status with which GoMail answers it."""
    branches = re.split(r"^(?=\d\d\d\)|esac)", RELAY, flags=re.MULTILINE)
    [branch] = [each for each in branches if each.startswith(f"{kind.status})")]
    assert f"refused_with {kind.code}" in branch


@pytest.mark.parametrize("kind", ERRORS.values())
def test_a_row_can_be_answered(kind: ErrorKind) -> None:
    """A status of HTTP, a sentence for people, and a final error is one of the message itself."""
    assert 400 <= kind.status < 600
    assert re.fullmatch(r"[A-Z].*\.", kind.meaning)
    assert not kind.is_final or kind.outcome == "rejected"
