"""What the Grafana dashboard shows, row by row."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.models import units
from panels import (
    OURS,
    SERVERS,
    Graph,
    Number,
    Table,
    gauge,
    mean,
    quantile,
    quantiles,
    rate,
    recorded,
)

INBOUND = f'endpoint="/mail/inbound", {SERVERS}'
WORKER = "{{instance}} worker {{worker}}"
ACCEPTED = recorded("instance:emails_accepted:increase1h")

TRAFFIC = [
    Number("Servers that answer", units.Short, {"": f"sum(up{{{OURS}}})"}),
    Number(
        "Requests",
        units.RequestsPerSecond,
        {"{{instance}}": recorded("instance:http_requests:rate5m")},
    ),
    Number("Version", units.Short, {"{{instance}}: {{version}}": gauge("build_info")}, named=True),
    Number(
        "Time since the start",
        units.DurationSeconds,
        {"{{instance}}": f'time() - process_start_time_seconds{{{OURS}, worker="master"}}'},
    ),
    Graph(
        "Requests by endpoint",
        units.RequestsPerSecond,
        {"{{instance}} {{endpoint}}": recorded("instance_endpoint:http_requests:rate5m")},
    ),
    Graph(
        "Requests by status",
        units.RequestsPerSecond,
        {
            "{{instance}} {{status}}": "sum without (endpoint) "
            f"({recorded('instance_endpoint_status:http_requests:rate5m')})"
        },
    ),
    Graph(
        "Bytes of answers",
        units.BytesPerSecondIEC,
        {
            "{{instance}}": "sum without (method, endpoint, status) "
            f"({rate('http_response_size_bytes_sum')})"
        },
    ),
]

MAIL = [
    Graph(
        "Messages by outcome",
        units.MessagesPerSecond,
        {"{{instance}} {{status}}": recorded("instance_status:emails_processed:rate5m")},
    ),
    Graph(
        "Messages accepted in an hour",
        units.Short,
        {
            "{{instance}}": ACCEPTED,
            "{{instance}} a day before": f"{ACCEPTED} offset 1d",
        },
        "GoMailNoMailAccepted compares these two.",
    ),
    Graph(
        "Bytes of messages",
        units.BytesPerSecondIEC,
        {"{{instance}}": rate("email_size_bytes_sum")},
    ),
    Graph(
        "Size of messages",
        units.BytesIEC,
        {
            f"{{{{instance}}}} p{share * 100:.0f}": quantile(share, "email_size_bytes")
            for share in (0.5, 0.99)
        },
        "Each bucket is twice the one before, so these are rough; above 16 MiB they tell nothing.",
    ),
    Graph(
        "Storage operations",
        units.OpsPerSecond,
        {
            "{{instance}} {{operation}} {{status}}": recorded(
                "instance_operation_status:storage_operations:rate5m"
            )
        },
    ),
    Graph(
        "Messages in one commit",
        units.Short,
        {"{{instance}}": mean("storage_commit_batch_size")},
        "The mean. It rises with the load, which is what keeps syncs from being the bound.",
    ),
]

LATENCY = [
    Graph(
        "Requests for /mail/inbound",
        units.Seconds,
        quantiles("instance_endpoint:http_request_duration_seconds", INBOUND),
        "With the time that the client takes to send.",
    ),
    Graph(
        "Requests by endpoint, p99",
        units.Seconds,
        {
            "{{instance}} {{endpoint}}": recorded(
                "instance_endpoint:http_request_duration_seconds:p99_rate5m"
            )
        },
    ),
    Graph(
        "From the last byte until durable",
        units.Seconds,
        quantiles("instance:email_processing_duration_seconds"),
        alert_at=1,
    ),
]

ERRORS = [
    Graph(
        "Mail requests that fail through a fault of the server",
        units.PercentUnit,
        {"{{instance}}": recorded("instance:mail_request_errors:ratio_rate5m")},
        alert_at=0.05,
    ),
    Graph(
        "Errors by type",
        units.RequestsPerSecond,
        {"{{instance}} {{type}}": recorded("instance_type:errors:rate5m")},
    ),
    Graph(
        "Requests without a valid token",
        units.RequestsPerSecond,
        {"{{instance}}": rate("auth_failures_total")},
    ),
    Graph(
        "Timeouts",
        units.RequestsPerSecond,
        {"{{instance}} {{endpoint}}": rate("timeouts_total")},
    ),
    Graph(
        "Rate limit",
        units.RequestsPerSecond,
        {"{{instance}} {{action}}": rate("rate_limit_hits_total")},
    ),
    Graph(
        "Share that the rate limit denies",
        units.PercentUnit,
        {"{{instance}}": recorded("instance:rate_limit_denied:ratio_rate5m")},
        alert_at=0.05,
    ),
]

LIMITS = [
    Graph(
        "How much of each limit is used",
        units.PercentUnit,
        {
            "{{instance}} requests at once": recorded("instance:http_active_requests:limit_ratio"),
            "{{instance}} open files": recorded("instance:process_open_fds:limit_ratio"),
            "{{instance}} handler_timeout (p99)": recorded(
                "instance:handler_timeout:p99_limit_ratio"
            ),
            "{{instance}} disk": f"1 - {recorded('instance:storage_free:ratio')}",
        },
        alert_at=0.8,
    ),
    Graph("Requests in flight", units.Short, {"{{instance}}": gauge("http_active_requests")}),
    Graph(
        "Disk",
        units.BytesIEC,
        {
            "{{instance}} free": gauge("storage_free_bytes"),
            "{{instance}} size": gauge("storage_size_bytes"),
        },
    ),
    Table("What the limits are", gauge("config_limit"), ["instance", "name", "Value"]),
]

RUNTIME = [
    Graph("Memory", units.BytesIEC, {WORKER: gauge("process_resident_memory_bytes")}),
    Graph("Processor", units.PercentUnit, {WORKER: rate("process_cpu_seconds_total")}),
    Graph("Open files", units.Short, {WORKER: gauge("process_open_fds")}),
    Graph("Threads", units.Short, {WORKER: gauge("python_threads")}),
    Graph(
        "Garbage collections",
        units.OpsPerSecond,
        {f"{WORKER} generation {{{{generation}}}}": rate("python_gc_collections_total")},
    ),
    Graph(
        "Objects that garbage collections freed",
        units.OpsPerSecond,
        {f"{WORKER} generation {{{{generation}}}}": rate("python_gc_objects_collected_total")},
    ),
    Table("Python", gauge("python_info"), ["instance", "worker", "implementation", "version"]),
]

DRAINS = [
    Graph("Draining", units.Short, {"{{instance}}": gauge("server_draining")}),
    Graph(
        "Shutdowns since the first start",
        units.Short,
        {"{{instance}} {{type}}": gauge("shutdowns_total")},
    ),
    Graph(
        "How long shutdowns take",
        units.Seconds,
        {
            "{{instance}} {{type}} p95": "histogram_quantile(0.95, "
            f"{gauge('shutdown_duration_seconds_bucket')})"
        },
        "Over all shutdowns since the first start, since there are few.",
    ),
]

ROWS: Mapping[str, Sequence[Graph | Number | Table]] = {
    "Traffic": TRAFFIC,
    "Mail": MAIL,
    "Latency": LATENCY,
    "Errors": ERRORS,
    "Limits": LIMITS,
    "Runtime": RUNTIME,
    "Drains": DRAINS,
}
