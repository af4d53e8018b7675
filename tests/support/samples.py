"""What a scrape of the metrics port has brought."""

from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, frozenset[tuple[str, str]]]


class Samples:
    """The samples of one scrape, each by its name and labels."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self.values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def matching(self, name: str, /, **labels: str) -> dict[Key, float]:
        """Return the samples of `name` that have `labels` and maybe others."""
        wanted = labels.items()
        return {
            key: value for key, value in self.values.items() if key[0] == name and wanted <= key[1]
        }

    def value(self, name: str, /, **labels: str) -> float:
        """Return the sum of the samples of `name` that have `labels`; 0 without any."""
        return sum(self.matching(name, **labels).values())

    def by(self, label: str, name: str, /, **labels: str) -> dict[str, float]:
        """Return that sum for each value of `label`, without those that are 0."""
        sums: dict[str, float] = {}
        for (_, found), value in self.matching(name, **labels).items():
            key = dict(found)[label]
            sums[key] = sums.get(key, 0) + value
        return {key: value for key, value in sums.items() if value}

    def monotonic(self) -> dict[Key, float]:
        """Return all samples that must never fall: those of counters and histograms."""
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            if family.type in {"counter", "histogram"}
            for sample in family.samples
        }
