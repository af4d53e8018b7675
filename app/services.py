"""Assembles the parts of an application from the settings."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.auth.generated_token import generated_token, token_file
from app.errors import StorageUnavailable
from app.intake.receive import Receiver
from app.metrics.recorder import Recorder
from app.ratelimit.redis import RedisLimiter
from app.ratelimit.shared_memory import SharedLimiter
from app.ratelimit.token_bucket import Limiter, token_bucket
from app.settings import RateLimit, Settings
from app.state.shared import SharedState
from app.state.shutdowns import shutdowns_file
from app.state.slots import Slots
from app.state.small_files import sweep_unfinished
from app.storage.factory import open_store
from app.storage.interface import MessageStore
from app.storage.preparation import prepare_store


def now() -> datetime:
    """Return the current time in UTC, cut to the milliseconds that message ids and rows hold."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass(frozen=True)
class Services:
    """What the web layer works with; `started_at` as in SharedState."""

    store: MessageStore
    receiver: Receiver
    bearer_tokens: tuple[bytes, ...]
    rate_limit: RateLimit
    limiter: Limiter | None = None
    slots: Slots = field(default_factory=Slots)
    recorder: Recorder | None = None
    write_timeout: float = 30
    started_at: float = field(default_factory=time.monotonic)
    clock: Callable[[], datetime] = now

    def close(self) -> None:
        """Release files and connections."""
        self.store.close()


def build(
    settings: Settings,
    shared: SharedState,
    recorder: Recorder | None = None,
    tokens: tuple[bytes, ...] | None = None,
) -> Services:
    """Open everything named in `settings`; raises StorageUnavailable.

    `tokens` is the result of an earlier `bearer_tokens`, if there is one.
    """
    store = open_store(settings.storage, recorder)
    return Services(
        store=store,
        receiver=Receiver(store, settings.mail, now, settings.server.threads),
        bearer_tokens=tokens or bearer_tokens(settings),
        rate_limit=settings.rate_limit,
        limiter=_limiter(settings.rate_limit, shared),
        slots=shared.slots,
        recorder=recorder,
        write_timeout=settings.timeouts.write,
        started_at=shared.started_at,
    )


def _limiter(settings: RateLimit, shared: SharedState) -> Limiter | None:
    if settings.per_minute == 0:
        return None
    bucket = token_bucket(settings.per_minute, settings.burst)
    limiter = SharedLimiter(shared.buckets, bucket)
    if settings.url is None:
        return limiter
    return RedisLimiter(settings.url, bucket, limiter, shared.limiter_outage)


def bearer_tokens(settings: Settings) -> tuple[bytes, ...]:
    """Return the configured tokens, else the generated one; raises StorageUnavailable."""
    configured = settings.authentication.bearer_tokens
    tokens = configured or (generated_token(settings.storage.data_dir),)
    return tuple(token.encode() for token in tokens)


def prepare(settings: Settings) -> None:
    """Prepare the data directory, once per start: tables, token, and the clean-up after a crash.

    Raises StorageUnavailable.
    """
    data_dir = settings.storage.data_dir
    prepare_store(settings.storage)
    bearer_tokens(settings)
    try:
        for path in (token_file(data_dir), shutdowns_file(data_dir)):
            sweep_unfinished(path)
    except OSError as error:
        raise StorageUnavailable from error
