"""What master and workers share, in memory that is made before the fork."""

from dataclasses import dataclass, field

from app.metrics.processes import Processes
from app.ratelimit.outage import Outage
from app.ratelimit.shared import SharedTable
from app.server.slots import Slots


@dataclass(frozen=True)
class SharedState:
    """Anonymous memory; it goes with the last process that has it."""

    buckets: SharedTable = field(default_factory=SharedTable)
    slots: Slots = field(default_factory=Slots)
    limiter_outage: Outage = field(default_factory=Outage)
    processes: Processes = field(default_factory=Processes)
