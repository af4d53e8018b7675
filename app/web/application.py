"""The WSGI application: a blueprint for each group of routes, and what happens to each request."""

from flask import Flask

from app.reading.reader import Reader
from app.services import Services
from app.web import (
    deliveries,
    endpoints,
    inbound,
    message_content,
    messages,
    probes,
    problems,
)
from app.web.hooks import in_order
from app.web.inbox import routes as inbox_routes


def make_application(services: Services) -> Flask:
    """Return the application that serves with `services`."""
    app = Flask("app", static_folder=None)
    app.extensions["gomail"] = services
    app.extensions["gomail.reader"] = Reader(services.store, lambda: services.slots.draining)
    app.url_map.merge_slashes = False  # else //email would redirect to the host in Host
    problems.register(app)
    if services.inbox is not None:
        app.extensions["gomail.inbox"] = services.inbox
        inbox_routes.register(app)
    app.register_blueprint(inbound.blueprint)
    app.register_blueprint(messages.blueprint)
    app.register_blueprint(message_content.blueprint)
    app.register_blueprint(deliveries.blueprint)
    app.register_blueprint(endpoints.blueprint)
    app.register_blueprint(probes.blueprint)
    in_order.register(app, services)
    return app
