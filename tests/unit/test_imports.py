"""Imports point one way, between packages too, and importing opens nothing."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"
FLASK = ("flask", "werkzeug", "prometheus_flask_exporter")
KNOW_FLASK = ("app", "app.web", "app.cli")
GUNICORN = ("gunicorn",)
KNOWS_GUNICORN = ("app.server.gunicorn_internals",)
EXPORTER = ("prometheus_flask_exporter",)
ROOT = "app"
LEAVES = {
    *("app.address", "app.domains", "app.errors", "app.networks", "app.settings", "app.state"),
    "app.version",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(APP.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


PATHS = {module_name(path): path for path in APP.rglob("*.py") if "migrations" not in path.parts}


def imported(path: Path) -> set[str]:
    """Return the full names of the modules that the file at `path` imports anywhere in it."""
    names: set[str] = set()
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
    return {target for target in GRAPH[name] if is_within(target, (ROOT,))}


def package(name: str) -> str:
    """Return the package right below app that `name` is in; a module there is one by itself."""
    return ".".join(name.split(".")[:2])


def packages() -> dict[str, set[str]]:
    """Return for each package those that it imports; the factory isn't part of any."""
    found: dict[str, set[str]] = {}
    for name in GRAPH.keys() - {ROOT}:
        targets = {package(target) for target in own(name)} - {package(name)}
        found.setdefault(package(name), set()).update(targets)
    return found


def below(name: str) -> set[str]:
    """Return all packages that the package `name` imports, directly or through others."""
    seen: set[str] = set()
    to_see = [name]
    while to_see:
        new = packages()[to_see.pop()] - seen
        seen |= new
        to_see += new
    return seen


def test_the_graph_is_seen() -> None:
    """The other tests look at real edges."""
    assert {"app.intake.receive", "app.web.inbound", "app.storage.sqlite.store"} <= GRAPH.keys()
    stages = {"app.intake.read", "app.intake.headers", "app.intake.policy", "app.storage.interface"}
    assert stages <= GRAPH["app.intake.receive"]
    assert {"app.web", "app.services"} <= packages()["app.server"]


def test_no_module_imports_itself_round_about() -> None:
    """There is an order in which every module comes after all that it imports."""
    order = list(TopologicalSorter({name: own(name) for name in GRAPH}).static_order())
    assert order.index("app.storage.message") < order.index("app.intake.receive")


def test_no_two_packages_import_each_other() -> None:
    """There is an order in which every package comes after all that it imports."""
    order = list(TopologicalSorter(packages()).static_order())
    assert order.index("app.errors") < order.index("app.storage") < order.index("app.intake")
    assert order.index("app.intake") < order.index("app.web") < order.index("app.server")
    with pytest.raises(CycleError):
        list(TopologicalSorter(packages() | {"app.errors": {"app.web"}}).static_order())


@pytest.mark.parametrize("outer", ["app.storage", "app.web", "app.server"])
def test_the_packages_inside_of_one_do_not_import_each_other(outer: str) -> None:
    """Of two packages that stand beside each other, one at most knows the other."""
    inside: dict[str, set[str]] = {}
    for name in GRAPH:
        if name.startswith(f"{outer}.") and name.count(".") >= outer.count(".") + 2:
            inside.setdefault(".".join(name.split(".")[:3]), set()).update(own(name))
    assert inside
    graph = {
        name: {
            other for other in inside if other != name and any(is_within(t, (other,)) for t in to)
        }
        for name, to in inside.items()
    }
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_flask_stays_at_the_edge(name: str) -> None:
    """Only the application factory, the command line and app.web know Flask or Werkzeug."""
    knows = any(is_within(target, FLASK) for target in GRAPH[name])
    assert not knows or name == ROOT or is_within(name, KNOW_FLASK[1:])


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_gunicorn_stays_at_the_edge(name: str) -> None:
    """Only what reaches into Gunicorn knows it."""
    knows = any(is_within(target, GUNICORN) for target in GRAPH[name])
    assert not knows or is_within(name, KNOWS_GUNICORN)


@pytest.mark.parametrize(
    "name",
    [
        *("app.intake", "app.storage", "app.ratelimit", "app.auth", "app.retention"),
        "app.deliveries",
    ],
)
def test_nothing_below_knows_the_edge(name: str) -> None:
    """The stages know neither the web nor the server nor what assembles them."""
    above = {"app.web", "app.server", "app.cli", "app.services", "app.relay"}
    assert below(name) & above == set()


@pytest.mark.parametrize("name", ["app.metrics", "app.state"])
def test_metrics_and_state_do_not_know_what_they_count(name: str) -> None:
    """They know settings, errors and each other's numbers, and no stage of a message's way."""
    assert below(name) <= LEAVES


def test_the_errors_depend_on_nothing() -> None:
    """Everything may raise them."""
    assert packages()["app.errors"] == set()


def test_the_interface_of_the_store_knows_no_backend() -> None:
    """It speaks of messages and bodies; where their bytes lie is the backend's own affair."""
    backends = ("app.storage.segments", "app.storage.sqlite", "app.storage.memory", "sqlalchemy")
    seen, to_see = set(), ["app.storage.interface"]
    while to_see:
        name = to_see.pop()
        seen.add(name)
        to_see += own(name) - seen
        assert not [target for target in GRAPH[name] if is_within(target, backends)]


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
import app.services, app.server.configuration, app.web.application
print(opened, threading.active_count(), sorted(os.listdir()))
"""


def run(code: str, directory: Path) -> str:
    """Return what `code` prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env={"PYTHONPATH": str(APP.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_importing_opens_nothing(tmp_path: Path) -> None:
    """`import app` reads no file in the working directory, makes none and starts no thread."""
    (tmp_path / "gomail.yaml").write_text("port: 1\n")
    assert run(IMPORT_AND_WATCH, tmp_path) == "[] 1 ['gomail.yaml']\n"


@pytest.mark.parametrize("name", ["app.storage.factory", "app.intake.receive", "app.relay.postfix"])
def test_the_inner_packages_load_neither_flask_nor_gunicorn(tmp_path: Path, name: str) -> None:
    """Tools and tests of the inside don't pay for the edge."""
    loaded = "print([each for each in ('flask', 'gunicorn') if each in sys.modules])"
    code = f"import sys, {name}; {loaded}"
    assert run(code, tmp_path) == "[]\n"
