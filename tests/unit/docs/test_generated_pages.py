import json
import re
import subprocess
import sys
from pathlib import Path

import configuration_page
import metrics_page
import pages
import pytest

from app.metrics.catalog import CATALOG, Metric
from app.settings import load
from app.settings.schema import allowed, flag, has_flag, members, properties, variable

GENERATOR = Path(__file__).parents[3] / "tools" / "pages.py"


def test_the_pages_in_the_repository_are_up_to_date(tmp_path: Path) -> None:
    """`--check` passes from any directory; `make docs` mends it when this fails."""
    command = [sys.executable, str(GENERATOR), "--check"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_changed_page_is_named(tmp_path: Path) -> None:
    """A page that was edited by hand, or is missing, is out of date; the others aren't."""
    pages.write(tmp_path)
    assert pages.outdated(tmp_path) == []
    page = tmp_path / "docs" / "configuration.md"
    page.write_text(page.read_text(encoding="utf-8") + "more", encoding="utf-8")
    assert pages.outdated(tmp_path) == ["docs/configuration.md"]
    page.unlink()
    assert pages.outdated(tmp_path) == ["docs/configuration.md"]


def test_the_check_fails_and_tells_how_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1, and each page is named with the command that writes it."""
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    assert pages.main(["--check"]) == 1
    assert "docs/configuration.md is out of date; run: make docs" in capsys.readouterr().err
    assert pages.main([]) == 0
    assert pages.main(["--check"]) == 0
    assert pages.main(["--chek"]) == 2


def test_the_reference_names_each_key_with_its_variable_and_flag() -> None:
    """Nothing that can be set is missing from the page."""
    page = configuration_page.configuration_page()
    for key, known in properties().items():
        section = page.split(f"### {key}\n")[1].split("### ")[0]
        assert known["description"] in " ".join(section.split())
        assert f"`{variable(key)}`" in section
        assert (f"`{flag(key)}`" in section) == has_flag(key)


def test_the_reference_names_each_member_of_an_endpoint() -> None:
    """A row each, with what is allowed and what the default is."""
    page = configuration_page.configuration_page()
    for name, known in members("endpoints").items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert known["description"] in row.replace("\\*", "*")
        assert allowed(known) in row
        assert ("must be given" in row) == (name in {"name", "url"})
        if "default" in known:
            assert f"| `{json.dumps(known['default'])}` |" in row


def test_the_endpoint_of_the_example_is_valid(tmp_path: Path) -> None:
    """Once its hash marks are removed, but for the files that aren't there."""
    example = configuration_page.example_file()
    lines = example[example.index("# - name: ") :].split("\n\n")[0].splitlines()
    items = [line.removeprefix("# ") for line in lines if "_file: " not in line]
    config = tmp_path / "gomail.yaml"
    config.write_text("endpoints:\n" + "\n".join(items), encoding="utf-8")
    (found,) = load(environ={}, config=config).deliveries.endpoints
    assert found.name == "support"
    assert len(lines) == len(members("endpoints"))


@pytest.mark.parametrize("metric", CATALOG, ids=lambda metric: metric.name)
def test_the_metrics_page_explains_each_metric(metric: Metric) -> None:
    """One row each: type, labels, what it is, and what a rise means; a histogram's buckets."""
    page = metrics_page.metrics_page()
    (row,) = [
        line
        for line in page.splitlines()
        if line.startswith(f"| `{metric.name}` | {metric.kind} |")
    ]
    assert metric.help in row
    assert metric.rise in row
    for label in metric.labels:
        assert f"`{label}`" in row
        assert f"\n| `{label}` |" in page
    if metric.buckets:
        assert page.count(f"\n| `{metric.name}` |") == 2


def test_the_metrics_page_says_when_its_figures_were_measured() -> None:
    """They are constants of its source, so that the page is the same wherever it is made."""
    page = metrics_page.metrics_page()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", metrics_page.MEASURED_ON)
    assert f"Measured on {metrics_page.MEASURED_ON}" in page
    for figure in metrics_page.FIGURES.values():
        assert figure in page
