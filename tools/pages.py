"""Writes the pages that follow from the code: `python tools/pages.py [--check]`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from addresses_page import addresses_page
from api_page import api_page
from configuration_page import configuration_page, example_file
from message_schema import message_schema
from metrics_page import metrics_page
from openapi_document import openapi_document
from payload_schema import payload_schema
from reading_page import reading_page
from requests_page import requests_page

ROOT = Path(__file__).parents[1]

PAGES: Mapping[str, Callable[[], str]] = {
    "app/deliveries/payload.schema.json": payload_schema,
    "app/reading/message.schema.json": message_schema,
    "app/web/openapi.yaml": openapi_document,
    "config/gomail.example.yaml": example_file,
    "docs/addresses.md": addresses_page,
    "docs/api.md": api_page,
    "docs/configuration.md": configuration_page,
    "docs/metrics.md": metrics_page,
    "docs/payload.schema.json": payload_schema,
    "docs/reading.md": reading_page,
    "docs/requests.md": requests_page,
}
"""Each generated page, by its path in the repository."""


def write(root: Path) -> None:
    """Write every page below `root`."""
    for path, page in PAGES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(page(), encoding="utf-8")


def outdated(root: Path) -> list[str]:
    """Return the paths of the pages below `root` that differ from what would be written."""
    return [path for path, page in PAGES.items() if _text(root / path) != page()]


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check name those that are out of date; return the exit code."""
    if arguments == ["--check"]:
        paths = outdated(ROOT)
        for path in paths:
            print(f"{path} is out of date; run: make docs", file=sys.stderr)
        return 1 if paths else 0
    if arguments:
        print("usage: python tools/pages.py [--check]", file=sys.stderr)
        return 2
    write(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
