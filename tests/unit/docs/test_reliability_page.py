import ast
import re
from pathlib import Path

import pytest
from support.promises import Result, page

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"\| (?P<promise>.*) \| `(?P<test>[^`]+)` \| (?P<rounds>.+) \| (?P<result>.+) \|")


def rows():
    """Return the rows of the page in the repository."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = text.partition("|---|---|---|---|\n")[2].splitlines()
    return [ROW.fullmatch(line) for line in table]


def test_each_promise_names_a_test_that_is_there():
    """Whoever looks up the proof of a promise finds it, and it held."""
    found = rows()
    assert found
    assert all(found)
    assert found[0]["promise"]
    for row in found:
        path, _, name = row["test"].partition("::")
        functions = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        assert name in {each.name for each in functions if isinstance(each, ast.FunctionDef)}
        assert row["result"] == "passed"


class Report:
    """What pytest reports of one phase."""

    def __init__(self, outcome, when="call", case="a", rounds=()):
        self.nodeid = f"tests/test_it.py::test_it[{case}]"
        self.outcome = outcome
        self.when = when
        self.user_properties = [("rounds", text) for text in rounds]


@pytest.mark.parametrize(
    ("reports", "rounds", "outcome"),
    [
        ([Report("passed")], "once", "passed"),
        ([Report("passed"), Report("passed", case="b")], "2 cases", "passed"),
        ([Report("passed", rounds=["20 cuts"])], "20 cuts", "passed"),
        ([Report("passed"), Report("failed", case="b")], "2 cases", "**failed**"),
        ([Report("failed"), Report("passed", case="b")], "2 cases", "**failed**"),
        ([Report("passed"), Report("failed", when="teardown")], "once", "**failed**"),
        ([Report("passed", when="setup"), Report("skipped")], "once", "**skipped**"),
    ],
)
def test_the_worst_case_is_the_result(reports, rounds, outcome):
    """One case that failed, in whichever phase, or didn't run, is never called passed."""
    result = Result()
    for report in reports:
        result.add(report)
    assert (result.rounds(), result.outcome()) == (rounds, outcome)
    assert f"| {rounds} | {outcome} |" in page({"a promise": {"tests/test_it.py::test_it": result}})
