import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_each_test_that_is_named_exists(file: str, test: str) -> None:
    """What the page says is proved has a test of that name in that file."""
    module = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
    assert test in functions


def test_each_threat_names_its_test() -> None:
    """No row promises what nothing proves, and every name is read by the test above."""
    threats = [row for row in ROWS if not row.startswith(("|---", "| threat ", "| what "))]
    assert len(threats) > 30
    assert [row for row in threats if not re.search(r"`tests/[\w/]+\.py::\w+` \|$", row)] == []
    assert PAGE.count("::") == len(re.findall(r"`tests/[\w/]+\.py::\w+`", PAGE))


def test_the_page_says_what_is_not_defended_and_how_to_report() -> None:
    """Both have a section, and the README leads here."""
    assert "\n## What isn't defended\n" in PAGE
    assert "\n## Reporting a vulnerability\n" in PAGE
    assert "docs/security.md" in (ROOT / "README.md").read_text(encoding="utf-8")
