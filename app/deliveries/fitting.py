"""Cuts a payload to its limit, first what is largest and can be fetched from the API."""

from typing import Any

from app.deliveries.json_text import json_size, shortened, to_json

MAX_BYTES = 1024 * 1024

_LISTS = ("references", "in_reply_to", "cc", "to", "reply_to", "from")


def fitting(payload: dict[str, Any]) -> bytes:
    """Return `payload` as JSON of at most MAX_BYTES.

    Changes `data` in the payload, and sets a flag there for each member that is cut: html first,
    then text, headers, the list of attachments, and finally addresses and references.
    """
    data = payload["data"]
    for cut in (_cut_html, _cut_text, _cut_headers, _cut_attachments, _cut_lists):
        body = to_json(payload)
        if len(body) <= MAX_BYTES:
            return body
        cut(data, len(body) - MAX_BYTES)
        data["truncated"] = True
    return to_json(payload)


def _cut_html(data: dict[str, Any], excess: int) -> None:
    if data["html"]:
        data["html"] = shortened(data["html"], excess)
        data["html_truncated"] = True


def _cut_text(data: dict[str, Any], excess: int) -> None:
    if not data["text"]:
        return
    is_twice = not data["reply"]["found"]
    data["text"] = shortened(data["text"], (excess + 1) // 2 if is_twice else excess)
    data["text_truncated"] = True
    if is_twice:
        data["reply"]["text"] = data["text"]


def _cut_headers(data: dict[str, Any], excess: int) -> None:
    data["headers_truncated"] = _cut_list(data["headers"], excess) > 0


def _cut_attachments(data: dict[str, Any], excess: int) -> None:
    data["attachments_truncated"] = _cut_list(data["attachments"], excess) > 0


def _cut_lists(data: dict[str, Any], excess: int) -> None:
    for name in _LISTS:
        excess -= _cut_list(data[name], excess)


def _cut_list(values: list[Any], excess: int) -> int:
    """Remove values from the end until that saves `excess` bytes; return how many it saved."""
    given = 0
    while values and given < excess:
        given += json_size(values.pop()) + 1
    return given
