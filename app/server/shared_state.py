"""What master and workers share, in memory that is made before the fork."""

from dataclasses import dataclass, field

from app.ratelimit.outage import Outage
from app.ratelimit.shared import SharedTable


@dataclass(frozen=True)
class SharedState:
    """Anonymous memory; it goes with the last process that has it."""

    buckets: SharedTable = field(default_factory=SharedTable)
    limiter_outage: Outage = field(default_factory=Outage)
