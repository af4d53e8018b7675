import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from support.promises import Result, page

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"\| (?P<promise>.*) \| `(?P<test>[^`]+)` \| (?P<rounds>.+) \| (?P<result>.+) \|")


def rows() -> list[re.Match[str]]:
    """Return the rows of the page in the repository."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = text.partition("|---|---|---|---|\n")[2].splitlines()
    found = [ROW.fullmatch(line) for line in table]
    assert None not in found
    return [row for row in found if row]


def test_each_promise_names_a_test_that_is_there() -> None:
    """Whoever looks up the proof of a promise finds it, and it held."""
    found = rows()
    assert found
    assert found[0]["promise"]
    for row in found:
        path, _, name = row["test"].partition("::")
        functions = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        assert name in {each.name for each in functions if isinstance(each, ast.FunctionDef)}
        assert row["result"] == "passed"


def report(
    outcome: Literal["passed", "failed", "skipped"],
    when: Literal["setup", "call", "teardown"] = "call",
    case: str = "a",
    rounds: Sequence[str] = (),
) -> pytest.TestReport:
    """Return what pytest reports of one phase."""
    name = f"tests/test_it.py::test_it[{case}]"
    said = [("rounds", text) for text in rounds]
    return pytest.TestReport(name, (name, 0, name), {}, outcome, None, when, (), 0, 0, 0, said)


@pytest.mark.parametrize(
    ("reports", "rounds", "outcome"),
    [
        ([report("passed")], "once", "passed"),
        ([report("passed"), report("passed", case="b")], "2 cases", "passed"),
        ([report("passed", rounds=["20 cuts"])], "20 cuts", "passed"),
        ([report("passed"), report("failed", case="b")], "2 cases", "**failed**"),
        ([report("failed"), report("passed", case="b")], "2 cases", "**failed**"),
        ([report("passed"), report("failed", when="teardown")], "once", "**failed**"),
        ([report("passed", when="setup"), report("skipped")], "once", "**skipped**"),
    ],
)
def test_the_worst_case_is_the_result(
    reports: list[pytest.TestReport], rounds: str, outcome: str
) -> None:
    """One case that failed, in whichever phase, or didn't run, is never called passed."""
    result = Result()
    for each in reports:
        result.add(each)
    assert (result.rounds(), result.outcome()) == (rounds, outcome)
    assert f"| {rounds} | {outcome} |" in page({"a promise": {"tests/test_it.py::test_it": result}})
