"""The limits that are exposed as metrics, so that a dashboard can show how close usage comes."""

import resource

from app.settings import Settings, Storage
from app.settings.model import WAITING_THREADS


def limits(settings: Settings) -> dict[str, float]:
    """Return each limit by name: the name of its setting, except for two.

    requests_at_once is for all workers together, open_files for each process. Those of the database
    are there only with one.
    """
    server, timeouts, retention = settings.server, settings.timeouts, settings.retention
    return {
        "max_message_size": settings.mail.max_message_size,
        "rate_limit_per_minute": settings.rate_limit.per_minute,
        "api_rate_limit_per_minute": settings.rate_limit.api_per_minute,
        "rate_limit_burst": settings.rate_limit.burst,
        "read_timeout": timeouts.read,
        "write_timeout": timeouts.write,
        "idle_timeout": timeouts.idle,
        "handler_timeout": timeouts.handler,
        "shutdown_timeout": server.shutdown_timeout,
        "workers": server.workers,
        "threads": server.threads,
        "retention_days": retention.days,
        "retention_max_bytes": retention.max_bytes,
        "deduplication_days": retention.deduplication_days,
        "delivery_threads": settings.deliveries.threads,
        "requests_at_once": server.workers * (server.threads + WAITING_THREADS),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        **_of_database(settings.storage),
    }


def _of_database(storage: Storage) -> dict[str, float]:
    if storage.database_url is None:
        return {}
    return {"database_pool_size": storage.pool_size, "storage_timeout": storage.timeout}
