"""Checks rules between several keys of a configuration."""

from collections.abc import Mapping
from typing import Any

from app.settings.fault import Fault

_WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 - recognized, not bound


def faults_between_keys(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    """Return the violations of rules between keys, except for keys in `faulty`."""
    return [
        *_handler_shorter_than_read(values, faulty),
        *_ports_apart(values, faulty),
        *_room_for_a_message(values, faulty),
        *_tokens_of_one_kind(values, faulty),
        *_secret_of_an_endpoint(values, faulty),
    ]


def _handler_shorter_than_read(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    keys = ("handler_timeout", "read_timeout")
    if set(keys) & faulty or values["handler_timeout"] < values["read_timeout"]:
        return []
    handler, read = (values[key] for key in keys)
    return [
        Fault("handler_timeout", f"{handler} is not below read_timeout (allowed: below {read})")
    ]


def _ports_apart(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    keys = {"host", "port", "metrics_enabled", "metrics_host", "metrics_port"}
    if keys & faulty or not values["metrics_enabled"]:
        return []
    if values["port"] != values["metrics_port"] or not _overlap(values):
        return []
    taken = f"{values['metrics_port']} is the same as port, on the same host (allowed: another)"
    return [Fault("metrics_port", taken)]


def _room_for_a_message(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    # Most likely a unit was forgotten, and everything would be deleted.
    keys = ("retention_max_bytes", "max_message_size")
    if set(keys) & faulty:
        return []
    most, message = (values[key] for key in keys)
    if most == 0 or most >= message:
        return []
    limits = f"allowed: 0, or at least {message}"
    return [Fault("retention_max_bytes", f"{most} is below max_message_size ({limits})")]


def _tokens_of_one_kind(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    keys = ("bearer_token", "api_token")
    if set(keys) & faulty:
        return []
    bearer_tokens = {token for _, token in tokens_in(values["bearer_token"])}
    return [
        Fault("api_token", f"{place}is also a bearer_token (allowed: a different token)")
        for place, token in tokens_in(values["api_token"])
        if token in bearer_tokens
    ]


def _overlap(values: Mapping[str, Any]) -> bool:
    hosts = {values["host"].lower(), values["metrics_host"].lower()}
    return len(hosts) == 1 or bool(hosts & _WILDCARDS) or hosts == {"localhost", "127.0.0.1"}


def _secret_of_an_endpoint(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    keys = {"webhook_secret", "webhook_url"}
    if keys & faulty or values["webhook_secret"] is None or values["webhook_url"]:
        return []
    return [Fault("webhook_secret", "is set without webhook_url (allowed: with webhook_url)")]


def tokens_in(value: object) -> list[tuple[str, str]]:
    """Return each token in the value of a key, with its position if it is a list."""
    if isinstance(value, str):
        return [("", value)]
    tokens = value if isinstance(value, list) else []
    return [
        (f"item {position}: ", token)
        for position, token in enumerate(tokens, start=1)
        if isinstance(token, str)
    ]
