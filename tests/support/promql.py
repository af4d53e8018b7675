"""The PromQL in config/: every expression, and the series and labels that each one asks for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CONFIG = Path(__file__).parents[2] / "config"
DASHBOARD = CONFIG / "grafana" / "gomail.json"
RULE_FILES = [CONFIG / "prometheus" / name for name in ("recording.yml", "alerts.yml")]

HISTOGRAM_ENDS = ("_bucket", "_sum", "_count")

_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
# A string, a range, the labels after a name, a name, a number with its unit, or anything else.
_TOKEN = re.compile(
    r"""
    (?P<string>"[^"]*"|'[^']*')
  | (?P<range>\[[^\]]*\])
  | \{(?P<matchers>(?:[^}"']|"[^"]*"|'[^']*')*)\}
  | (?P<name>[A-Za-z_:][\w:]*)
  | (?P<number>[\d.][\w.]*)
  | (?P<other>\S)
    """,
    re.VERBOSE,
)
_MATCHER = re.compile(r"""(\w+)\s*(=~|!~|!=|=)\s*(?:"([^"]*)"|'([^']*)')""")


class Matcher(NamedTuple):
    """What a selector demands of one label."""

    label: str
    operator: str
    value: str


class Selector(NamedTuple):
    """A series by name, as it is written, and what is demanded of its labels."""

    name: str
    matchers: tuple[Matcher, ...]


def rules() -> list[dict[str, Any]]:
    """Return every recording and alerting rule."""
    groups = [yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for path in RULE_FILES]
    return [rule for file in groups for group in file for rule in group["rules"]]


def recorded() -> set[str]:
    """Return the names that recording rules define."""
    return {rule["record"] for rule in rules() if "record" in rule}


def expressions() -> dict[str, str]:
    """Return every expression of the rules and the dashboard, by where it stands."""
    found = {rule.get("record") or rule["alert"]: rule["expr"] for rule in rules()}
    return found | dashboard_expressions()


def dashboard_expressions() -> dict[str, str]:
    """Return every expression of the dashboard, by panel or variable."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = {}
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            found[f"panel {panel['id']} {panel['title']} {target['refId']}"] = target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            # label_values(series, label) is Grafana's, only its first part is PromQL.
            [series] = re.findall(r"label_values\((.*), \w+\)", variable["query"])
            found[f"variable {variable['name']}"] = series
    return found


def selectors(expression: str) -> list[Selector]:
    """Return every series that the expression asks for."""
    return [
        Selector(name, tuple(_matchers(matchers)))
        for name, matchers in _series(_tokens(expression))
    ]


def metric_names(expression: str) -> set[str]:
    """Return the metrics that it asks for: a histogram by its own name, without _bucket etc."""
    return {metric(selector.name) for selector in selectors(expression)}


def metric(name: str) -> str:
    """Return the metric that a series called `name` belongs to."""
    ends = [end for end in HISTOGRAM_ENDS if name.endswith(end)]
    return name.removesuffix(ends[0]) if ends else name


def grouping_labels(expression: str) -> set[str]:
    """Return the labels after by, without, on, ignoring and the like."""
    lists = re.findall(rf"\b(?:{'|'.join(_LABEL_LISTS)})\s*\(([^)]*)\)", expression)
    return {label.strip() for labels in lists for label in labels.split(",") if label.strip()}


def _tokens(expression: str) -> list[re.Match[str]]:
    return list(_TOKEN.finditer(expression))


def _series(tokens: list[re.Match[str]]) -> Iterator[tuple[str, str]]:
    in_label_list = False
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        text, following = token[0], after[0] if after else ""
        if text in _LABEL_LISTS and following == "(":
            in_label_list = True
        elif text == ")":
            in_label_list = False
        elif token["name"] and not in_label_list and _is_series(text, following):
            yield text, (after and after["matchers"]) or ""


def _is_series(name: str, following: str) -> bool:
    called = following == "(" or following in {"by", "without"}
    return not called and name not in _WORDS | _LABEL_LISTS


def _matchers(text: str) -> Iterator[Matcher]:
    for label, operator, double, single in _MATCHER.findall(text):
        yield Matcher(label, operator, double or single)
