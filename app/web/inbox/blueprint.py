"""The blueprint that all routes of the inbox page are registered on."""

from flask import Blueprint

from app.web.private_routes import check_request

blueprint = Blueprint("inbox", __name__, template_folder="templates")
blueprint.before_request(check_request)
