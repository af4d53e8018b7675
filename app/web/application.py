"""The WSGI application: a blueprint for each group of routes, and what happens to each request."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.routing import MapAdapter
from werkzeug.wsgi import get_host

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

_NO_SESSION = NullSession()


class _WithoutSessions(SessionInterface):
    """Flask's sessions aren't used: the inbox page has its own (app.auth.session)."""

    def open_session(self, _app: Flask, _request: Request) -> SessionMixin:
        return _NO_SESSION


class Application(Flask):
    """Flask, without what GoMail doesn't need and each request would pay for.

    GoMail uses neither its sessions nor coroutines, and has the same routes whatever the Host
    header says. So the settings TRUSTED_HOSTS and SERVER_NAME have no effect.
    """

    session_interface = _WithoutSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func`: no view is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """See Flask; raises BadHost for a name that can't be one (IDNA)."""
        if request is None:
            return super().create_url_adapter(request)
        request.host = get_host(request.environ)
        return self.url_map.bind(
            request.host,
            request.root_path,
            url_scheme=request.scheme,
            default_method=request.method,
            path_info=request.path,
            query_args=request.query_string.decode(errors="replace"),
        )


def make_application(services: Services) -> Flask:
    """Return the application that serves with `services`."""
    app = Application("app", static_folder=None)
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
