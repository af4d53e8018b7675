"""What the views and hooks of one application share."""

from flask import current_app

from app.services import Services


def current_services() -> Services:
    """Return the services that the current application was made with."""
    services: Services = current_app.extensions["gomail"]
    return services
