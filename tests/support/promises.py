"""A plugin for pytest: which tests prove which promise, how often they tried, what came of it.

A test says what it proves with `@pytest.mark.promise("…")` and, with
`record_property("rounds", "…")`, how much of it it has seen. `--reliability=FILE` writes that down.
"""

import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from support.rounds import rounds

from app.version import __version__

Results = dict[str, dict[str, "Result"]]

_TESTED_WITH = ("gunicorn", "flask", "sqlalchemy")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --reliability."""
    parser.addoption("--reliability", metavar="FILE", help="write what the tests prove to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Collect while the tests run, if there is anything to be written."""
    path = config.getoption("--reliability")
    if path and not hasattr(config, "workerinput"):  # the controller, where there are several
        config.pluginmanager.register(Promises(Path(path)), "promises-kept")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put its promises on each test, so that its reports carry them, from wherever it runs."""
    for item in items:
        item.user_properties += [("promise", mark.args[0]) for mark in item.iter_markers("promise")]


class Promises:
    """What the tests with a promise have come to, in the order in which they ran."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._results: Results = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what came of a test, and of its fixtures."""
        function = report.nodeid.partition("[")[0]
        promises = [str(text) for name, text in report.user_properties if name == "promise"]
        for promise in promises:
            result = self._results.setdefault(promise, {}).setdefault(function, Result())
            result.add(report)

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        self._path.write_text(page(self._results), encoding="utf-8")


class Result:
    """What came of one test function, over all of its cases."""

    def __init__(self) -> None:
        self._outcomes: dict[str, str] = {}
        self._rounds: list[str] = []

    def add(self, report: pytest.TestReport) -> None:
        """Take in one phase of one case; the worst outcome counts."""
        if report.when == "call" or report.outcome != "passed":
            if self._outcomes.get(report.nodeid) != "failed":
                self._outcomes[report.nodeid] = report.outcome
            self._rounds += [str(text) for name, text in report.user_properties if name == "rounds"]

    def rounds(self) -> str:
        """Return what the test said of its rounds, else its cases."""
        said = list(dict.fromkeys(self._rounds))
        count = len(self._outcomes)
        return "; ".join(said) or ("once" if count == 1 else f"{count} cases")

    def outcome(self) -> str:
        """Return the outcome in a word."""
        for outcome in ("failed", "skipped"):
            if outcome in self._outcomes.values():
                return f"**{outcome}**"
        return "passed"


def page(results: Results) -> str:
    """Return the page for `results`: for each promise those of its test functions."""
    lines = [
        "# What is promised, and the tests that prove it",
        "",
        "Each promise, the tests that prove it, and how often they ran. Each test fails when its"
        " promise is broken. `make reliability` runs them and writes this page; don't edit it.",
        "",
        _tested(),
        rounds("All rounds.", "**Not all rounds**: GOMAIL_ALL_ROUNDS=1 wasn't set."),
        "",
        "| promise | test | rounds | result |",
        "|---|---|---|---|",
    ]
    for promise, functions in results.items():
        for number, (function, result) in enumerate(functions.items()):
            first = promise if number == 0 else ""
            lines.append(
                f"| {first} | `{function}` | {_cell(result.rounds())} | {result.outcome()} |"
            )
    return "\n".join(lines) + "\n"


def _tested() -> str:
    programs = [f"{name} {version(name)}" for name in _TESTED_WITH]
    system = f"Linux {platform.release().partition('-')[0]}"
    python = f"Python {platform.python_version()}"
    tested_with = ", ".join([python, *programs, f"SQLite {sqlite3.sqlite_version}", system])
    return f"GoMail {__version__}, {datetime.now(UTC):%Y-%m-%d}, with {tested_with}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
