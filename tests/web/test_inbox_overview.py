"""The overview of the inbox page, and its figures."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support.clock import Clock
from support.deliveries import add_for, claim, dead
from support.inbox import links, log_in, page, text_of
from support.reading import send

from app.inbox.overview import HOURS, overview
from app.storage.interface import MessageStore

PATH = "/inbox/overview"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_figures_are_those_of_the_store(
    client: FlaskClient, store: MessageStore, clock: Clock[datetime]
) -> None:
    """Messages and their size, what waits, what is dead, and the disk."""
    log_in(client)
    for number in range(3):
        add_for(store, "app", seconds=number)
    store.deliveries.finish([dead(claim(store.deliveries, limit=1, seconds=10)[0])])
    text = text_of(page(client, PATH), "dl.figures")
    assert "Messages 3 stored, 42 bytes" in text
    assert "Backlog 2 pending deliveries, the oldest since 2026-03-01 12:00:01 UTC" in text
    assert "Dead 1 dead delivery" in text
    assert " free of " in text
    assert links(page(client, PATH))["See them"] == "/inbox/deliveries?state=dead"


def test_messages_are_counted_by_the_hour(
    client: FlaskClient, store: MessageStore, clock: Clock[datetime], tmp_path: Path
) -> None:
    """Each in the hour of its arrival, those of the last day."""
    for seconds in (-24 * 3600, -23 * 3600 - 1, -23 * 3600, -3600, -1, 0, 1800, 3599):
        add_for(store, seconds=seconds)
    figures = overview(store, tmp_path, NOON + timedelta(minutes=59))
    counts = {hour.since.hour: hour.count for hour in figures.hours}
    assert len(figures.hours) == len(counts) == HOURS
    assert [figures.hours[0].since, figures.hours[-1].since] == [NOON - timedelta(hours=23), NOON]
    assert {hour: count for hour, count in counts.items() if count} == {13: 1, 11: 2, 12: 3}
    assert (figures.recent, figures.busiest, figures.messages) == (6, 3, 8)
    clock.now = NOON + timedelta(minutes=59)
    document = page(log_in(client), PATH)
    assert "6 in the last 24 hours, at most 3 in one hour." in text_of(document)
    assert len(document.xpath("//svg//rect")) == HOURS
    hour = links(document)["2026-03-01 11:00"]
    assert len(page(client, hour).xpath("//ol/li")) == 2


def test_an_empty_overview_leads_on(client: FlaskClient) -> None:
    """To the first message, and to the first endpoint."""
    document = page(log_in(client), PATH)
    assert links(document)["How to send the first one"] == "/inbox"
    assert links(document)["How to add one"] == "/inbox/endpoints"


def test_old_messages_alone_make_no_fault(client: FlaskClient, clock: Clock[datetime]) -> None:
    """With none in the last day, the busiest hour has none."""
    send(client)
    clock.now = NOON + timedelta(days=3)
    assert "0 in the last 24 hours" in text_of(page(log_in(client), PATH))


def test_a_disk_that_cannot_be_asked_is_unknown(app: Flask, store: MessageStore) -> None:
    """The other figures are there."""
    assert overview(store, Path("/nowhere/at/all"), NOON).disk is None


@pytest.mark.parametrize("query", ["x=1"])
def test_a_parameter_is_refused(client: FlaskClient, query: str) -> None:
    """There are none."""
    page(log_in(client), f"{PATH}?{query}", 400)
