"""Connects to an endpoint: looks up its name, checks the addresses, verifies TLS."""

import socket
import ssl
import threading
import time
from collections.abc import Sequence

from app.deliveries.connection import Connection
from app.deliveries.deadlines import DeadlineWatch
from app.deliveries.name_lookup import NameLookup
from app.deliveries.outcome import AttemptFailed, Reason
from app.deliveries.target import Target
from app.deliveries.tls import failure_text, tls_context
from app.networks import refusal
from app.settings.endpoints import Endpoint

OTHERS_SECONDS = 5.0
"""The longest wait for an address that doesn't answer if there is another one."""


class Connector:
    """Connects to one endpoint; safe for threads. Every `until` is a time of time.monotonic."""

    def __init__(
        self, endpoint: Endpoint, target: Target, lookup: NameLookup, watch: DeadlineWatch
    ) -> None:
        self._endpoint = endpoint
        self._target = target
        self._lookup = lookup
        self._watch = watch
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._silent: frozenset[str] = frozenset()

    def addresses(self, until: float) -> Sequence[str]:
        """Return the current addresses of the host that requests may be sent to.

        Addresses that failed in their last attempt come last. Raises AttemptFailed.
        """
        name = self._target.name
        try:
            found = self._lookup.addresses(name, until)
        except TimeoutError as error:
            text = f"The look-up of {name} took too long."
            raise AttemptFailed(Reason.TIMEOUT, text) from error
        except OSError as error:
            text = f"{name} can't be looked up: {_why(error)}."
            raise AttemptFailed(Reason.NAME_NOT_FOUND, text) from error
        refusals = {each: refusal(each, self._endpoint.networks) for each in found}
        allowed = [each for each in found if refusals[each] is None]
        if not allowed:
            wrong = ", ".join(f"{each} is {what}" for each, what in refusals.items())
            raise AttemptFailed(Reason.ADDRESS_REFUSED, f"Requests may not be sent there: {wrong}.")
        silent = self._silent
        return sorted(allowed, key=lambda each: each in silent)

    def connect(self, addresses: Sequence[str], until: float) -> Connection:
        """Connect to the first of `addresses` that accepts a connection; raises AttemptFailed."""
        context = self._tls() if self._target.is_tls else None
        connected, address = self._first(addresses, until)
        if context is not None:
            connected = self._secured(connected, context, address, until)
        return Connection(connected, address, self._endpoint.timeout)

    def forget_files(self) -> None:
        """Read the TLS files again before the next connection: they may have been replaced."""
        with self._lock:
            self._context = None

    def _first(self, addresses: Sequence[str], until: float) -> tuple[socket.socket, str]:
        """Try one after the other; each but the last gets a share of the remaining time."""
        failure = OSError("no address")
        for tried, address in enumerate(addresses):
            left = max(until - time.monotonic(), 0.001)
            is_last = tried == len(addresses) - 1
            seconds = left if is_last else min(left / (len(addresses) - tried), OTHERS_SECONDS)
            try:
                connected = socket.create_connection((address, self._target.port), seconds)
            except OSError as error:
                failure = error
            else:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connected.settimeout(self._endpoint.timeout)
                untried = self._silent.intersection(addresses[tried + 1 :])
                self._silent = untried.union(addresses[:tried])
                return connected, address
        is_late = isinstance(failure, TimeoutError)
        reason = Reason.TIMEOUT if is_late else Reason.CONNECTION_FAILED
        text = f"No connection to {address}, port {self._target.port}: {_why(failure)}."
        raise AttemptFailed(reason, text, address) from failure

    def _secured(
        self, connected: socket.socket, context: ssl.SSLContext, address: str, until: float
    ) -> socket.socket:
        name = self._target.name.rstrip(".")
        try:
            connected = context.wrap_socket(  # which raises, too, if the endpoint has just reset it
                connected, server_hostname=name, do_handshake_on_connect=False
            )
            with self._watch.guard(connected, until):
                connected.do_handshake()
        except OSError as error:
            connected.close()
            if time.monotonic() >= until or isinstance(error, TimeoutError):
                text = "The TLS handshake took too long."
                raise AttemptFailed(Reason.TIMEOUT, text, address) from error
            raise AttemptFailed(Reason.TLS_FAILED, failure_text(error), address) from error
        return connected

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = tls_context(self._endpoint)
            return self._context


def _why(error: OSError) -> str:
    return error.strerror or str(error)
