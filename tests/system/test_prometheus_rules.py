"""The rules, as Prometheus itself reads and computes them."""

import subprocess
from pathlib import Path

import pytest
import yaml
from support.promql import CONFIG, dashboard_expressions, metric_names, rules
from support.requirement import require_program

PROMETHEUS = CONFIG / "prometheus"
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.yml"))
CASES = [
    case
    for path in TEST_FILES
    for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
]
ALERTS = [rule["alert"] for rule in rules() if "alert" in rule]
RECORDED = [rule["record"] for rule in rules() if "record" in rule]


def promtool(*arguments: object) -> None:
    """Run promtool; fail with what it says unless it succeeds."""
    command = [require_program("promtool"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_prometheus_takes_the_configuration() -> None:
    """prometheus.yml and the rule files that it names have no fault."""
    promtool("check", "config", PROMETHEUS / "prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", PROMETHEUS / "recording.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", PROMETHEUS / "alerts.yml")


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in TEST_FILES])
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    """The cases in config/prometheus/tests hold."""
    promtool("test", "rules", path)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_case_for_each_way(alert: str) -> None:
    """In one it fires, in another it doesn't."""
    tests = [test for case in CASES for test in case.get("alert_rule_test", [])]
    fires = [bool(test["exp_alerts"]) for test in tests if test["alertname"] == alert]
    assert True in fires
    assert False in fires


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_series_has_a_value(name: str) -> None:
    """A case says what it is."""
    tests = [test for case in CASES for test in case.get("promql_expr_test", [])]
    assert any(name in metric_names(test["expr"]) and test["exp_samples"] for test in tests)


def test_prometheus_can_read_the_dashboard(tmp_path: Path) -> None:
    """Each query is PromQL, once Grafana has filled in its variables."""
    queries = [
        {"record": f"query{number}", "expr": text.replace("$__rate_interval", "5m")}
        for number, text in enumerate(dashboard_expressions().values())
    ]
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": queries}]}))
    promtool("check", "rules", path)
