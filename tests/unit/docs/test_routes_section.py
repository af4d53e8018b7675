"""What docs/deliveries.md says about routes and secrets is so."""

import re
import shlex
from pathlib import Path

import pytest
from support.endpoints import endpoint

from app.deliveries.routes import Routes
from app.settings import Endpoint, inspect, load

NOTHING = Path("/dev/null")
PAGE = (Path(__file__).parents[3] / "docs" / "deliveries.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SECTION = PAGE.partition("## Several endpoints, with routes\n")[2].partition("\n## ")[0]
ROUTES = [
    [re.findall(r"`([^`]+)`", cell) for cell in row.strip("|").split("|")]
    for row in re.findall(r"^\| `[^|]*` \|.*$", SECTION, re.MULTILINE)
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_each_example_is_a_valid_configuration(tmp_path: Path, text: str) -> None:
    """It can be copied as it is, and validate has nothing to say."""
    config = tmp_path / "gomail.yaml"
    config.write_text(text, encoding="utf-8")
    inspection = inspect(None, {}, config)
    assert inspection.errors == inspection.warnings == ()
    assert inspection.settings is not None
    assert inspection.settings.deliveries.endpoints


def test_each_pattern_of_the_table_matches_what_it_says() -> None:
    """And not what it says it doesn't."""
    rows = [row for row in ROUTES if len(row) == 3 and row[1]]
    assert len(rows) == 6
    for [pattern], matching, others in rows:
        routes = Routes([endpoint("a", recipients=(pattern,))])
        assert [routes.names_for(address) for address in matching] == [("a",)] * len(matching)
        assert [routes.names_for(address) for address in others] == [()] * len(others)


def test_the_variable_of_the_page_is_understood() -> None:
    """As a shell would set it."""
    [line] = re.findall(r"^\$ export (MAIL_ENDPOINTS=.*)$", PAGE, re.MULTILINE)
    name, _, text = shlex.split(line)[0].partition("=")
    (found,) = load(environ={name: text}, config=NOTHING).deliveries.endpoints
    assert (found.name, found.timeout) == ("app", 10)


def test_a_secret_can_be_replaced_as_the_page_says(tmp_path: Path) -> None:
    """Below each other in one file, or in two files."""
    one, two = (f"whsec_{letter * 32}" for letter in "ab")
    for name, text in (("both", f"{one}\n{two}\n"), ("one", one), ("two", two)):
        (tmp_path / name).write_text(text, encoding="ascii")
    for files in (tmp_path / "both", [tmp_path / "one", tmp_path / "two"]):
        names = [str(file) for file in files] if isinstance(files, list) else str(files)
        given = {"name": "a", "url": "https://app.example.com/", "secret_file": names}
        found: Endpoint = load({"endpoints": [given]}, {}, NOTHING).deliveries.endpoints[0]
        assert found.secrets == (one, two)
