"""A Gunicorn configuration that counts the calls of each request; see counting.py."""

from statistics import median

from counting import Counting, counted_configuration

_counting = Counting(
    (
        ("app.server.gunicorn_internals", "Gunicorn"),
        ("gunicorn", "Gunicorn"),
        ("flask", "Flask, Werkzeug"),
        ("werkzeug", "Flask, Werkzeug"),
        ("app.logs", "log line"),
        ("app.web.hooks", "hooks"),
        ("app.server", "hooks"),
        ("app.ratelimit", "hooks"),
        ("app.metrics", "hooks"),
        ("app.state", "hooks"),
        ("app.storage", "store"),
        ("app.intake", "receive"),
        ("app.mime", "decode"),
        ("app.reading.describe", "describe"),
        ("app", "view"),
        ("floor", "view"),
    ),
    median,
)
_found = counted_configuration()
globals().update(_found)


def post_fork(server: object, worker: object) -> None:
    """Begin to count, in all threads, before the worker starts one."""
    if "post_fork" in _found:
        _found["post_fork"](server, worker)
    _counting.begin()


def post_request(worker: object, request: object, environ: object, response: object) -> None:
    """Note the end of a request."""
    if "post_request" in _found:
        _found["post_request"](worker, request, environ, response)
    _counting.note_one()
