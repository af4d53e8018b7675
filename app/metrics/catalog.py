"""Every metric, once: its name, kind, labels, and what a rise means."""

from dataclasses import dataclass
from typing import Literal

from app.state.shutdowns import BUCKET_SECONDS

ObjectOperation = Literal["put", "get", "delete", "list", "check"]
"""The values of the label `operation` of object_store_operations_total."""


@dataclass(frozen=True)
class Metric:
    """One metric; `buckets` are the upper bounds of a histogram, without `+Inf`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    rise: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
_REQUEST_LABELS = ("method", "endpoint", "status")

REQUEST_DURATION = Metric(
    "http_request_duration_seconds",
    "histogram",
    "From the request headers to the answer, including the upload",
    "Slow clients, a slow disk, or too few workers.",
    _REQUEST_LABELS,
    _SECONDS,
)
REQUESTS = Metric(
    "http_requests_total",
    "counter",
    "Requests answered on the API port",
    "More traffic; the status says which kind.",
    _REQUEST_LABELS,
)
RESPONSE_SIZE = Metric(
    "http_response_size_bytes",
    "histogram",
    "Size of response bodies",
    "More errors: a problem document is longer than a receipt.",
    _REQUEST_LABELS,
    (64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0),
)
ACTIVE_REQUESTS = Metric(
    "http_active_requests",
    "gauge",
    "Requests in flight, over all workers",
    "Slow clients, or more work than the workers can do.",
)
EMAILS = Metric(
    "emails_processed_total",
    "counter",
    "Messages by outcome",
    "duplicate: a relay sends messages again; rejected: the relay's filters let too much through; "
    "error: mail is waiting at the relay.",
    ("status",),
)
EMAIL_SIZE = Metric(
    "email_size_bytes",
    "histogram",
    "Size of each stored message",
    "Larger mail, which needs more space and time.",
    buckets=tuple(1024.0 * 2**power for power in range(15)),
)
EMAIL_DURATION = Metric(
    "email_processing_duration_seconds",
    "histogram",
    "From the last byte of a message until it is durable",
    "A slow disk, or more work than the CPUs can do; the client's speed doesn't matter.",
    buckets=_SECONDS,
)
WITHOUT_ENDPOINT = Metric(
    "messages_without_endpoint_total",
    "counter",
    "Messages stored without an endpoint, although some are configured",
    "No application gets these messages: a route is missing, or they are for addresses that are not"
    " in use.",
)
STORAGE_OPERATIONS = Metric(
    "storage_operations_total",
    "counter",
    "Operations of the store: add stores a message, check is a health check",
    "failure: the disk is full, read-only or broken; the log has the reason.",
    ("operation", "status"),
)
COMMIT_BATCH_SIZE = Metric(
    "storage_commit_batch_size",
    "histogram",
    "Messages in one commit, including duplicates",
    "More messages arrive at the same moment and share a sync.",
    buckets=(1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0),
)
STORAGE_FREE = Metric(
    "storage_free_bytes",
    "gauge",
    "Free space in the file system of the data directory",
    "When it falls: the disk has to grow, or the data directory has to move, since GoMail keeps"
    " every message unless retention_days or retention_max_bytes is set.",
)
STORAGE_SIZE = Metric(
    "storage_size_bytes",
    "gauge",
    "Size of the file system of the data directory",
    "The disk has grown.",
)
STORED_MESSAGES = Metric(
    "stored_messages",
    "gauge",
    "Messages that are stored",
    "More mail comes than is deleted.",
)
STORED_BYTES = Metric(
    "stored_bytes",
    "gauge",
    "Sum of the sizes of all stored messages",
    "More mail comes than is deleted: set retention_days or retention_max_bytes, or plan for a"
    " larger disk.",
)
MESSAGES_DELETED = Metric(
    "messages_deleted_total",
    "counter",
    "Messages deleted, by reason, since the database was made",
    "retention: mail reaches its age, or the store its size; request: somebody deletes mail.",
    ("reason",),
)
RECORDS_PASSED_OVER = Metric(
    "storage_records_passed_over_total",
    "counter",
    "Damaged parts of segments that a start has found, since the database was made",
    "The disk has damaged stored mail; the log names the segments.",
)
RETENTION_LAST_RUN = Metric(
    "storage_retention_last_run_timestamp_seconds",
    "gauge",
    "When retention last did all that was due, in seconds since 1970; 0 when it never did",
    "It runs, every minute. When it stays the same: mail that has to go isn't deleted or erased;"
    " the log has the reason.",
)
KEPT_FOR_DELIVERY = Metric(
    "storage_messages_kept_for_delivery",
    "gauge",
    "Messages that retention would have deleted, but for deliveries that are pending or dead",
    "An endpoint has been down for longer than messages are kept, or dead deliveries wait to be"
    " retried or discarded; the disk can fill up.",
)
DELIVERY_ATTEMPTS = Metric(
    "delivery_attempts_total",
    "counter",
    "Requests to endpoints, by outcome",
    "refused: an endpoint answers with an error; timeout: it is too slow; unreachable: it can't be"
    " connected to. The log has the status and the reason.",
    ("endpoint", "outcome"),
)
DELIVERY_ATTEMPT_DURATION = Metric(
    "delivery_attempt_duration_seconds",
    "histogram",
    "Duration of requests to endpoints, whatever the outcome",
    "A slow endpoint: it should answer at once, and process messages afterwards.",
    ("endpoint",),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
DELIVERIES = Metric(
    "deliveries",
    "gauge",
    "Stored deliveries, by state",
    "pending: endpoints accept mail more slowly than it arrives, or not at all; dead: messages"
    " that didn't reach the application: retry or discard them.",
    ("endpoint", "state"),
)
DELIVERY_OLDEST_PENDING = Metric(
    "delivery_oldest_pending_seconds",
    "gauge",
    "Age of the oldest pending delivery; 0 when there is none",
    "Messages don't reach the endpoint; delivery_attempts_total shows why.",
    ("endpoint",),
)
DELIVERY_ENDPOINT_STATE = Metric(
    "delivery_endpoint_state",
    "gauge",
    "1 for the state that an endpoint is in, 0 for the others",
    "open: it keeps failing, and gets only probes; paused: it gets nothing until it is resumed, or"
    " added to the configuration again.",
    ("endpoint", "state"),
)
DATABASE_CONNECTIONS = Metric(
    "database_pool_connections",
    "gauge",
    "Connections of the workers to the database",
    "in_use: more requests at once, or a slower database. Each worker has database_pool_size at"
    " most.",
    ("state",),
)
DATABASE_WAIT = Metric(
    "database_pool_wait_seconds",
    "histogram",
    "How long each use of the database waited for a connection",
    "The database is slow, or database_pool_size is too small.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
DATABASE_CONNECT_ERRORS = Metric(
    "database_connect_errors_total",
    "counter",
    "Attempts to connect to the database that failed",
    "The database is down, is failing over, has no connection left, or refuses the password; the"
    " log has the reason.",
)
OBJECT_STORE_OPERATIONS = Metric(
    "object_store_operations_total",
    "counter",
    "Requests to the object store",
    "failure: it is down, slow or full, or refuses the access key; the log has the reason.",
    ("operation", "status"),
)
RATE_LIMIT_HITS = Metric(
    "rate_limit_hits_total",
    "counter",
    "Requests that the rate limit has allowed or denied",
    "denied: a client sends too much, or the limit is too low for it.",
    ("action",),
)
AUTH_FAILURES = Metric(
    "auth_failures_total",
    "counter",
    "Requests without a valid token",
    "A client with an old token, or someone guessing tokens.",
)
ERRORS = Metric(
    "errors_total",
    "counter",
    "Answers with a problem document, by error code",
    "See the meaning of the code on the API page.",
    ("type", "endpoint"),
)
TIMEOUTS = Metric(
    "timeouts_total",
    "counter",
    "Requests whose client was too slow",
    "A bad network, or someone holding connections open.",
    ("endpoint",),
)
SHUTDOWNS = Metric(
    "shutdowns_total",
    "counter",
    "Shutdowns since the data directory was created",
    "forced: requests were cut off; raise shutdown_timeout, or find what hangs.",
    ("type",),
)
SHUTDOWN_DURATION = Metric(
    "shutdown_duration_seconds",
    "histogram",
    "How long shutdowns took, kept across restarts",
    "Long requests, which a deploy must wait for.",
    ("type",),
    BUCKET_SECONDS,
)
DRAINING = Metric(
    "server_draining",
    "gauge",
    "1 while the server drains and accepts no new requests",
    "A shutdown has begun.",
)
CONFIG_LIMIT = Metric(
    "config_limit",
    "gauge",
    "Configured and system limits, so that usage can be compared with them",
    "The configuration has changed.",
    ("name",),
)
BUILD_INFO = Metric("build_info", "gauge", "1, labelled by version", "A new version.", ("version",))
PYTHON_INFO = Metric(
    "python_info",
    "gauge",
    "1, labelled by the Python interpreter of each process",
    "A new interpreter.",
    ("version", "implementation", "worker"),
)
GC_COLLECTIONS = Metric(
    "python_gc_collections_total",
    "counter",
    "Runs of the garbage collector",
    "More objects are created, usually by more traffic.",
    ("worker", "generation"),
)
GC_OBJECTS_COLLECTED = Metric(
    "python_gc_objects_collected_total",
    "counter",
    "Objects in reference cycles that the garbage collector has freed",
    "Errors with tracebacks leave reference cycles; look at errors_total.",
    ("worker", "generation"),
)
THREADS = Metric(
    "python_threads",
    "gauge",
    "Threads of a process",
    "Slow clients: each upload that waits for bytes occupies a thread.",
    ("worker",),
)
RESIDENT_MEMORY = Metric(
    "process_resident_memory_bytes",
    "gauge",
    "Memory of a process in RAM, including shared pages",
    "Several large messages at once; if it stays high, a leak.",
    ("worker",),
)
CPU_SECONDS = Metric(
    "process_cpu_seconds_total",
    "counter",
    "User and system CPU time, including earlier processes in the same slot",
    "More work; a worker whose rate reaches 1 per second can do no more.",
    ("worker",),
)
OPEN_FDS = Metric(
    "process_open_fds",
    "gauge",
    "Open file descriptors of a process",
    "More connections.",
    ("worker",),
)
START_TIME = Metric(
    "process_start_time_seconds",
    "gauge",
    "When a process was started, in seconds since 1970",
    "The process was replaced; if you didn't do it, look at the log.",
    ("worker",),
)

CATALOG = tuple(each for each in vars().values() if isinstance(each, Metric))
"""All of them, in the order of the documentation."""
