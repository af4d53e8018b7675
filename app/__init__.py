"""GoMail: a self-hosted gateway for inbound mail. Importing it opens nothing."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.services import Services


def create_app(services: "Services") -> "Flask":
    """Return the WSGI application that serves with `services`."""
    # Imported here because `import app.storage` runs this file too, and must not load Flask.
    from app.web.application import make_application  # noqa: PLC0415

    return make_application(services)
