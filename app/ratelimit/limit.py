"""A rate limit: its buckets, and the numbers that clients are told."""

from dataclasses import dataclass

from app.ratelimit.token_bucket import Decision, Limiter


@dataclass(frozen=True)
class Limit:
    """A bucket of `burst` requests for each client, refilled at `per_minute`.

    Limits that share a limiter differ in `prefix`, so that a client has a bucket for each.
    """

    limiter: Limiter
    per_minute: int
    burst: int
    prefix: str = ""

    def take(self, client: str) -> Decision:
        """Take one token from the bucket that `client` has for this limit; see Limiter.take."""
        return self.limiter.take(self.prefix + client)

    def give_back(self, client: str) -> None:
        """Put back a token that `take` has just taken; see Limiter.give_back."""
        self.limiter.give_back(self.prefix + client)
