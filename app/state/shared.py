"""What master and workers share, in memory that is created before the fork."""

import time
from dataclasses import dataclass, field

from app.state.bucket_table import BucketTable
from app.state.ended_workers import EndedWorkers
from app.state.outage import Outage
from app.state.processes import Processes
from app.state.slots import Slots


@dataclass(frozen=True)
class SharedState:
    """Anonymous memory; it is freed when the last process that has it ends.

    `started_at` is when the server was started, in seconds of the monotonic clock, which all
    processes share.
    """

    buckets: BucketTable = field(default_factory=BucketTable)
    slots: Slots = field(default_factory=Slots)
    limiter_outage: Outage = field(default_factory=Outage)
    ended_workers: EndedWorkers = field(default_factory=EndedWorkers)
    processes: Processes = field(default_factory=Processes)
    started_at: float = field(default_factory=time.monotonic)
