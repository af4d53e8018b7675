"""Imports point one way, and importing opens nothing."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"
HTTP = ("app.web", "app.cli")
FLASK = ("flask", "werkzeug", "prometheus_flask_exporter")
METRICS = ("app.metrics",)
EXPORTER = ("prometheus_flask_exporter",)
BELOW_THE_PATH = (
    "app.addresses",
    "app.authenticate",
    "app.compose",
    "app.decide",
    "app.envelope",
    "app.json_mail",
    "app.message_id",
    "app.parse",
    "app.printable",
    "app.read",
    "app.storage",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(APP.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


PATHS = {module_name(path): path for path in APP.rglob("*.py") if "migrations" not in path.parts}


def imported(path: Path) -> set[str]:
    """Return the full names of the modules that the file at `path` imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in PATHS else str(node.module))
    return names


GRAPH = {name: imported(path) for name, path in PATHS.items()}


def is_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def own(name: str) -> set[str]:
    return {target for target in GRAPH[name] if is_within(target, ("app",))}


def test_the_graph_is_seen() -> None:
    """The other tests look at real edges."""
    assert {"app.receive", "app.web.inbound", "app.storage.sql"} <= GRAPH.keys()
    assert {"app.parse", "app.decide", "app.storage.base"} <= GRAPH["app.receive"]
    assert "app.logs" in GRAPH["app.web.instrument"]


def test_no_module_imports_itself_round_about() -> None:
    """There is an order in which every module comes after all that it imports."""
    order = list(TopologicalSorter({name: own(name) for name in GRAPH}).static_order())
    assert order.index("app.model") < order.index("app.receive") < order.index("app.web.inbound")


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_flask_stays_at_the_border(name: str) -> None:
    """Only the application factory, the command line and app.web know Flask or Werkzeug."""
    knows = any(is_within(target, ("flask", "werkzeug")) for target in GRAPH[name])
    assert not knows or name == "app" or is_within(name, HTTP)


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_nothing_below_knows_the_web(name: str) -> None:
    """Nothing but the application factory imports app.web or what assembles it."""
    knows = any(is_within(target, ("app.web",)) for target in GRAPH[name])
    assert not knows or name == "app" or is_within(name, ("app.web",))


@pytest.mark.parametrize("name", ["app.model", "app.errors"])
def test_the_words_depend_on_nothing(name: str) -> None:
    """Model and errors import nothing else of app."""
    assert own(name) == set()


@pytest.mark.parametrize("name", sorted(name for name in GRAPH if is_within(name, BELOW_THE_PATH)))
def test_the_stages_do_not_know_the_path(name: str) -> None:
    """No stage imports receive, the services or the settings: those know the stages."""
    above = ("app.receive", "app.services", "app.settings", "app.server", "app.cli", "app.web")
    assert not [target for target in own(name) if is_within(target, above)]


@pytest.mark.parametrize("name", sorted(name for name in GRAPH if is_within(name, METRICS)))
def test_metrics_do_not_know_what_they_count(name: str) -> None:
    """No part of the metrics imports Flask, the web side, or the stages of a message's way."""
    counted = ("app.receive", "app.services", "app.storage", "app.ratelimit", *HTTP)
    assert not [target for target in GRAPH[name] if is_within(target, (*counted, *FLASK))]


def test_the_exporter_stays_with_the_metrics_port() -> None:
    """Nothing else knows it: what it does to an application costs each request its time."""
    know = [name for name in GRAPH if any(is_within(each, EXPORTER) for each in GRAPH[name])]
    assert know == ["app.web.metrics_port"]


IMPORT_AND_WATCH = """
import os, sys, threading
opened = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(os.getcwd() + os.sep):
            opened.append(path)
    elif event in ("sqlite3.connect", "socket.bind", "_thread.start_new_thread"):
        opened.append(event)

sys.addaudithook(watch)
import app
import app.services, app.server.configuration
print(opened, threading.active_count(), sorted(os.listdir()))
"""


def test_importing_opens_nothing(tmp_path: Path) -> None:
    """`import app` reads no file in the working directory, makes none and starts no thread."""
    (tmp_path / "gomail.yaml").write_text("port: 1\n")
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_WATCH],
        cwd=tmp_path,
        env={"PYTHONPATH": str(APP.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[] 1 ['gomail.yaml']\n"
