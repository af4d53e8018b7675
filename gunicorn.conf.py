"""Gunicorn's configuration, read at a start and at a reload: settings, and hooks into app."""

from app.logs import log_config
from app.server import hooks, start
from app.server.descriptors import raise_limit
from app.settings.url import address

settings = start.settings_or_exit()

bind = address(settings.server.host, settings.server.port)
workers = settings.server.workers
threads = settings.server.threads
worker_class = "app.server.gunicorn_internals.worker.Worker"
keepalive = settings.timeouts.idle
graceful_timeout = settings.server.shutdown_timeout
# Nobody may change a request's path, scheme or user by a header. The application itself reads the
# forwarding headers of trusted_proxies.
forwarder_headers = ""
forwarded_allow_ips = ""
secure_scheme_headers = {}
control_socket_disable = True  # it would be shared by all services of one user
logger_class = "app.server.gunicorn_internals.log.Log"
logconfig_dict = log_config(settings.logging.level, settings.logging.format)
loglevel = settings.logging.level


def on_starting(server):
    raise_limit()
    start.prepare_or_exit(settings)


def when_ready(server):
    hooks.start_child_processes(server)
    hooks.take_over_signals(server, settings)
    start.announce(settings)


on_reload = hooks.announce_new_settings
pre_fork = hooks.assign_slot
post_fork = hooks.begin_worker
post_worker_init = hooks.begin_serving
child_exit = hooks.release_slot
pre_request = hooks.begin_request
post_request = hooks.end_request
on_exit = hooks.end_child_processes
