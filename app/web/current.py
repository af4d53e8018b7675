"""What the views and hooks of one application share."""

from typing import Any

from flask import Request, current_app, g, request

from app.services import Services


def current_services() -> Services:
    """Return the services that the current application was made with."""
    services: Services = current_app.extensions["gomail"]
    return services


def current_request() -> tuple[Request, dict[str, Any]]:
    """Return the request, and what is in `g`, for those who use both often.

    Each use of Flask's own names looks them up again.
    """
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found, vars(g._get_current_object())
