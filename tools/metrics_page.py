"""The page about metrics: docs/metrics.md."""

from collections.abc import Iterable

from alerts_section import alerts_section

from app.errors import ERRORS
from app.metrics.catalog import CATALOG
from app.metrics.delivery_families import ENDPOINT_STATES, STATES
from app.metrics.delivery_recorder import OUTCOMES
from app.metrics.recorder import (
    CONNECTION_STATES,
    METHODS,
    OBJECT_OPERATIONS,
    OTHER_METHOD,
    UNMATCHED,
)

MEASURED_ON = "2026-11-24"
FIGURES = {
    "bare": "42 us",
    "hooks": "31 us",
    "library": "10.5 us",
    "slots": "3.3 us",
    "added": "8.5 us",
    "whole": "950 us",
    "share": "0.90 %",
    "on_disk": "14.0 us, 1.47 %",
}
"""What `make bench-metrics` printed on that day; by hand, since every machine prints others."""

HEAD = """\
# Metrics

Every metric and what a rise means, then the alerts. This page is generated from the code by
`make docs`.

Prometheus scrapes `http://127.0.0.1:9090/metrics`; `metrics_host`, `metrics_port` and
`metrics_path` change that address. No token is needed, so make the port reachable only for
Prometheus. Any other path is answered 404.

```console
$ curl http://127.0.0.1:9090/metrics
$ curl --globoff 'http://127.0.0.1:9090/metrics?name[]=build_info&name[]=config_limit'
```

The answer is in Prometheus's text format, or in OpenMetrics for a client that prefers it. `name[]`,
once or several times, selects metrics.

A separate process answers, so scrapes don't slow down mail, and work while every worker is busy. If
that process ends, the master restarts it, and no number is lost. With `metrics_enabled: false`
there is no port and no process, and nothing is counted.

## All metrics
"""

LABELS = """\
## Labels

Label values that a client influences come from a fixed list, so no client can fill the memory of
Prometheus.
"""

COUNTING = """\
## How it counts

Each worker has a slot, and adds to the numbers in its slot's files; a scrape adds up the files of
all slots. When a worker ends, its successor takes over the slot, so no counter falls until GoMail
is restarted. A reload (SIGHUP) keeps the counters too. Only the shutdown metrics, and what the
store counts, are kept across a restart.

The database counts `stored_messages`, `stored_bytes`, `messages_deleted_total`,
`storage_records_passed_over_total` and `storage_retention_last_run_timestamp_seconds`, in the same
transactions as what they are about, over all servers that share the data directory. When it is made
anew from the segments, `messages_deleted_total` begins at 0 again, as other counters do after a
restart. While the database can't be read within half a second, these five are left out.

With `database_url`, all hosts share these five and the figures about deliveries: take the value of
one host, not the sum. The metrics whose names begin with `database_` are there only with
`database_url`, and `object_store_operations_total` only with `object_store_url`. They count what
the workers do.

`deliveries`, `delivery_oldest_pending_seconds` and paused endpoints are read from the store. The
delivery process counts attempts, and records which endpoints are open, in files of its own. The
attempts of `flask gomail deliver`, which has no metrics port, aren't counted.

The files are in shared memory, in a directory `gomail-metrics-…` in `/dev/shm`, which is removed at
the end. They are not in the data directory, because the kernel kills a process that writes to a
mapped file on a full or broken disk: counting mail must not cost mail. Each slot takes 1152 KiB.

Some metrics are worked out only when Prometheus asks, so they cost requests nothing:
`http_requests_total`, `emails_processed_total{{status="success"}}`,
`storage_operations_total{{operation="add",status="success"}}`, `http_active_requests`, the disk,
the configuration, and everything about processes.

## prometheus-flask-exporter

This library answers on the metrics port: it adds the path, chooses the format that the client
prefers, and applies `name[]`. It doesn't count requests here. Its default hooks add {hooks} to a
request that costs a bare Flask application {bare}, they don't count messages, and they make a new
label value of every path that a client invents. So they are off (`export_defaults=False`), and one
hook of GoMail's own (`app/web/hooks/counts.py`) counts instead.

## What it costs

Measured on {date} by `make bench-metrics`, in CPU time:

| | |
|---|---|
| counting a request, in prometheus_client's own files | {library} |
| the same in the files of a slot | {slots} |
| all that metrics add to a message of 4 KiB, its commit included | {added} |
| the whole request, in the workers under Gunicorn | {whole} |
| the share of the metrics | {share} |

It may not be 3 % or more: then `make bench-metrics` fails. What is added was measured without a
disk, whose noise hides it; right after a write, when the caches are cold, it is {on_disk}.
"""


def metrics_page() -> str:
    """Return docs/metrics.md."""
    parts = [
        HEAD,
        _metrics(),
        LABELS,
        _labels(),
        "## Buckets\n",
        _buckets(),
        COUNTING.format(date=MEASURED_ON, **FIGURES),
        alerts_section(),
    ]
    return "\n".join(parts)


def _metrics() -> str:
    rows = [
        f"| `{metric.name}` | {metric.kind} | {_codes(metric.labels)} | {metric.help} "
        f"| {metric.rise} |"
        for metric in CATALOG
    ]
    head = ["| name | type | labels | what it is | what a rise means |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _labels() -> str:
    meaning = {
        "method": f"{_codes(sorted(METHODS))}, or `{OTHER_METHOD}`",
        "endpoint": f"of requests: the path when it is one of the API's, else `{UNMATCHED}`; of "
        "deliveries: the name of a configured endpoint, or of a former one that has deliveries",
        "status": "of a request: the HTTP status; of a message: `success`, `duplicate`, "
        "`rejected`, or `error`; of an operation: `success` or `failure`",
        "outcome": _codes(OUTCOMES),
        "state": f"of deliveries: {_codes(STATES)}; of an endpoint: {_codes(ENDPOINT_STATES)}; of "
        f"connections: {_codes(CONNECTION_STATES)}",
        "operation": "of the store: `add` or `check`; of the object store: "
        f"{_codes(OBJECT_OPERATIONS)}",
        "reason": "of a deletion: `request` or `retention`",
        "action": "`allowed` or `denied`",
        "type": f"of a shutdown: `graceful` or `forced`; of an error: {_codes(ERRORS)}",
        "name": "the setting, or `requests_at_once` over all workers, or `open_files` of a process",
        "version": "of GoMail, or of Python",
        "implementation": "of Python",
        "worker": "the number of the worker's slot, or `master`; a successor has the same",
        "generation": "`0`, `1` or `2`: how often the objects had been kept before",
    }
    rows = [f"| `{label}` | {text} |" for label, text in meaning.items()]
    return "\n".join(["| label | values |", "|---|---|", *rows, ""])


def _buckets() -> str:
    rows = [
        f"| `{metric.name}` | {', '.join(map(_number, metric.buckets))} |"
        for metric in CATALOG
        if metric.kind == "histogram"
    ]
    return "\n".join(["| histogram | upper bounds |", "|---|---|", *rows, ""])


def _number(bound: float) -> str:
    return str(int(bound)) if bound.is_integer() else str(bound)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
