"""The pages for contributors name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = ("docs/architecture.md", "CONTRIBUTING.md", "README.md")
PATH = re.compile(r"(?:app|config|docs|tests|tools|benchmarks|\.ci)/[\w./-]*\w/?")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page: str) -> None:
    """Whoever opens what the page says finds it."""
    named = set(PATH.findall((ROOT / page).read_text(encoding="utf-8")))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_drawing_of_the_readme_names_files_that_exist() -> None:
    """Each step is a file in app/."""
    drawing = (ROOT / "README.md").read_text(encoding="utf-8").split("```text\n")[1].split("```")[0]
    named = re.findall(r"\b(?:web|auth|intake|storage)/[\w/.]*", drawing)
    assert len(named) > 8
    assert [path for path in named if not (ROOT / "app" / path).exists()] == []
