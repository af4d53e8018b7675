"""The buckets of all clients in a Redis or Valkey server, which several hosts share."""

import logging
import threading
import time
from collections.abc import Callable

from redis import Redis, RedisError

from app.ratelimit.redis_connections import connections
from app.ratelimit.token_bucket import Decision, Limiter, TokenBucket
from app.state.outage import Outage

PAUSE_SECONDS = 1.0

# The arithmetic of TokenBucket.take, using the server's clock, which all hosts share.
_TAKE = """
local interval, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrival = tonumber(redis.call('GET', KEYS[1])) or 0
local backlog = math.min(math.max(arrival - now, 0), capacity)
local allowed = 0
if backlog + interval <= capacity then
    allowed, backlog = 1, backlog + interval
end
redis.call('SET', KEYS[1], string.format('%.0f', now + backlog), 'PX', math.ceil(backlog / 1000))
return {allowed, backlog}
"""

# The arithmetic of TokenBucket.give_back.
_GIVE_BACK = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrival = tonumber(redis.call('GET', KEYS[1])) or 0
local backlog = arrival - tonumber(ARGV[1]) - now
if backlog > 0 then
    redis.call(
        'SET', KEYS[1], string.format('%.0f', now + backlog), 'PX', math.ceil(backlog / 1000))
else
    redis.call('DEL', KEYS[1])
end
"""

_log = logging.getLogger(__name__)


class RedisLimiter:
    """Token buckets in Redis; while it can't be reached, those of `fallback`.

    A request costs one round trip; each step of it may take TIMEOUT_SECONDS. After a failure, one
    request every PAUSE_SECONDS asks Redis, and all others don't, so that an outage doesn't slow
    them down.
    """

    def __init__(
        self,
        url: str,
        bucket: TokenBucket,
        fallback: Limiter,
        outage: Outage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`url` begins with redis:, rediss:, valkey: or valkeys:. Connects on first use."""
        redis = Redis(connection_pool=connections(url))
        self._script = redis.register_script(_TAKE)
        self._give_back_script = redis.register_script(_GIVE_BACK)
        self._bucket = bucket
        self._fallback = fallback
        self._outage = outage
        self._clock = clock
        self._is_away = False
        self._paused_until = clock()
        self._probing = threading.Lock()

    def take(self, client: str) -> Decision:
        """See Limiter.take."""
        if not self._is_away:
            return self._ask(client)
        if not self._probing.acquire(blocking=False):
            return self._fallback.take(client)
        try:
            is_paused = self._clock() < self._paused_until
            return self._fallback.take(client) if is_paused else self._ask(client)
        finally:
            self._probing.release()

    def give_back(self, client: str) -> None:
        """See Limiter.give_back; during an outage, the token was the fallback's."""
        if self._is_away:
            self._fallback.give_back(client)
            return
        try:
            self._give_back_script([f"gomail:bucket:{client}"], [self._bucket.interval_us])
        except RedisError as error:
            self._pause(error)

    def _ask(self, client: str) -> Decision:
        arguments = [self._bucket.interval_us, self._bucket.capacity_us]
        try:
            allowed, backlog = self._script([f"gomail:bucket:{client}"], arguments)
        except RedisError as error:
            self._pause(error)
            return self._fallback.take(client)
        self._is_away = False
        if self._outage.end():
            _log.info("The rate limit server answers again; its buckets are in use.")
        return self._bucket.decision(bool(allowed), backlog)

    def _pause(self, error: RedisError) -> None:
        self._paused_until = self._clock() + PAUSE_SECONDS
        self._is_away = True
        if self._outage.begin():
            _log.warning(
                "The rate limit server can't be reached; each host limits by itself meanwhile.",
                extra={"reason": type(error).__name__},  # its text may contain the password
            )
