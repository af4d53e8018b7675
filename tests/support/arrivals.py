"""What has reached an application, noted as it arrives."""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from support.numbered_mail import message
from support.webhook import Push


@dataclass(frozen=True)
class Arrival:
    """A request with a message of support.numbered_mail, `at` by the monotonic clock."""

    number: int
    at: float
    is_whole: bool


class Arrivals:
    """By the id of the message; the answer of a Webhook that gets raw messages.

    They are in the memory of the test, which no power cut reaches.
    """

    def __init__(self) -> None:
        self._of = defaultdict[str, list[Arrival]](list)
        self._lock = threading.Lock()

    def __call__(self, push: Push) -> int:
        """Note what has arrived, before it is acknowledged."""
        number = int(push.headers["x-original-queue-id"].removeprefix("queue"))
        arrival = Arrival(number, time.monotonic(), push.body == message(number))
        with self._lock:
            self._of[push.webhook_id.removeprefix("msg_")].append(arrival)
        return 200

    def ids(self) -> set[str]:
        """Return the ids of all messages that have arrived."""
        with self._lock:
            return set(self._of)

    def ids_before(self, at: float) -> set[str]:
        """Return the ids of those that had arrived then."""
        with self._lock:
            return {message_id for message_id, known in self._of.items() if known[0].at < at}

    def damaged(self, numbers: Mapping[str, int]) -> list[str]:
        """Return the ids that came with other bytes than were sent; `numbers` are by their ids."""
        with self._lock:
            return [
                message_id
                for message_id, known in self._of.items()
                for each in known
                if not each.is_whole or each.number != numbers.get(message_id, each.number)
            ]

    def repeats(self) -> list[tuple[Arrival, Arrival]]:
        """Return arrivals of messages that had arrived before, each behind the one before."""
        with self._lock:
            return [pair for known in self._of.values() for pair in pairwise(known)]
