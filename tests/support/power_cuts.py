"""Mail that comes in, goes out and is deleted while the power fails."""

import random
import threading
import time
from typing import NamedTuple

from support.arrivals import Arrival, Arrivals
from support.deleter import Deleter
from support.disk_image import DiskImage
from support.numbered_mail import Senders
from support.server import Server, wait_for
from support.webhook import Webhook

MOST_ANSWERS = 60  # before a cut
CHECKPOINT_SECONDS = 5  # nothing in the database is unsynced for longer, by far
WRITE_BACK_SECONDS = 60  # no longer does the kernel keep what isn't synced
IN_FLIGHT_SECONDS = 1  # what was sent before a kill may be read after it


class Cut(NamedTuple):
    """When the power failed, and when the last process was gone (time.monotonic)."""

    at: float
    ended: float
    loses_database: bool

    def explains(self, earlier: Arrival, later: Arrival) -> bool:
        """Return whether it may have taken the note of an arrival, so that another one followed."""
        unsynced = WRITE_BACK_SECONDS if self.loses_database else CHECKPOINT_SECONDS
        since, until = self.at - unsynced, self.ended + IN_FLIGHT_SECONDS
        return since <= earlier.at <= until and later.at >= self.at


class Traffic:
    """Clients that deliver, one that deletes half of what was acknowledged, and an application."""

    def __init__(self, server: Server, disk: DiskImage, application: Webhook) -> None:
        self._server = server
        self._disk = disk
        self._application = application
        self.senders = Senders(server)
        self.deleter = Deleter(server.data_dir)
        self.arrivals = Arrivals()
        application.answer = self.arrivals
        self.cuts: list[Cut] = []

    def until_the_power_fails(self, *, loses_database: bool = False) -> None:
        """Cut the power at a random moment, end all processes, and switch it on again.

        The clients go on until the server has said that it can't store. What was answered while
        the file system was being shut down doesn't count, but for a real cut such an answer could
        not have got out: ext4 may report success to a sync that is under way then, though the
        bytes are lost. With `loses_database` the caller removes the database then.
        """
        senders = self.senders
        answers = senders.statuses[200] + random.randrange(1, MOST_ANSWERS)
        refusals = senders.statuses[503]
        with self.deleter.at_work(self._to_be_deleted), senders:
            wait_for(lambda: senders.statuses[200] >= answers, 30)
            threading.Event().wait(random.uniform(0, 0.03))  # somewhere between two answers
            before = time.monotonic()
            self._disk.cut_power()
            after = time.monotonic()
            wait_for(lambda: senders.statuses[503] > refusals)
            self._server.kill()
        self.cuts.append(Cut(before, time.monotonic(), loses_database))
        self._application.forget()
        senders.forget_answers_in_flight(before, after)
        self.deleter.forget_answers_in_flight(before, after)
        self._disk.mount_again()

    def finish(self) -> None:
        """Ask again for what wasn't answered."""
        unclear = sorted(self.deleter.asked - set(self.deleter.confirmed))
        assert self.deleter.delete(unclear)
        self.deleter.kill()
        for number in self.senders.unanswered():
            self.senders.send(number)

    def to_arrive(self) -> set[str]:
        """Return the ids of what was acknowledged, and what nobody has asked to delete."""
        receipts = list(self.senders.receipts.copy().values())
        return {one.message_id for known in receipts for one in known} - self.deleter.asked

    def _to_be_deleted(self) -> list[str]:
        receipts = list(self.senders.receipts.copy().items())
        return [one.message_id for number, known in receipts if number % 2 for one in known]
