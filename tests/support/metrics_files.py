"""What a collection of metrics has told."""

from collections.abc import Callable, Iterable
from operator import itemgetter

from prometheus_client import Metric

# The values by their name and labels, which are in the order of the labels' names.
Values = dict[tuple[str, ...], float]
Read = Callable[[], Values]


def values_of(families: Iterable[Metric]) -> Values:
    """Return the values of all samples."""
    return {
        (sample.name, *map(itemgetter(1), sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
