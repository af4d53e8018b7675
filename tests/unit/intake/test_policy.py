import pytest

from app.errors import PolicyReject, RecipientUnknown
from app.intake.policy import check_policy
from app.storage.message import Envelope

BLOCKED = frozenset({"spam.example", "xn--bcher-kva.example"})
ALLOWED = frozenset({"example.com", "xn--mnchen-3ya.example"})
NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    "sender",
    [
        "x@spam.example",
        "x@SPAM.Example",
        "x@spam.example.",
        "x@sub.spam.example",
        "x@a.b.spam.example",
        "x@bücher.example",
        "x@BÜCHER.example",
        "x@sub.bücher.example",
        "x@xn--bcher-kva.example",
    ],
)
def test_a_blocked_domain_includes_its_subdomains(sender: str) -> None:
    """Mail from a blocked domain is refused however the domain is written."""
    with pytest.raises(PolicyReject):
        check_policy(Envelope(sender, "ann@example.com"), BLOCKED, NONE)


@pytest.mark.parametrize("sender", ["x@notspam.example", "x@example", "x@spam.example.org", ""])
def test_other_senders_pass(sender: str) -> None:
    """Neither a name that ends alike nor the null sender is caught by a blocked domain."""
    check_policy(Envelope(sender, "ann@example.com"), BLOCKED, NONE)


@pytest.mark.parametrize(
    "recipient", ["ann@example.com", "ann@EXAMPLE.COM.", "ann@münchen.example"]
)
def test_an_allowed_recipient_passes(recipient: str) -> None:
    """Exactly the allowed domains are received for, in either of their forms."""
    check_policy(Envelope("", recipient), NONE, ALLOWED)


@pytest.mark.parametrize("recipient", ["ann@sub.example.com", "ann@com", "ann@notexample.com"])
def test_another_recipient_is_unknown(recipient: str) -> None:
    """An allowed domain doesn't include its subdomains or its parents."""
    with pytest.raises(RecipientUnknown):
        check_policy(Envelope("", recipient), NONE, ALLOWED)


def test_without_a_list_every_recipient_passes() -> None:
    """No allowed domains means all domains."""
    check_policy(Envelope("", "ann@anything.example"), NONE, NONE)
