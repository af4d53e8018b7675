"""The query for stored messages that the parameters of a list ask for."""

from collections.abc import Mapping
from typing import Any

from app.storage.interface import Query
from app.web.paging import cursor_number


def message_query(given: Mapping[str, Any], identity: bytes) -> Query:
    """Return the query for `given`, loaded with ListParameters; raises BadRequest.

    `identity` is the result of MessageStore.identity.
    """
    header_message_id = given.get("header_message_id")
    sender = given.get("sender")
    return Query(
        recipient=given.get("recipient"),
        since=given.get("since"),
        until=given.get("until"),
        limit=given["limit"],
        oldest_first="after" in given,
        after=cursor_number(given.get("after"), identity),
        before=cursor_number(given.get("before"), identity),
        sender="" if sender == "<>" else sender,
        subject=given.get("subject"),
        queue_id=given.get("queue_id"),
        header_message_id=header_message_id and header_message_id.strip(" <>"),
    )
