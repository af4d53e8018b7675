"""What Gunicorn reads at its start: numbers from the settings, hooks into app.server."""

from app.logs import log_config
from app.server import start

settings = start.settings_or_exit()

bind = start.address(settings.server.host, settings.server.port)
workers = settings.server.workers
threads = settings.server.threads
worker_class = "gthread"  # with sync workers one stalled client holds a whole worker
graceful_timeout = settings.server.shutdown_timeout
control_socket_disable = True  # it would be shared by all services of one user
logconfig_dict = log_config(settings.logging.level, settings.logging.format)
loglevel = settings.logging.level


def on_starting(server):
    start.prepare_or_exit(settings)


def when_ready(server):
    start.announce(settings)
