"""Registers the routes of the inbox page; importing their modules puts them on its blueprint."""

from flask import Flask, Response
from jinja2 import StrictUndefined
from werkzeug.exceptions import NotFound

from app.web.inbox import (
    deliveries,
    delivery_list,
    endpoints,
    html_route,
    login,
    message_list,
    message_page,
    overview_page,
    replays,
)
from app.web.inbox.assets import asset_url
from app.web.inbox.blueprint import blueprint
from app.web.inbox.formatting import FILTERS
from app.web.inbox.guards import logged_in

__all__ = [
    "deliveries",
    "delivery_list",
    "endpoints",
    "html_route",
    "login",
    "message_list",
    "message_page",
    "overview_page",
    "register",
    "replays",
]


@blueprint.get("/inbox/<path:rest>")
@logged_in
def unknown(rest: str) -> Response:  # noqa: ARG001
    """Refuse a path that doesn't belong to any page.

    Returns:
    - 404 `not_found`
    """
    raise NotFound


def register(app: Flask) -> None:
    """Add the inbox page to `app`."""
    app.register_blueprint(blueprint)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals["asset_url"] = asset_url
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
