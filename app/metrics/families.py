"""Converts metrics of the catalog to what a prometheus_client collector yields."""

from collections.abc import Mapping

from prometheus_client import Metric as Family

from app.metrics.catalog import Metric


def family(metric: Metric) -> Family:
    """Return the family of `metric`, without samples."""
    return Family(metric.name.removesuffix("_total"), metric.help, metric.kind)


def labelled(metric: Metric, values: Mapping[str, float]) -> Family:
    """Return the family of `metric` with one sample for each value of its only label."""
    made = family(metric)
    (label,) = metric.labels
    for value, number in values.items():
        made.add_sample(metric.name, {label: value}, number)
    return made


def single(metric: Metric, value: float) -> Family:
    """Return the family of `metric`, which has no labels."""
    made = family(metric)
    made.add_sample(metric.name, {}, value)
    return made
