"""What is known about one request, from its head to its log line."""

import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import Request, current_app
from flask.globals import request_ctx

from app.auth.tokens import Token, TokenKind
from app.errors import FieldFault
from app.intake.partial_message import PartialMessage
from app.intake.receive import Received
from app.metrics.recorder import UNMATCHED
from app.ratelimit.token_bucket import Decision
from app.reading.reader import Reader
from app.services import InboxServices, Services
from app.web.deadline import Deadline

if TYPE_CHECKING:
    from app.deliveries.endpoint_tester import EndpointTester


@dataclass(slots=True)
class RequestContext:
    """One object per request, made by the server and filled in by the hooks.

    `deadline` is None outside Gunicorn. `started_at` is when the head had been read, on the clock
    of time.perf_counter. `is_admitted` is False for a request that came after the drain began.
    `rule` is the rule of the route that matches the path, whatever the method, else UNMATCHED.
    `is_public` says that the route needs no token and has no limit; otherwise `needed_kind` is the
    kind of token it needs (app.web.access). `is_page` says that people read the answer, also if it
    is an error. `token` is the request's token if valid. `code` and
    `detail` are those of the error that is answered, if any, and `faults` what it says about single
    fields. `client` is whose bucket the rate limit takes a token from. `partial` is what is known
    about the message.
    """

    deadline: Deadline | None = None
    started_at: float = field(default_factory=time.perf_counter)
    is_admitted: bool = True
    request_id: str = ""
    rule: str = UNMATCHED
    is_public: bool = False
    needed_kind: TokenKind | None = None
    is_page: bool = False
    token: Token | None = None
    decision: Decision | None = None
    received: Received | None = None
    code: str | None = None
    detail: str | None = None
    faults: Sequence[FieldFault] = ()
    client: str | None = None
    partial: PartialMessage | None = None

    def is_late(self) -> bool:
        """Return whether the client's time is up."""
        return self.deadline is not None and self.deadline.expired


_current: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def set_current(context: RequestContext) -> None:
    """Make `context` the context of the request that this thread handles."""
    _current.set(context)


def clear_current() -> None:
    """Drop the context of the request that this thread has handled."""
    _current.set(None)


def is_set() -> bool:
    """Return whether the server has begun the request; a test client doesn't."""
    return _current.get() is not None


def current_request() -> RequestContext:
    """Return the context of the request that this thread handles; raises LookupError."""
    context = _current.get()
    if context is None:
        raise LookupError("This thread handles no request.")
    return context


def flask_request() -> Request:
    """Return Flask's request itself: each look at an attribute of `flask.request` finds it anew."""
    return request_ctx.request


def current_services() -> Services:
    """Return the services of the current application."""
    services: Services = current_app.extensions["gomail"]
    return services


def current_inbox() -> InboxServices:
    """Return the services of the inbox page; there are none while it is not enabled."""
    inbox: InboxServices = current_app.extensions["gomail.inbox"]
    return inbox


def current_tester() -> "EndpointTester":
    """Return what tests endpoints for the current application."""
    # Imported and made when it is first needed: the HTTP client is of no use to other workers.
    from app.deliveries.endpoint_tester import EndpointTester  # noqa: PLC0415

    services = current_services()
    made = EndpointTester(services.secrets_of, services.clock)
    tester: EndpointTester = current_app.extensions.setdefault("gomail.tester", made)
    return tester


def current_reader() -> Reader:
    """Return the reader of the current application."""
    reader: Reader = current_app.extensions["gomail.reader"]
    return reader
