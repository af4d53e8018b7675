"""Makes attempts: sends a request to an endpoint, and returns the outcome."""

import re
import time
from collections.abc import Sequence
from datetime import datetime

from app.deliveries.connecting import Connector
from app.deliveries.connection import Connection
from app.deliveries.deadlines import DeadlineWatch
from app.deliveries.exchange import Answer, Request, exchange
from app.deliveries.name_lookup import NameLookup
from app.deliveries.outcome import AttemptFailed, Outcome, Reason, reason_of
from app.deliveries.payload import Payload
from app.deliveries.pool import Pool
from app.deliveries.retry_after import retry_after_seconds
from app.deliveries.signing import signed
from app.deliveries.target import target_of
from app.printable import readable
from app.settings.endpoints import Endpoint
from app.storage.delivery import Attempt
from app.version import __version__

_MOST_SHOWN_CHARACTERS = 200
_MOST_ERROR_CHARACTERS = 500


class Sender:
    """Sends to one endpoint; safe for threads. Follows no redirects, decompresses nothing."""

    def __init__(
        self,
        endpoint: Endpoint,
        secrets: Sequence[str],
        lookup: NameLookup,
        watch: DeadlineWatch,
    ) -> None:
        """Sign with each of `secrets`; `lookup` and `watch` are shared by the process."""
        self._endpoint = endpoint
        self._secrets = secrets
        self._watch = watch
        self._target = target_of(endpoint.url)
        self._connector = Connector(endpoint, self._target, lookup, watch)
        self._pool = Pool(endpoint.concurrency)

    def send(self, identity: str, payload: Payload, now: datetime) -> Outcome:
        """Make one attempt, signed with the time `now`; it always ends within the timeout.

        The message may arrive twice: if a reused connection is closed without an answer, the
        request is sent again at once, over a new connection.
        """
        began = time.monotonic()
        request = self._request(identity, payload, now)
        try:
            address, answer = self._ask(request, began + self._endpoint.timeout)
        except AttemptFailed as failure:
            if failure.reason is Reason.TLS_FAILED:
                self._connector.forget_files()
            attempt = Attempt(
                now, failure.address, None, _milliseconds(began), self._text(failure), b""
            )
            return Outcome(failure.reason, attempt)
        reason = reason_of(answer.status)
        error = None if reason is None else _refusal(answer)
        attempt = Attempt(
            now, address, answer.status, _milliseconds(began), error, answer.beginning
        )
        asked = None if reason is None else retry_after_seconds(answer.retry_after, now)
        return Outcome(reason, attempt, asked)

    def close(self) -> None:
        """Close idle connections now, and those in use when their requests end."""
        self._pool.close()

    def _request(self, identity: str, payload: Payload, now: datetime) -> Request:
        headers = {
            "Host": self._target.host,
            "User-Agent": f"GoMail/{__version__}",
            "Content-Type": payload.content_type,
            **payload.headers,
            **signed(identity, now, payload.body, self._secrets),
        }
        return Request(self._target.path, headers, payload.body)

    def _ask(self, request: Request, until: float) -> tuple[str, Answer]:
        addresses = self._connector.addresses(until)
        kept = self._pool.take(addresses)
        if kept is not None:
            try:
                return self._exchange(kept, request, until)
            except AttemptFailed as failure:
                if failure.reason is not Reason.CONNECTION_CLOSED or kept.has_answered:
                    raise
        return self._exchange(self._connector.connect(addresses, until), request, until)

    def _exchange(
        self, connection: Connection, request: Request, until: float
    ) -> tuple[str, Answer]:
        try:
            answer = exchange(connection, request, until, self._watch)
        except BaseException:
            connection.close()
            raise
        if answer.is_whole:
            self._pool.keep(connection)
        else:
            connection.close()
        return connection.address, answer

    def _text(self, failure: AttemptFailed) -> str:
        text = _cut(readable(str(failure)), _MOST_ERROR_CHARACTERS)
        if failure.reason is Reason.TIMEOUT:
            return f"No answer within {self._endpoint.timeout} s. {text}"
        return text


def _refusal(answer: Answer) -> str:
    text = f"The endpoint answered {answer.status} {_shown(answer.phrase)}".rstrip()
    if answer.status // 100 == 3 and answer.location:
        return f"{text}; redirects to {_shown_location(answer.location)} are not followed."
    return f"{text}."


def _shown_location(url: str) -> str:
    """Return `url` without what may be a secret: often it is that of the request with https."""
    without_query = re.sub(r"[?#].*", "?***", url, flags=re.DOTALL)
    return _shown(re.sub(r"//[^/]*@", "//***@", without_query))


def _shown(text: str) -> str:
    """Return a part of a header section, decoded by http.client as ISO 8859-1, for people."""
    sent = text.encode("latin-1", "replace").decode("utf-8", "replace")
    return _cut(readable(sent), _MOST_SHOWN_CHARACTERS)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
