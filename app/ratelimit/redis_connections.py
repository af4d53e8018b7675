"""Connections to Redis that no look-up of its name can hold up."""

import re
import socket
import time
from typing import Any

from redis import Connection, ConnectionPool, SSLConnection
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.ratelimit.host_name import HostName

TIMEOUT_SECONDS = 0.05


class NamedConnection(Connection):
    """Connects to the addresses of a HostName, all of them within TIMEOUT_SECONDS."""

    def __init__(self, *, host_name: HostName, **named: Any) -> None:
        super().__init__(**named)  # type: ignore[no-untyped-call]
        self._host_name = host_name

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        name = self.host
        error: OSError = socket.gaierror(socket.EAI_AGAIN, "the name isn't known yet")
        try:
            for address in self._host_name.addresses(TIMEOUT_SECONDS):
                self.host = address
                self.socket_connect_timeout = max(deadline - time.monotonic(), 0.001)
                try:
                    connected: socket.socket = super()._connect()  # type: ignore[no-untyped-call]
                except OSError as failure:
                    error = failure
                    self._host_name.put_last(address)
                else:
                    return connected
                if time.monotonic() >= deadline:
                    break
        finally:
            self.host = name  # which its certificate is for
        raise error


class NamedTLSConnection(SSLConnection, NamedConnection):
    """The same with TLS: SSLConnection gets its socket from the next class, NamedConnection."""


def connections(url: str) -> ConnectionPool:
    """Return a pool for `url`, which begins with redis:, rediss:, valkey: or valkeys:."""
    pool = ConnectionPool.from_url(
        re.sub("^valkey", "redis", url),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),  # never retry: the token may already have been taken
    )
    is_tls = issubclass(pool.connection_class, SSLConnection)
    pool.connection_class = NamedTLSConnection if is_tls else NamedConnection
    host = pool.connection_kwargs.setdefault("host", "localhost")
    pool.connection_kwargs["host_name"] = HostName(host)
    return pool
