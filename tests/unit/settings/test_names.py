import pytest

from app.settings.names import edits, misspelled, nearest
from app.settings.schema import properties


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("port", "port", 0),
        ("prot", "port", 1),
        ("por", "port", 1),
        ("ports", "port", 1),
        ("port", "sort", 1),
        ("", "port", 4),
        ("kitten", "sitting", 3),
    ],
)
def test_a_swap_is_one_edit_as_is_each_other_slip(one: str, other: str, distance: int) -> None:
    """Letters that are swapped, missing, too many or wrong, in either direction."""
    assert edits(one, other) == edits(other, one) == distance


def test_a_name_within_two_edits_is_a_typing_error() -> None:
    """One edit more, and it may be somebody else's name."""
    assert misspelled("MAIL_BEARER_TOKN", ["MAIL_PORT", "MAIL_BEARER_TOKEN"]) == "MAIL_BEARER_TOKEN"
    assert misspelled("MAIL_BAERER_TOKN", ["MAIL_BEARER_TOKEN"]) == "MAIL_BEARER_TOKEN"
    assert misspelled("MAIL_BAERER_TKN", ["MAIL_BEARER_TOKEN"]) is None
    assert misspelled("M" * 10**6, ["MAIL_BEARER_TOKEN"]) is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PORT", "port"),
        ("MAIL_PORT", "port"),
        ("smtp_port", "port"),
        ("token", "bearer_token"),
        ("bearer-token", "bearer_token"),
        ("bearerToken", "bearer_token"),
        ("hostname", "mail_hostname"),
        ("wrker", "workers"),
        ("max_size", "max_message_size"),
        ("colour", None),
        ("mailer", None),
        ("x" * 10**6, None),
    ],
)
def test_the_nearest_key_is_the_one_that_was_meant(name: str, meant: str | None) -> None:
    """Whatever its case, by its letters or by its words; where nothing is near, none is named."""
    assert nearest(name, properties()) == meant
