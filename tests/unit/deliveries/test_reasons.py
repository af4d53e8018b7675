"""What the reasons of deliveries and endpoints mean."""

import re
from pathlib import Path

from app.deliveries.outcome import Reason
from app.deliveries.reasons import meaning

PAGE = (Path(__file__).parents[3] / "docs" / "deliveries.md").read_text(encoding="utf-8")


def test_each_reason_has_a_sentence() -> None:
    """Those of failed attempts, and those that docs/deliveries.md lists in addition."""
    others = re.findall(r"^\| `([a-z_]+)` \| (?:dead|pending) \|", PAGE, re.MULTILINE)
    assert len(others) == 5
    for reason in (*Reason, *others, "requested", "gone", "not_configured", "message_deleted"):
        text = meaning(reason)
        assert text is not None
        assert text.endswith("."), reason


def test_what_is_unknown_is_shown_as_it_is() -> None:
    """A newer version may have stored it; no reason has no sentence."""
    assert meaning("of-the-future") == "of-the-future"
    assert meaning(None) is None
