"""The WSGI application: hooks in their order, and a blueprint for each group of routes."""

from flask import Flask

from app.reading.reader import Reader
from app.services import Services
from app.web import (
    access,
    deliveries,
    endpoints,
    inbound,
    message_content,
    messages,
    private_routes,
    probes,
    problems,
)
from app.web.hooks import (
    counts,
    log_line,
    rate_limit,
    request_id,
    shutting_down,
    write_deadline,
)
from app.web.inbox import page_headers
from app.web.inbox import routes as inbox_routes


def make_application(services: Services) -> Flask:
    """Return the application that serves with `services`.

    Hooks before a request run in the order of this list, those after it in reverse order.
    """
    app = Flask("app", static_folder=None)
    app.extensions["gomail"] = services
    app.extensions["gomail.reader"] = Reader(services.store, lambda: services.slots.draining)
    app.url_map.merge_slashes = False  # else //email would redirect to the host in Host
    request_id.register(app)
    log_line.register(app)
    write_deadline.register(app)
    shutting_down.register(app)
    rate_limit.register(app)
    access.register(app)
    problems.register(app)
    if services.inbox is not None:
        app.extensions["gomail.inbox"] = services.inbox
        page_headers.register(app)
        inbox_routes.register(app)
    private_routes.register(app)
    app.register_blueprint(inbound.blueprint)
    app.register_blueprint(messages.blueprint)
    app.register_blueprint(message_content.blueprint)
    app.register_blueprint(deliveries.blueprint)
    app.register_blueprint(endpoints.blueprint)
    app.register_blueprint(probes.blueprint)
    if services.recorder is not None:
        counts.register(app, services.recorder)
    return app
