"""The section about Prometheus and Grafana for docs/metrics.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ALERTS = Path(__file__).parents[1] / "config" / "prometheus" / "alerts.yml"

HEAD = """\
## Prometheus and Grafana

| file | what it is |
|---|---|
| [prometheus.yml](../config/prometheus/prometheus.yml) | how to scrape; list your servers in it |
| [recording.yml](../config/prometheus/recording.yml) | rates, ratios and percentiles |
| [alerts.yml](../config/prometheus/alerts.yml) | the alerts below |
| [gomail.json](../config/grafana/gomail.json) | the dashboard, for Grafana 10.1 or later |

Rules and dashboard find servers by the job name `gomail`. You can scrape any number of servers;
each alert names the one it is about. The dashboard uses the rules in recording.yml, so load both.

Prometheus listens on port 9090 unless told otherwise, and so do GoMail's metrics. On one host:

```console
$ prometheus --config.file=config/prometheus/prometheus.yml --web.listen-address=127.0.0.1:9091
```

In Grafana: Dashboards, New, Import, then upload gomail.json and choose the data source.

After a change of the rules: `promtool test rules config/prometheus/tests/*.yml`.

### Alerts

No alert warns that messages come close to `max_message_size`, or a client to its rate limit: size
buckets double each time, and clients aren't counted one by one. GoMailMessagesTooLarge and
GoMailClientsRateLimited fire when mail is refused because of these limits.

- GoMailStuckDraining waits 5 minutes. If `shutdown_timeout` is over 4 minutes, raise its `for`.
- GoMailHandlerTimeoutNear can't see beyond 25 seconds, where the last bucket ends. If
  `handler_timeout` is over 31 seconds, rely on GoMailTimeouts.

| alert | severity | fires when | for | what to do |
|---|---|---|---|---|
"""


def alerts_section() -> str:
    """Return the section, with a line for each alert in alerts.yml."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return HEAD + "".join(_line(rule) for group in groups for rule in group["rules"])


def _line(rule: Mapping[str, Any]) -> str:
    texts = rule["annotations"]
    _seen, to_do = texts["description"].splitlines()
    cells = [
        rule["alert"],
        rule["labels"]["severity"],
        texts["summary"],
        rule.get("for", "at once"),
        to_do,
    ]
    return f"| {' | '.join(cells)} |\n"
