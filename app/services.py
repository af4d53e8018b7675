"""Assembles the parts of an application from the settings."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from app.auth.allowed_hosts import allowed_hosts
from app.auth.generated_token import generated_token, token_file
from app.auth.tokens import Token, TokenKind, make_token
from app.deliveries.routes import Routes
from app.deliveries.signing_secret import prepare_secrets, signing_secrets
from app.errors import StorageUnavailable
from app.intake.receive import Receiver
from app.metrics.recorder import Recorder
from app.ratelimit.client import Network
from app.ratelimit.limit import Limit
from app.ratelimit.redis import RedisLimiter
from app.ratelimit.shared_memory import SharedLimiter
from app.ratelimit.token_bucket import Limiter, TokenBucket, token_bucket
from app.settings import Endpoint, RateLimit, Settings, Storage
from app.state.ended_sessions import EndedSessions, EndedSessionsFile, ended_sessions_file
from app.state.shared import SharedState
from app.state.shutdowns import shutdowns_file
from app.state.slots import Slots
from app.state.small_files import sweep_unfinished
from app.storage.factory import open_store
from app.storage.interface import MessageStore
from app.storage.preparation import prepare_store

SecretsOf = Callable[[Endpoint], Sequence[str]]

API_BURST_PER_MINUTE = 10
"""The burst of the API's rate limit is its rate per minute, divided by this."""


FAILED_LOGINS_PER_MINUTE = 10
"""Per client, on the inbox page."""


def now() -> datetime:
    """Return the current time in UTC, cut to the milliseconds that message ids and rows hold."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def configured_secrets(endpoint: Endpoint) -> Sequence[str]:
    """Return the secrets that the configuration has of an endpoint: for tests, which keep none."""
    return endpoint.secrets


@dataclass(frozen=True)
class InboxServices:
    """What only the inbox page works with.

    `hosts` is the result of app.auth.allowed_hosts, and `login_limit` is for failed logins. The
    disk of `data_dir` is shown.
    """

    hosts: frozenset[str]
    login_limit: Limit
    ended_sessions: EndedSessions
    data_dir: Path


@dataclass(frozen=True)
class Services:
    """What the web layer works with; `started_at` as in SharedState.

    `api_limit` applies to routes that need an api_token, `limit` to all others that aren't public.
    `secrets_of` returns the secrets that sign requests to one of the `endpoints`. If `inbox`
    is None, the inbox page isn't served.
    """

    store: MessageStore
    receiver: Receiver
    tokens: tuple[Token, ...]
    trusted_proxies: tuple[Network, ...]
    limit: Limit | None = None
    api_limit: Limit | None = None
    slots: Slots = field(default_factory=Slots)
    recorder: Recorder | None = None
    write_timeout: float = 30
    started_at: float = field(default_factory=time.monotonic)
    clock: Callable[[], datetime] = now
    endpoints: tuple[Endpoint, ...] = ()
    secrets_of: SecretsOf = configured_secrets
    inbox: InboxServices | None = None

    def close(self) -> None:
        """Release files and connections."""
        self.store.close()
        if self.inbox is not None:
            self.inbox.ended_sessions.close()


def build(
    settings: Settings,
    shared: SharedState,
    recorder: Recorder | None = None,
    tokens: tuple[Token, ...] | None = None,
) -> Services:
    """Open everything named in `settings`; raises StorageUnavailable.

    `tokens` is the result of an earlier `valid_tokens`, if there is one.
    """
    store = open_store(settings.storage, recorder)
    return Services(
        store=store,
        receiver=_receiver(settings, store),
        tokens=tokens or valid_tokens(settings),
        trusted_proxies=settings.rate_limit.trusted_proxies,
        limit=_limit(settings.rate_limit, shared),
        api_limit=_api_limit(settings.rate_limit, shared),
        slots=shared.slots,
        recorder=recorder,
        write_timeout=settings.timeouts.write,
        started_at=shared.started_at,
        endpoints=settings.deliveries.endpoints,
        secrets_of=partial(signing_secrets, data_dir=settings.storage.data_dir),
        inbox=_inbox(settings, shared),
    )


def _inbox(settings: Settings, shared: SharedState) -> InboxServices | None:
    if not settings.inbox.enabled:
        return None
    rate = FAILED_LOGINS_PER_MINUTE
    limiter = _limiter(settings.rate_limit, token_bucket(rate, rate), shared)
    return InboxServices(
        hosts=allowed_hosts((settings.server.host, *settings.inbox.allowed_hosts)),
        login_limit=Limit(limiter, rate, rate, prefix="login:"),
        ended_sessions=_ended_sessions(settings.storage),
        data_dir=settings.storage.data_dir,
    )


def _ended_sessions(settings: Storage) -> EndedSessions:
    if settings.database_url is None:
        return EndedSessionsFile(ended_sessions_file(settings.data_dir))
    # Imported here, since whoever has no database needn't wait for its driver.
    from app.storage.postgresql.ended_sessions import EndedSessionsTable  # noqa: PLC0415

    return EndedSessionsTable(settings)


def _receiver(settings: Settings, store: MessageStore) -> Receiver:
    endpoints = settings.deliveries.endpoints
    endpoints_for = Routes(endpoints).names_for if endpoints else None
    return Receiver(store, settings.mail, now, settings.server.threads, endpoints_for)


def _limit(settings: RateLimit, shared: SharedState) -> Limit | None:
    if settings.per_minute == 0:
        return None
    bucket = token_bucket(settings.per_minute, settings.burst)
    return Limit(_limiter(settings, bucket, shared), settings.per_minute, settings.burst)


def _api_limit(settings: RateLimit, shared: SharedState) -> Limit | None:
    if settings.api_per_minute == 0:
        return None
    burst = max(settings.api_per_minute // API_BURST_PER_MINUTE, 1)
    bucket = token_bucket(settings.api_per_minute, burst)
    limiter = _limiter(settings, bucket, shared)
    return Limit(limiter, settings.api_per_minute, burst, prefix="api:")


def _limiter(settings: RateLimit, bucket: TokenBucket, shared: SharedState) -> Limiter:
    limiter = SharedLimiter(shared.buckets, bucket)
    if settings.url is None:
        return limiter
    return RedisLimiter(settings.url, bucket, limiter, shared.limiter_outage)


def valid_tokens(settings: Settings) -> tuple[Token, ...]:
    """Return the tokens of both kinds; raises StorageUnavailable."""
    return tuple(token for kind in TokenKind for token in tokens_of_kind(settings, kind))


def tokens_of_kind(settings: Settings, kind: TokenKind) -> tuple[Token, ...]:
    """Return the configured tokens of `kind`, else the generated one; raises StorageUnavailable."""
    configured = configured_tokens(settings, kind)
    texts = configured or (generated_token(settings.storage.data_dir, kind),)
    return tuple(make_token(kind, text) for text in texts)


def configured_tokens(settings: Settings, kind: TokenKind) -> tuple[str, ...]:
    """Return the tokens of `kind` in `settings`; empty if a generated one is used."""
    authentication = settings.authentication
    return authentication.bearer_tokens if kind is TokenKind.BEARER else authentication.api_tokens


def prepare(settings: Settings) -> None:
    """Prepare the data directory, once per start: tables, tokens, secrets, and the clean-up.

    Raises StorageUnavailable.
    """
    data_dir = settings.storage.data_dir
    prepare_store(settings.storage)
    valid_tokens(settings)
    prepare_secrets(settings.deliveries.endpoints, data_dir)
    token_files = (token_file(data_dir, kind) for kind in TokenKind)
    try:
        for path in (*token_files, shutdowns_file(data_dir), ended_sessions_file(data_dir)):
            sweep_unfinished(path)
    except OSError as error:
        raise StorageUnavailable from error
