"""Checks that the ports can be opened, before Gunicorn retries for five seconds."""

import errno
import os
import socket

from app.settings import Fault, Settings
from app.settings.model import Metrics


def port_faults(settings: Settings) -> list[Fault]:
    """Return a fault for each port that can't be opened; inherited sockets need no check."""
    if "GUNICORN_PID" in os.environ:  # SIGUSR2: the old master goes on until this one serves
        return []
    faults = []
    if settings.server.mode != "socket" and "LISTEN_FDS" not in os.environ:
        host, port = settings.server.host, settings.server.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET  # as Gunicorn decides
        faults.append(_fault(host, port, family, ""))
    if settings.metrics.enabled:
        faults.append(metrics_port_fault(settings.metrics))
    return [fault for fault in faults if fault]


def metrics_port_fault(metrics: Metrics) -> Fault | None:
    """Return a fault when the metrics port can't be opened."""
    return _fault(metrics.host, metrics.port, socket.AF_UNSPEC, "metrics_")


def _fault(host: str, port: int, family: socket.AddressFamily, prefix: str) -> Fault | None:
    try:
        _open(host, port, family)
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EADDRINUSE:
            return Fault(f"{prefix}port", f"{port} is in use on {host} (allowed: a free port)")
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        if number in {errno.EACCES, errno.EPERM}:
            return Fault(f"{prefix}port", f"{port} can't be opened on {host}: {reason}")
        mine = "allowed: an address of this machine"
        return Fault(f"{prefix}host", f"{host} can't be listened on: {reason} ({mine})")
    return None


def _open(host: str, port: int, family: socket.AddressFamily) -> None:
    """Bind and close, without listening: nobody may connect to what is closed a moment later."""
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0]
    with socket.socket(found[0], socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(found[4])
