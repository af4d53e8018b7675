"""The settings as the rest of GoMail sees them: one frozen dataclass for each part.

A field takes the value of the schema key of its own name, or of the key in its metadata.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, TypeVar

from app.domains import comparable
from app.settings.endpoints import Deliveries, Secrets, as_tuple, make_endpoints
from app.settings.files import real_path

WAITING_THREADS = 120
"""How many requests of one worker may wait for bytes, on top of the `threads` being handled."""

Part = TypeVar("Part")


def _domain(name: str | None) -> str | None:
    return comparable(name) if name else None


def _domains(names: Iterable[str]) -> frozenset[str]:
    return frozenset(map(comparable, names))


def _networks(networks: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(ip_network, networks))


def _from(key: str, convert: Callable[[Any], Any] | None = None) -> Mapping[str, Any]:
    return {"key": key, "convert": convert}


@dataclass(frozen=True)
class Server:
    """The API port and its processes; `shutdown_timeout` in seconds."""

    mode: str
    host: str
    port: int
    workers: int
    threads: int
    shutdown_timeout: int


@dataclass(frozen=True)
class Timeouts:
    """Time limits for clients, in seconds.

    `read` to send a request, `write` to read the answer, `idle` between two requests, `handler` to
    send what follows the head of a request.
    """

    read: int = field(metadata=_from("read_timeout"))
    write: int = field(metadata=_from("write_timeout"))
    idle: int = field(metadata=_from("idle_timeout"))
    handler: int = field(metadata=_from("handler_timeout"))


@dataclass(frozen=True)
class ObjectStore:
    """The S3 bucket for messages of `from_bytes` bytes and more; without keys nothing is signed."""

    url: str = field(metadata=_from("object_store_url"))
    endpoint: str | None = field(metadata=_from("object_store_endpoint"))
    region: str = field(metadata=_from("object_store_region"))
    access_key_id: str | None = field(metadata=_from("object_store_access_key_id"))
    secret_access_key: str | None = field(
        metadata=_from("object_store_secret_access_key"), repr=False
    )
    from_bytes: int = field(metadata=_from("object_store_from_bytes"))


@dataclass(frozen=True)
class Storage:
    """Where messages are kept; `data_dir` is absolute and may not exist yet.

    With `database_url` they are in PostgreSQL, without it in `data_dir`. `timeout` is for one
    request to the database or the object store, in seconds, and `pool_size` for one process.
    """

    data_dir: Path = field(metadata=_from("data_dir", real_path))
    database_url: str | None = field(default=None, metadata=_from("database_url"), repr=False)
    pool_size: int = field(default=4, metadata=_from("database_pool_size"))
    timeout: int = field(default=10, metadata=_from("storage_timeout"))
    objects: ObjectStore | None = None


@dataclass(frozen=True)
class Retention:
    """How long messages are kept, and how much of them; 0 is no limit.

    `days` counts from their arrival, `deduplication_days` from their deletion.
    """

    days: int = field(metadata=_from("retention_days"))
    max_bytes: int = field(metadata=_from("retention_max_bytes"))
    deduplication_days: int


@dataclass(frozen=True)
class Authentication:
    """The configured tokens; if one of these is empty, a token of that kind is generated."""

    bearer_tokens: tuple[str, ...] = field(metadata=_from("bearer_token", as_tuple), repr=False)
    api_tokens: tuple[str, ...] = field(metadata=_from("api_token", as_tuple), repr=False)


@dataclass(frozen=True)
class Mail:
    """Which messages are accepted; sizes in bytes, domains as from `app.domains.comparable`."""

    hostname: str | None = field(metadata=_from("mail_hostname", _domain))
    primary_domain: str | None = field(metadata=_from("primary_domain", _domain))
    max_message_size: int
    blocked_domains: frozenset[str] = field(metadata=_from("blocked_domains", _domains))
    allowed_recipient_domains: frozenset[str] = field(
        metadata=_from("allowed_recipient_domains", _domains)
    )


@dataclass(frozen=True)
class RateLimit:
    """The token buckets of each client, in requests; a rate of 0 turns its limit off.

    `api_per_minute` is the rate of the routes that need an api_token, which have their own bucket.
    """

    per_minute: int = field(metadata=_from("rate_limit_per_minute"))
    burst: int = field(metadata=_from("rate_limit_burst"))
    url: str | None = field(metadata=_from("rate_limit_url"), repr=False)
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = field(
        metadata=_from("trusted_proxies", _networks)
    )
    api_per_minute: int = field(metadata=_from("api_rate_limit_per_minute"))


@dataclass(frozen=True)
class Inbox:
    """The inbox page; `allowed_hosts` is in addition to those that are always allowed."""

    enabled: bool = field(metadata=_from("inbox_enabled"))
    allowed_hosts: tuple[str, ...] = field(metadata=_from("allowed_hosts", tuple))


@dataclass(frozen=True)
class Metrics:
    """The port that Prometheus scrapes."""

    enabled: bool = field(metadata=_from("metrics_enabled"))
    host: str = field(metadata=_from("metrics_host"))
    port: int = field(metadata=_from("metrics_port"))
    path: str = field(metadata=_from("metrics_path"))


@dataclass(frozen=True)
class Logging:
    """What is logged, and in which format."""

    level: str = field(metadata=_from("log_level"))
    format: str = field(metadata=_from("log_format"))


@dataclass(frozen=True)
class Settings:
    """Every setting, valid and typed."""

    server: Server
    timeouts: Timeouts
    storage: Storage
    retention: Retention
    authentication: Authentication
    mail: Mail
    rate_limit: RateLimit
    deliveries: Deliveries
    inbox: Inbox
    metrics: Metrics
    logging: Logging


def assemble(values: Mapping[str, Any], secrets: Secrets | None = None) -> Settings:
    """Return the settings made of `values`, which must have passed every check.

    `secrets` are the contents of the secret_file of each endpoint that has one.
    """
    return Settings(
        server=_part(Server, values),
        timeouts=_part(Timeouts, values),
        storage=_storage(values),
        retention=_part(Retention, values),
        authentication=_part(Authentication, values),
        mail=_part(Mail, values),
        rate_limit=_part(RateLimit, values),
        deliveries=Deliveries(
            tuple(make_endpoints(values, secrets or {})), values["delivery_threads"]
        ),
        inbox=_part(Inbox, values),
        metrics=_part(Metrics, values),
        logging=_part(Logging, values),
    )


def _storage(values: Mapping[str, Any]) -> Storage:
    objects = _part(ObjectStore, values) if values["object_store_url"] else None
    return _part(Storage, {**values, "objects": objects})


def _part(kind: type[Part], values: Mapping[str, Any]) -> Part:
    arguments = {}
    for each in fields(kind):  # type: ignore[arg-type]
        value = values[each.metadata.get("key", each.name)]
        convert = each.metadata.get("convert")
        arguments[each.name] = convert(value) if convert else value
    return kind(**arguments)
