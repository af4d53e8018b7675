"""GoMail: a self-hosted gateway for inbound mail. Importing it opens nothing."""

from flask import Flask

from app.services import Services
from app.web import drain, inbound, instrument, limit, measure, probes, problems


def create_app(services: Services) -> Flask:
    """Return the WSGI application that serves with `services`."""
    app = Flask(__name__, static_folder=None)
    app.extensions["gomail"] = services
    instrument.register(app)
    drain.register(app)
    limit.register(app)
    problems.register(app)
    app.register_blueprint(inbound.blueprint)
    app.register_blueprint(probes.blueprint)
    if services.recorder is not None:
        measure.register(app, services.recorder, frozenset(inbound.PATHS))
    return app
