"""What `flask gomail deliveries` tells and does, beside an open store."""

import json
import re
from collections.abc import Callable

import pytest
from click.testing import Result
from support.deliveries import add_for, at, attempt, claim, dead, delivered, failed, states

from app.deliveries.delivery_id import delivery_id
from app.storage.delivery import Attempt, DeliveryQuery, State
from app.storage.delivery import Result as Kept
from app.storage.sqlite.store import SQLiteStore

Run = Callable[..., Result]
PENDING, DELIVERED, DEAD, DISCARDED = State
UNKNOWN = delivery_id(2**62)
NAMES = ("app", "log")


@pytest.fixture
def run(gomail_command: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `flask gomail deliveries …`, with two endpoints configured."""
    given = [{"name": name, "url": f"http://{name}/?token=s3cret"} for name in NAMES]
    monkeypatch.setenv("MAIL_ENDPOINTS", json.dumps(given))
    return lambda *arguments: gomail_command("deliveries", *arguments)


def ids(store: SQLiteStore) -> list[str]:
    """Return the ids of all deliveries, the first to be made first."""
    found = store.deliveries.find(DeliveryQuery(oldest_first=True, limit=1000)).deliveries
    return [delivery_id(each.number) for each in found]


def listed(run: Run, *options: object) -> list[str]:
    """Return the messages of the deliveries that `deliveries list --json` prints."""
    done = run("list", "--json", *options)
    assert done.exit_code == 0, done.output
    return [each["message_id"] for each in json.loads(done.stdout)]


def test_a_person_sees_how_far_each_is(server_store: SQLiteStore, run: Run) -> None:
    """The newest first, in columns; nothing that a terminal obeys."""
    add_for(server_store, "app", recipient="bob@example.com")
    add_for(server_store, "log", seconds=1, recipient="\x1b[2J@example.com")
    server_store.deliveries.finish([failed(claim(server_store.deliveries)[0], due=30)])
    first, second = ids(server_store)
    assert run("list").stdout.splitlines() == [
        "ID                 CREATED (UTC)        ENDPOINT  STATE    ATTEMPTS  NEXT (UTC)"
        "           REASON   RECIPIENT",
        f"{second}  2026-03-01 12:00:01  log       pending  0         2026-03-01 12:00:01"
        r"           \x1b[2J@example.com",
        f"{first}  2026-03-01 12:00:00  app       pending  1         2026-03-01 12:00:30"
        "  refused  bob@example.com",
    ]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], [2, 1, 0]),
        (["--endpoint", "log"], [2]),
        (["--state", "delivered"], [0]),
        (["--state", "dead"], []),
        (["--recipient", "EVE@example.com"], [1]),
        (["--since", "2026-03-01T12:00:01Z", "--until", "2026-03-01T12:00:02Z"], [1]),
        (["--since", "1h"], []),
        (["--after", ""], [0, 1, 2]),
    ],
)
def test_a_list_has_what_was_asked_for(
    server_store: SQLiteStore, run: Run, options: list[str], found: list[int]
) -> None:
    """Each filter, alone and together."""
    made = [
        add_for(server_store, "app").message_id,
        add_for(server_store, "app", seconds=1, recipient="eve@example.com").message_id,
        add_for(server_store, "log", seconds=2).message_id,
    ]
    server_store.deliveries.finish([delivered(claim(server_store.deliveries)[0])])
    assert listed(run, *options) == [made[number] for number in found]
    assert listed(run, "--message", made[1]) == [made[1]]


def test_a_list_that_was_cut_says_how_to_go_on(server_store: SQLiteStore, run: Run) -> None:
    """In both directions, to the end: each delivery once."""
    made = [add_for(server_store, "app", seconds=second).message_id for second in range(5)]
    for options, expected in ((["--after", ""], made), ([], made[::-1])):
        seen: list[str] = []
        place: list[str] = list(options)
        for _ in range(3):
            done = run("list", "--json", "--limit", 2, *place)
            seen += [each["message_id"] for each in json.loads(done.stdout)]
            found = re.search(r"(--after|--before) (\S+)\n$", done.stderr)
            place = [found[1], found[2]] if found else place
        assert seen == expected
        assert "Only the" not in done.stderr


def test_a_long_list_is_found_in_pages(server_store: SQLiteStore, run: Run) -> None:
    """Whatever the queue gives at a time."""
    made = [add_for(server_store, "app").message_id for _ in range(250)]
    assert listed(run, "--limit", 1000) == made[::-1]


@pytest.mark.parametrize("place", ["--after", "--before"])
def test_a_wrong_cursor_is_refused(server_store: SQLiteStore, run: Run, place: str) -> None:
    """Rather than that deliveries are left out in silence."""
    add_for(server_store, "app")
    done = run("list", place, "nonsense")
    assert done.exit_code == 1
    assert done.output.startswith("The cursor is invalid")
    assert run("list", "--after", "", "--before", "x").exit_code == 2


def test_a_delivery_is_shown_with_its_attempts(server_store: SQLiteStore, run: Run) -> None:
    """When, where, how it ended and what came back; nothing that a terminal obeys."""
    receipt = add_for(server_store, "app")
    queue = server_store.deliveries
    odd = Attempt(at(1), None, None, 30_000, "No answer within 30 s. \x1b[2J", b"")
    [claimed] = claim(queue)
    queue.finish([Kept(claimed, PENDING, at(6), spends=True, attempt=odd, reason="timeout")])
    [claimed] = claim(queue, seconds=6)
    made = attempt(6, 410, b"<b>\x1b]0;x\x07</b>\ngone \xff")
    queue.finish([Kept(claimed, DEAD, None, spends=True, attempt=made, reason="exhausted")])
    [delivery] = queue.find(DeliveryQuery()).deliveries
    done = run("show", ids(server_store)[0])
    lines = done.stdout.splitlines()
    assert delivery.settled_at is not None
    assert lines == [
        f"ID: {ids(server_store)[0]}",
        f"Message: {receipt.message_id}",
        f"Webhook id: msg_{receipt.message_id}",
        "Endpoint: app",
        "Recipient: bob@example.com",
        "State: dead, exhausted",
        "Created: 2026-03-01 12:00:00 UTC",
        "Attempts: 2",
        f"Settled: {delivery.settled_at:%Y-%m-%d %H:%M:%S} UTC",
        "",
        "2026-03-01 12:00:01 UTC, no address, no answer, 30000 ms",
        r"  No answer within 30 s. \x1b[2J",
        "",
        "2026-03-01 12:00:06 UTC, 192.0.2.1, status 410, 12 ms",
        r"  > <b>\x1b]0;x\x07</b>",
        "  > gone \ufffd",
    ]
    shown = json.loads(run("show", ids(server_store)[0], "--json").stdout)
    assert [each["status"] for each in shown["attempts"]] == [None, 410]


@pytest.mark.parametrize("given", ["", "x", UNKNOWN, "1", "0" * 10_000, "\x1b[2J", "../.."])
@pytest.mark.parametrize("command", ["show", "retry", "discard"])
def test_an_unknown_id_is_said_in_a_line(
    server_store: SQLiteStore, run: Run, command: str, given: str
) -> None:
    """And nothing is changed; a long one isn't repeated in full."""
    add_for(server_store, "app")
    done = run(command, given)
    assert done.exit_code == 1
    assert "No delivery has the id '" in done.output
    assert "\x1b" not in done.output
    assert len(done.output) < 150
    assert states(server_store) == [PENDING]


def test_deliveries_are_retried_by_their_ids(server_store: SQLiteStore, run: Run) -> None:
    """Whatever their state; one that isn't there is named, and the others are retried."""
    for _ in range(3):
        add_for(server_store, "app")
    first, second, third = claim(server_store.deliveries)
    server_store.deliveries.finish([delivered(first), dead(second), dead(third)])
    given = ids(server_store)[:2]
    done = run("retry", *given, UNKNOWN, given[0])
    assert done.exit_code == 1
    assert "Retrying 2 deliveries\n" in done.stdout
    assert f"No delivery has the id '{UNKNOWN}'.\n" in done.output
    assert states(server_store) == [PENDING, PENDING, DEAD]


def test_all_that_match_are_retried(server_store: SQLiteStore, run: Run) -> None:
    """Those that are dead, unless another state is asked for; those of no other endpoint."""
    for _ in range(130):
        add_for(server_store, "app", "log")
    for name in NAMES:
        while claimed := claim(server_store.deliveries, name):
            server_store.deliveries.finish([dead(each) for each in claimed])
    assert run("retry", "--endpoint", "app").stdout == "Retrying 130 deliveries\n"
    assert states(server_store, "app") == [PENDING] * 130
    assert states(server_store, "log") == [DEAD] * 130
    again = claim(server_store.deliveries, "app", limit=1, seconds=10**9)
    server_store.deliveries.finish([delivered(each) for each in again])
    assert run("retry", "--endpoint", "app").stdout == "Retrying 0 deliveries\n"
    assert run("retry", "--state", "delivered").stdout == "Retrying 1 delivery\n"
    assert run("retry", "--state", "dead").stdout == "Retrying 130 deliveries\n"
    assert set(states(server_store)) == {PENDING}


@pytest.mark.parametrize("arguments", [[], [UNKNOWN, "--endpoint", "app"], ["--state", "lost"]])
def test_a_retry_of_nothing_in_particular_is_refused(
    server_store: SQLiteStore, run: Run, arguments: list[str]
) -> None:
    """Neither everything nor something else than was meant."""
    add_for(server_store, "app")
    server_store.deliveries.finish([dead(claim(server_store.deliveries)[0])])
    assert run("retry", *arguments).exit_code == 2
    assert states(server_store) == [DEAD]


def test_an_empty_message_selects_nothing(server_store: SQLiteStore, run: Run) -> None:
    """As a script passes it whose variable isn't set."""
    add_for(server_store, "app")
    server_store.deliveries.finish([delivered(claim(server_store.deliveries)[0])])
    for also in (["--state", "delivered"], ["--endpoint", "app"], []):
        assert run("retry", "--message", "", *also).exit_code == 1
    assert states(server_store) == [DELIVERED]


def test_who_retries_is_told_of_what_waits(server_store: SQLiteStore, run: Run) -> None:
    """For an endpoint that is paused, keeps failing, or isn't there any more."""
    add_for(server_store, "app", "log", "old")
    server_store.deliveries.pause("app", "gone")
    server_store.deliveries.open_breaker("log", "timeout", at(0))
    done = run("retry", *ids(server_store))
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "app is paused (gone): run `flask gomail endpoints resume app`.",
        "log keeps failing (timeout): it gets only a probe, at most every 5 minutes.",
        "old is not configured: its deliveries wait until it is added.",
    ]


def test_deliveries_are_given_up(server_store: SQLiteStore, run: Run) -> None:
    """Pending and dead ones; one that was delivered is named, and once more is no fault."""
    for _ in range(4):
        add_for(server_store, "app")
    first, second, *_ = claim(server_store.deliveries)
    server_store.deliveries.finish([delivered(first), dead(second)])
    done = run("discard", *ids(server_store)[1:3])
    assert (done.exit_code, done.stdout) == (0, "Discarded 2 deliveries\n")
    assert states(server_store) == [DELIVERED, DISCARDED, DISCARDED, PENDING]
    done = run("discard", *ids(server_store))
    assert done.exit_code == 1
    told, fault = done.output.splitlines()
    assert told == "Discarded 1 delivery"
    assert fault == f"{ids(server_store)[0]} is already delivered, and can't be discarded."
    assert run("discard").exit_code == 2


def test_a_replay_is_counted_then_noted(server_store: SQLiteStore, run: Run) -> None:
    """A dry run changes nothing."""
    for second in range(3):
        add_for(server_store, seconds=second)
    asked = ["--endpoint", "log", "--since", "2026-03-01T12:00:01Z"]
    done = run("replay", *asked, "--dry-run")
    assert done.stdout == "2 messages would be sent to log\n"
    assert server_store.deliveries.replays() == []
    limits = ["--until", "2026-03-01T12:00:02Z", "--recipient", "BOB@example.com", "--rate", 2.5]
    assert run("replay", *asked, *limits).stdout == "Replaying 1 message to log\n"
    [replay] = server_store.deliveries.replays()
    assert (replay.endpoint, replay.since, replay.until) == ("log", at(1), at(2))
    assert (replay.recipient, replay.rate) == ("BOB@example.com", 2.5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--endpoint": "lag"}, "configured: app, log"),
        ({"--endpoint": "\x1b[2J"}, r"\x1b[2J"),
        ({"--endpoint": None}, "--endpoint"),
        ({"--since": None}, "--since"),
        ({"--since": "yesterday"}, "7d"),
        ({"--until": "2026-02-01"}, "later than --since"),
        ({"--rate": "0"}, "--rate"),
        ({"--rate": "nan"}, "--rate"),
        ({"--rate": "10001"}, "--rate"),
        ({"--recipient": ""}, "address"),
    ],
)
def test_a_wrong_replay_is_refused(
    server_store: SQLiteStore, run: Run, changes: dict[str, str | None], words: str
) -> None:
    """It says what is wrong, and nothing is sent again by mistake."""
    add_for(server_store)
    asked = {"--endpoint": "log", "--since": "2026-03-01"} | changes
    given = [each for pair in asked.items() if pair[1] is not None for each in pair]
    done = run("replay", *given)
    assert done.exit_code in {1, 2}
    assert words in done.output
    assert "\x1b" not in done.output
    assert server_store.deliveries.replays() == []


def test_there_is_nothing_without_a_store(run: Run) -> None:
    """A line says so."""
    for command in (["list"], ["show", UNKNOWN], ["retry", UNKNOWN], ["discard", UNKNOWN]):
        done = run(*command)
        assert done.exit_code == 1
        assert "Nothing is stored" in done.output
