"""A Gunicorn configuration that counts the calls of each delivery; see counting.py."""

from dataclasses import replace
from functools import partial, partialmethod
from statistics import fmean

from counting import Counting, counted_configuration

from app.deliveries.dispatcher import Dispatcher
from app.deliveries.endings import Endings
from app.deliveries.workers import Sent

_counting = Counting(
    (
        ("app.mime", "decode"),
        ("app.reading.describe", "describe"),
        ("app.storage.sqlite.deliveries", "claims and results"),
        ("app.storage", "read the message"),
        ("app.deliveries.attempts", "log line and metrics"),
        ("app.deliveries.courier", "send"),
        ("app.deliveries.sender", "send"),
        ("app.deliveries.connecting", "send"),
        ("app.deliveries.connection", "send"),
        ("app.deliveries.exchange", "send"),
        ("app.deliveries.deadlines", "send"),
        ("app.deliveries.pool", "send"),
        ("app.deliveries.payload", "payload"),
        ("app.deliveries.rendering", "payload"),
        ("app.deliveries.signing", "sign"),
        ("app.deliveries", "dispatcher"),
    ),
    fmean,
)
# How often the store is asked and written to depends on time. Here each delivery takes as long as
# any other, however slow the machine is, so that the counts are the same.
_SECONDS = 0.002
_passed = [0.0]

globals().update(counted_configuration())
_run, _end = Dispatcher.run, Endings.end


def _counted_run(dispatcher: Dispatcher) -> None:
    """Begin to count, in all threads, before the process starts one that sends."""
    _counting.begin()
    _run(dispatcher)


def _counted_end(endings: Endings, sent: Sent) -> None:
    """Note the end of a delivery."""
    _passed[0] += _SECONDS
    _end(endings, replace(sent, seconds=_SECONDS))
    _counting.note_one()


_begin = partialmethod(Dispatcher.__init__, timer=partial(_passed.__getitem__, 0))
Dispatcher.__init__ = _begin  # type: ignore[assignment, method-assign]
Dispatcher.run = _counted_run  # type: ignore[assignment, method-assign]
Endings.end = _counted_end  # type: ignore[assignment, method-assign]
