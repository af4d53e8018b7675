"""The parts an application is made of; the only place that names concrete backends."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.errors import StorageUnavailable
from app.generated_token import generated_token, token_file
from app.metrics.recorder import Recorder
from app.ratelimit.redis import RedisLimiter
from app.ratelimit.shared import SharedLimiter
from app.ratelimit.token_bucket import Limiter, token_bucket
from app.receive import Receiver
from app.server.shared_state import SharedState
from app.server.shutdowns import shutdowns_file
from app.server.slots import Slots
from app.settings import RateLimit, Settings
from app.small_files import sweep_unfinished
from app.storage.base import MessageStore
from app.storage.sql import SQLStore, create_store


def now() -> datetime:
    """Return the time of day in UTC, in the milliseconds that message ids and rows hold."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass(frozen=True)
class Services:
    """What the web side works with."""

    store: MessageStore
    receiver: Receiver
    bearer_tokens: tuple[bytes, ...]
    rate_limit: RateLimit
    limiter: Limiter | None = None
    slots: Slots = field(default_factory=Slots)
    recorder: Recorder | None = None
    write_timeout: float = 30
    clock: Callable[[], datetime] = now

    def close(self) -> None:
        """Release files and connections."""
        self.store.close()


def build(settings: Settings, shared: SharedState, recorder: Recorder | None = None) -> Services:
    """Open everything that `settings` name; raises StorageUnavailable."""
    store = SQLStore(settings.storage.data_dir, recorder)
    return Services(
        store=store,
        receiver=Receiver(store, settings.mail, now, settings.server.threads),
        bearer_tokens=bearer_tokens(settings),
        rate_limit=settings.rate_limit,
        limiter=_limiter(settings.rate_limit, shared),
        slots=shared.slots,
        recorder=recorder,
        write_timeout=settings.timeouts.write,
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
    """Do once what a start needs: tables, token, and a sweep of what a crash left behind.

    Raises StorageUnavailable.
    """
    data_dir = settings.storage.data_dir
    store = create_store(data_dir)
    bearer_tokens(settings)
    store.sweep()
    store.close()
    # A full disk may be mended while the server waits, modes hardly are.
    if not all(os.access(path, os.W_OK | os.X_OK) for path in (data_dir, data_dir / "segments")):
        raise StorageUnavailable("It is not writable for this user, or its segments/ isn't")
    try:
        for path in (token_file(data_dir), shutdowns_file(data_dir)):
            sweep_unfinished(path)
    except OSError as error:
        raise StorageUnavailable from error
