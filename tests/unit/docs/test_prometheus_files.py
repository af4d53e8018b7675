import re
from collections.abc import Set

import alerts_section
import pytest
from support.promql import (
    HISTOGRAM_ENDS,
    Matcher,
    Selector,
    dashboard_expressions,
    expressions,
    grouping_labels,
    metric,
    metric_names,
    recorded,
    rules,
    selectors,
)

from app.errors import ERRORS
from app.metrics.catalog import CATALOG
from app.metrics.delivery_families import ENDPOINT_STATES, STATES
from app.metrics.delivery_recorder import OUTCOMES
from app.metrics.limits import limits
from app.metrics.recorder import (
    CONNECTION_STATES,
    METHODS,
    OBJECT_OPERATIONS,
    OTHER_METHOD,
    UNMATCHED,
)
from app.settings import load
from app.storage.message import Reason
from app.web.inbound import RULES

HISTOGRAMS = {each.name: set(each.labels) for each in CATALOG if each.kind == "histogram"}
COUNTERS_AND_GAUGES = {each.name: set(each.labels) for each in CATALOG if each.kind != "histogram"}
PROMETHEUS_OWN: dict[str, set[str]] = {"up": set()}
LABELS = HISTOGRAMS | COUNTERS_AND_GAUGES | PROMETHEUS_OWN
SERIES = {
    *COUNTERS_AND_GAUGES,
    *PROMETHEUS_OWN,
    *(name + end for name in HISTOGRAMS for end in HISTOGRAM_ENDS),
}
TARGET = {"job", "instance"}
SEVERAL_HOSTS = {
    "MAIL_DATABASE_URL": "postgresql:///gomail",
    "MAIL_BEARER_TOKEN": "k7" * 16,
    "MAIL_API_TOKEN": "a7" * 16,
}

SHUTDOWNS = {"graceful", "forced"}
VALUES: dict[tuple[str, str], Set[str]] = {
    ("emails_processed_total", "status"): {"success", "duplicate", "rejected", "error"},
    ("storage_operations_total", "operation"): {"add", "check"},
    ("object_store_operations_total", "operation"): set(OBJECT_OPERATIONS),
    ("object_store_operations_total", "status"): {"success", "failure"},
    ("database_pool_connections", "state"): set(CONNECTION_STATES),
    ("storage_operations_total", "status"): {"success", "failure"},
    ("rate_limit_hits_total", "action"): {"allowed", "denied"},
    ("messages_deleted_total", "reason"): set(Reason),
    ("delivery_attempts_total", "outcome"): set(OUTCOMES),
    ("instance_endpoint_outcome:delivery_attempts:rate5m", "outcome"): set(OUTCOMES),
    ("deliveries", "state"): set(STATES),
    ("delivery_endpoint_state", "state"): set(ENDPOINT_STATES),
    ("shutdowns_total", "type"): SHUTDOWNS,
    ("shutdown_duration_seconds", "type"): SHUTDOWNS,
    ("errors_total", "type"): set(ERRORS),
    ("config_limit", "name"): set(limits(load({}, SEVERAL_HOSTS))),
}
VALUES_EVERYWHERE: dict[str, Set[str]] = {
    "method": METHODS | {OTHER_METHOD},
    "endpoint": {*RULES, "/health", "/ready", "/metrics", "/openapi.json", UNMATCHED},
    "worker": {"master", "0"},
}

every_expression = pytest.mark.parametrize(
    "expression", [pytest.param(text, id=where) for where, text in expressions().items()]
)


def labels(name: str) -> set[str]:
    """Return the labels that a series called `name` has, beside those of its target."""
    if ":" in name:
        return set(name.split(":", maxsplit=1)[0].split("_"))
    return LABELS[metric(name)] | ({"le"} if name.endswith("_bucket") else set())


@every_expression
def test_every_series_exists(expression: str) -> None:
    """The server exports each metric that is asked for, or a rule records it."""
    names = {selector.name for selector in selectors(expression)}
    assert names
    assert names - SERIES - recorded() == set()


@every_expression
def test_every_label_exists(expression: str) -> None:
    """A series has each label that it is chosen by, and one in the expression each of by."""
    found = selectors(expression)
    for selector in found:
        asked = {matcher.label for matcher in selector.matchers}
        assert asked - labels(selector.name) - TARGET == set()
    of_any = set[str]().union(*(labels(selector.name) for selector in found))
    assert grouping_labels(expression) - of_any - TARGET == set()


@every_expression
def test_every_value_exists(expression: str) -> None:
    """A label can have each value that it is compared with: a typing error would match nothing."""
    for selector in selectors(expression):
        for matcher in selector.matchers:
            label = matcher.label
            known = VALUES.get((metric(selector.name), label)) or VALUES_EVERYWHERE.get(label)
            if known:
                for value in matcher.value.split("|"):
                    assert any(re.fullmatch(value, one) for one in known), value


@every_expression
def test_no_other_job_is_mixed_in(expression: str) -> None:
    """http_requests_total is a name that others use too: each raw series is chosen by its job."""
    for selector in selectors(expression):
        if ":" not in selector.name:
            assert ("job", "=", "gomail") in selector.matchers


def test_the_dashboard_shows_the_servers_that_are_chosen() -> None:
    """Every query of a panel is for $instance."""
    for where, expression in dashboard_expressions().items():
        for selector in selectors(expression):
            chosen = ("instance", "=~", "$instance") in selector.matchers
            assert chosen or where == "variable instance"


def test_every_metric_is_shown_or_recorded() -> None:
    """Nothing is exported that neither dashboard nor rule reads."""
    used = set().union(*(metric_names(expression) for expression in expressions().values()))
    assert set(LABELS) - used == set()


def test_every_recorded_series_is_read() -> None:
    """No rule computes what no alert, no panel and no other rule asks for."""
    used = set().union(*(metric_names(expression) for expression in expressions().values()))
    assert recorded() - used == set()


def test_every_alert_tells_what_to_do() -> None:
    """Severity, a summary that needs no values, what was seen, and what to do."""
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) >= 15
    for rule in alerts:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        summary, description = rule["annotations"]["summary"], rule["annotations"]["description"]
        seen, to_do = description.splitlines()
        assert "{{" not in summary + to_do
        assert "{{ $labels.instance }}" in seen or "absent" in rule["expr"]


def test_the_section_has_every_alert() -> None:
    """A line for each, with its severity and what to do."""
    section = alerts_section.alerts_section()
    for rule in rules():
        if "alert" in rule:
            [line] = re.findall(rf"^\| {rule['alert']} \|.*$", section, re.MULTILINE)
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == 5
            assert cells[1] == rule["labels"]["severity"]
            assert cells[4] == rule["annotations"]["description"].splitlines()[1]


def test_the_files_that_the_section_names_exist() -> None:
    """Each link leads to a file."""
    docs = alerts_section.ALERTS.parents[2] / "docs"
    links = re.findall(r"\]\(([^)]+)\)", alerts_section.HEAD)
    assert len(links) >= 4
    assert all((docs / link).is_file() for link in links)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("up", {"up"}),
        ('sum by (a) (rate(x_total{b="c}"}[5m] offset 1d)) > bool 1e3', {"x_total"}),
        ("a_bucket / on (job) group_left (version) b_sum unless c_count", {"a", "b", "c"}),
        ("sum without(le) (one:two_bucket:rate5m) or inf", {"one:two_bucket:rate5m"}),
        ("rate(x_total[$__rate_interval])", {"x_total"}),
    ],
)
def test_names_are_found(expression: str, found: set[str]) -> None:
    """Metrics only: no functions, labels, words of the language, ranges or strings."""
    assert metric_names(expression) == found


def test_matchers_are_found() -> None:
    """Each with its operator and value, whatever the value looks like."""
    assert selectors('x{a="1", b!~"{2|3}"} * y') == [
        Selector("x", (Matcher("a", "=", "1"), Matcher("b", "!~", "{2|3}"))),
        Selector("y", ()),
    ]
    assert grouping_labels("sum by (a, b) (x) / ignoring(c) group_left y") == {"a", "b", "c"}
