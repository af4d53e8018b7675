"""What a page says at its top after something was done, given by its code in the query string."""

from collections.abc import Mapping

from marshmallow import fields, validate

from app.deliveries.schedule import MOST_ATTEMPTS
from app.web.parameters import NoParameters

NOTICES: Mapping[str, str] = {
    "deleted": "The message was deleted.",
    "retried": f"The delivery is due now, with {MOST_ATTEMPTS} new attempts.",
    "paused": "The endpoint is paused: its deliveries wait until you resume it.",
    "resumed": "The endpoint is resumed: it gets what has waited.",
    "replayed": "The replay has started, and continues in the background.",
}


class PageParameters(NoParameters):
    """The parameters of a page that is shown after something was done."""

    done = fields.String(validate=validate.OneOf(list(NOTICES)))
