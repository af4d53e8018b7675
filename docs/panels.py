"""Kinds of panels of the Grafana dashboard, and the expressions they show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SERVERS = 'instance=~"$instance"'
OURS = f'job="gomail", {SERVERS}'


@dataclass(frozen=True)
class Graph:
    """Lines over time: an expression for each legend; alert_at is where a line is drawn."""

    title: str
    unit: str
    queries: Mapping[str, str]
    description: str = ""
    alert_at: float | None = None


@dataclass(frozen=True)
class Number:
    """The last value of each expression; named shows its legend instead."""

    title: str
    unit: str
    queries: Mapping[str, str]
    description: str = ""
    named: bool = False


@dataclass(frozen=True)
class Table:
    """The last value of each series, with some of its labels."""

    title: str
    query: str
    columns: Sequence[str]
    description: str = ""


def recorded(name: str, only: str = SERVERS) -> str:
    """Return the series of a recording rule, for the servers that are chosen."""
    return f"{name}{{{only}}}"


def gauge(name: str) -> str:
    """Return a metric as it is."""
    return f"{name}{{{OURS}}}"


def rate(name: str) -> str:
    """Return how fast a counter rises."""
    return f"rate({name}{{{OURS}}}[$__rate_interval])"


def mean(name: str) -> str:
    """Return the mean of a histogram's observations."""
    return f"{rate(f'{name}_sum')} / {rate(f'{name}_count')}"


def quantile(share: float, name: str) -> str:
    """Return what that share of a histogram's observations is below."""
    return f"histogram_quantile({share}, {rate(f'{name}_bucket')})"


def quantiles(name: str, only: str = SERVERS) -> dict[str, str]:
    """Return p50, p95 and p99 as recorded for a histogram, each with its legend."""
    parts = ("p50", "p95", "p99")
    return {f"{{{{instance}}}} {part}": recorded(f"{name}:{part}_rate5m", only) for part in parts}
