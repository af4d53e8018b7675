"""GoMail: a self-hosted gateway for inbound mail. Importing it opens nothing."""

from collections.abc import Callable
from typing import Any

from flask import Flask

from app.services import Services
from app.web import drain, inbound, instrument, limit, measure, probes, problems


class Application(Flask):
    """Flask, with views and hooks that are all synchronous."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func`; Flask would inspect every hook at every request."""
        return func


def create_app(services: Services) -> Flask:
    """Return the WSGI application that serves with `services`."""
    app = Application(__name__, static_folder=None)
    app.extensions["gomail"] = services
    app.url_map.merge_slashes = False  # or //email would be a redirect to what Host says
    instrument.register(app)
    drain.register(app)
    limit.register(app)
    problems.register(app)
    app.register_blueprint(inbound.blueprint)
    app.register_blueprint(probes.blueprint)
    if services.recorder is not None:
        measure.register(app, services.recorder, frozenset(inbound.PATHS))
    return app
